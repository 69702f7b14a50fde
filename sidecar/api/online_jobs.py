"""Online jobs (wire contract, sections 4.1 and 8.1): a job in online mode is a session, and says in
its metadata which one and where its calls go.
"""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sidecar.api.body import CONFIG_BYTES, read_object, text_of
from sidecar.api.guard import guarded
from sidecar.api.query import flag
from sidecar.api.scope import ALGORITHMS
from sidecar.api.systems import events_of, state_of
from sidecar.api.urls import session_urls
from sidecar.backend.base import Backend
from sidecar.core.session import Status
from sidecar.errors import InvalidRequest, NotFound
from sidecar.settings import Settings

BASE = "/api/prompt-learning/online/jobs"
_ROOTS = ("prompt_learning", "policy_optimization")
_STATUSES = {
    Status.STARTED: "running",
    Status.PAUSED: "paused",
    Status.COMPLETED: "succeeded",
    Status.CANCELLED: "cancelled",
}
"""What a job's status is called, by its session's."""
_APART = {"candidates", "safety", "metadata"}
"""Parts of a session's status that a job shows only when asked, or elsewhere."""


def routes(backend: Backend, settings: Settings) -> list[web.RouteDef]:
    """The routes of this module; all of them need a key."""
    api = _JobApi(backend, settings)
    return [
        web.post(BASE, guarded(api.create, settings)),
        web.get(BASE + "/{job_id}", guarded(api.one, settings)),
    ]


class _JobApi:
    def __init__(self, backend: Backend, settings: Settings) -> None:
        self._backend = backend
        self._settings = settings

    async def create(self, request: web.Request) -> web.Response:
        """A job, which begins at once, and in its metadata where to send its calls."""
        body = await read_object(request, CONFIG_BYTES)
        config = _config(body)
        algorithm = _online_algorithm(config, text_of(body, "algorithm"))
        if body.get("auto_start", True) is not True:
            raise InvalidRequest(
                "an online job begins at once; leave auto_start out", param="auto_start"
            )
        asked: dict[str, Any] = {"config_body": config}
        asked |= {name: body[name] for name in ("overrides", "metadata") if name in body}
        created = await self._backend.create(asked, algorithm)
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


def _config(body: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration: under `config_body`, or the body itself."""
    if "config_body" not in body:
        return {name: body[name] for name in _ROOTS if name in body}
    config = body["config_body"]
    if not isinstance(config, dict):
        raise InvalidRequest(
            'config_body must be an object such as {"prompt_learning": {…}}', param="config_body"
        )
    return config


def _online_algorithm(config: Mapping[str, Any], asked: str | None) -> str:
    """The algorithm of an online configuration. Raises `InvalidRequest` for any other."""
    root = next((name for name in _ROOTS if name in config), None)
    section = config.get(root) if root is not None else None
    if not isinstance(section, Mapping):
        raise InvalidRequest(
            "config_body must hold `prompt_learning` (or `policy_optimization`)",
            param="config_body",
        )
    algorithm, where = section.get("algorithm"), f"config_body.{root}"
    if algorithm not in ALGORITHMS:
        raise InvalidRequest(
            f"algorithm must be one of {', '.join(ALGORITHMS)}", param=f"{where}.algorithm"
        )
    if asked not in {None, algorithm}:
        raise InvalidRequest(
            f"algorithm is {asked!r}, but its config is for {algorithm!r}", param="algorithm"
        )
    own = section.get(algorithm)
    if not isinstance(own, Mapping) or own.get("mode") != "online":
        raise InvalidRequest(
            f"this path is for jobs with {algorithm}.mode 'online'; offline jobs go to the policy "
            "job routes, /api/policy-optimization/online/jobs",
            param=f"{where}.{algorithm}.mode",
        )
    return str(algorithm)
