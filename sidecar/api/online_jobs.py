"""Online jobs (wire contract, sections 4.1 and 8.1): a job in online mode is a session, and says in
its metadata which one and where its calls go. The routes are in `policy_jobs.py`.
"""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sidecar.api.jobs import answered, steered
from sidecar.api.query import flag, whole_number
from sidecar.api.scope import ALGORITHMS
from sidecar.api.systems import events_of, state_of
from sidecar.api.urls import session_urls
from sidecar.backend.base import Backend
from sidecar.core.session import Status
from sidecar.engine.config import ROOTS, section_of
from sidecar.errors import InvalidRequest, NotFound
from sidecar.settings import Settings

_STATUSES = {
    Status.STARTED: "running",
    Status.PAUSED: "paused",
    Status.COMPLETED: "succeeded",
    Status.CANCELLED: "cancelled",
}
"""What a job's status is called, by its session's."""
_APART = {"candidates", "safety", "metadata"}
"""Parts of a session's status that a job shows only when asked, or elsewhere."""
_LISTED = 1000
_MOST_LISTED = 100_000
_MOST_SEQ = 10**12


class OnlineJobs:
    """What can be asked of the jobs in online mode."""

    def __init__(self, backend: Backend, settings: Settings) -> None:
        self._backend = backend
        self._settings = settings

    async def create(
        self,
        request: web.Request,
        body: Mapping[str, Any],
        config: Mapping[str, Any],
        asked: str | None,
    ) -> web.Response:
        """A job from the request's body, which begins at once, and in its metadata where to send
        its calls. `asked`: the algorithm it should be of, if that was said."""
        algorithm = _algorithm(config, asked)
        if body.get("auto_start", True) is not True:
            raise InvalidRequest(
                "an online job begins at once; leave auto_start out", param="auto_start"
            )
        session: dict[str, Any] = {"config_body": config}
        session |= {name: body[name] for name in ("overrides", "metadata") if name in body}
        created = await self._backend.create(session, algorithm)
        status = await self._backend.status(created["session_id"])
        job = {**_job(status), "metadata": self._metadata(request, status)}
        return web.json_response(job)

    async def one(self, request: web.Request) -> web.Response:
        """A job; with its events, or with its session's state as `snapshot`, when asked."""
        with_events = flag(request, "include_events", default=False)
        with_snapshot = flag(request, "include_snapshot", default=False)
        with_metadata = flag(request, "include_metadata", default=True)
        status = await self._status(request.match_info["job_id"])
        job = _job(status)
        if with_metadata:
            job["metadata"] = self._metadata(request, status)
        if with_events:
            job["events"] = events_of(status)
        if with_snapshot:
            job["snapshot"] = state_of(status)
        return web.json_response(job)

    async def events(self, request: web.Request) -> web.Response:
        """What happened after `since_seq`, oldest first; never half of what happened at once."""
        since = whole_number(request, "since_seq", 0, least=0, most=_MOST_SEQ)
        limit = whole_number(request, "limit", _LISTED, least=1, most=_MOST_LISTED)
        events = events_of(await self._status(request.match_info["job_id"]))
        newer = [event for event in events if event["seq"] > since]
        last = newer[:limit][-1]["seq"] if newer else since
        found = [
            {**event, "type": f"learning.policy.{event['event_type']}"}
            for event in newer
            if event["seq"] <= last
        ]
        return web.json_response({"events": found, "next_seq": last})

    async def command(self, request: web.Request) -> web.Response:
        """Pause, resume or cancel."""
        job_id = request.match_info["job_id"]
        session = await self._status(job_id)
        action = request.match_info["action"]
        after = await self._backend.command(session["session_id"], action, {})
        return answered(steered(job_id, _STATUSES[Status(after["status"])]))

    async def _status(self, job_id: str) -> dict[str, Any]:
        """Of the job's session."""
        for session in await self._backend.sessions():
            if session["job_id"] == job_id:
                return await self._backend.status(session["session_id"])
        raise NotFound(f"there is no job {job_id!r}", param="job_id")

    def _metadata(self, request: web.Request, status: Mapping[str, Any]) -> dict[str, Any]:
        """What the client gave, and where to find the session; ours goes first."""
        algorithm = status["algorithm"]
        return {
            **status["metadata"],
            "algorithm": algorithm,
            f"{algorithm}_system_id": status["session_id"],
            f"{algorithm}_proxy_url": session_urls(request, self._settings, status)["proxy_url"],
        }


def _job(status: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in status.items() if name not in _APART}
    return {**plain, "status": _STATUSES[Status(status["status"])]}


def config_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration in a submitted body: under `config_body`, or the body itself. Raises
    `InvalidRequest`."""
    if "config_body" not in body:
        return {name: body[name] for name in ROOTS if name in body}
    config = body["config_body"]
    if not isinstance(config, dict):
        raise InvalidRequest(
            'config_body must be an object such as {"prompt_learning": {…}}', param="config_body"
        )
    return config


def mode_of(config: Mapping[str, Any]) -> str:
    """Whether a configuration is for an `online` job or an `offline` one, which is what it is when
    it does not say. Raises `InvalidRequest` for any other word."""
    root = next((name for name in ROOTS if name in config), None)
    section = config.get(root) if root is not None else None
    algorithm = section.get("algorithm") if isinstance(section, Mapping) else None
    if not isinstance(section, Mapping) or algorithm not in ALGORITHMS:
        return "offline"
    own = section.get(algorithm)
    mode = own.get("mode") if isinstance(own, Mapping) else None
    if mode not in (None, "online", "offline"):  # not a set: it may be anything
        raise InvalidRequest(
            "mode must be 'online' or 'offline'", param=f"config_body.{root}.{algorithm}.mode"
        )
    return mode or "offline"


def _algorithm(config: Mapping[str, Any], asked: str | None) -> str:
    section, _ = section_of(config, *ALGORITHMS)
    algorithm = str(section["algorithm"])
    if asked not in {None, algorithm}:
        raise InvalidRequest(
            f"algorithm is {asked!r}, but its config is for {algorithm!r}", param="algorithm"
        )
    return algorithm
