"""The routes that the public GEPA demo uses (wire contract, section 4.2): a system is a session.

Their paths share a beginning with the proxied calls of `api/gateway.py` and differ in their end.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from sidecar.api.body import read_object
from sidecar.api.guard import guarded
from sidecar.api.query import whole_number
from sidecar.api.session_rewards import SessionRewards
from sidecar.api.urls import session_urls
from sidecar.backend.base import Backend
from sidecar.errors import InvalidRequest
from sidecar.settings import Settings

BASE = "/api/gepa/v1"
RETIRED = "retired"
_LISTED = 100
_MOST_LISTED = 1000
_MOST_SEQ = 10**12


def routes(backend: Backend, rewards: SessionRewards, settings: Settings) -> list[web.RouteDef]:
    """The routes of this module; all of them need a key."""
    api = _SystemApi(backend, rewards, settings)
    one = BASE + "/{system_id}"
    return [
        web.post(BASE + "/init", guarded(api.init, settings)),
        web.post(one + "/status", guarded(api.report, settings)),
        web.get(one + "/state", guarded(api.state, settings)),
        web.get(one + "/events", guarded(api.events, settings)),
    ]


class _SystemApi:
    def __init__(self, backend: Backend, rewards: SessionRewards, settings: Settings) -> None:
        self._backend = backend
        self._rewards = rewards
        self._settings = settings
        self._limit = settings.server.max_body_bytes

    async def init(self, request: web.Request) -> web.Response:
        """The session of that id, new or already there, and where to send its calls."""
        body = await read_object(request, self._limit)
        system_id = _text(body, "system_id")
        if system_id is None:
            raise InvalidRequest("system_id must name the system", param="system_id")
        config, org_id = body.get("config"), _text(body, "org_id")
        if not isinstance(config, dict):
            raise InvalidRequest(
                'config must be an object such as {"prompt_learning": {…}}', param="config"
            )
        metadata = {"org_id": org_id} if org_id else {}
        created = await self._backend.create(
            {"session_id": system_id, "config_body": config, "metadata": metadata}
        )
        urls = session_urls(request, self._settings, system_id)
        return web.json_response({**created, "system_id": system_id, **urls})

    async def report(self, request: web.Request) -> web.Response:
        """A rollout's progress, with its reward once there is one."""
        system_id = request.match_info["system_id"]
        body = await read_object(request, self._limit)
        status = _text(body, "status")
        if body.get("reward") is None:
            if status == "reward":
                raise InvalidRequest("a status of 'reward' needs the reward", param="reward")
            session = await self._backend.status(system_id)
            rollout = {name: _text(body, name) for name in ("rollout_id", "candidate_id")}
            counted = {"status": session["status"], **rollout}
            counted["reward_count"] = session["reward_count"]
        else:
            counted = await self._rewards.count(system_id, _reward(body))
        return web.json_response({**counted, "system_id": system_id})

    async def state(self, request: web.Request) -> web.Response:
        """The session's status, with its candidates by id and the retired ones apart."""
        system_id = request.match_info["system_id"]
        status = await self._backend.status(system_id)
        candidates = status["candidates"]
        serving = {c["candidate_id"]: c for c in candidates if c["role"] != RETIRED}
        retired = [c for c in candidates if c["role"] == RETIRED]
        return web.json_response(
            {
                **status,
                "system_id": system_id,
                "candidates": serving,
                "archived_candidates": retired,
            }
        )

    async def events(self, request: web.Request) -> web.Response:
        """What happened after `since_seq`, oldest first. What happened at once has one number and
        is never torn apart, so an answer may hold a few more than `limit`."""
        since = whole_number(request, "since_seq", 0, least=0, most=_MOST_SEQ)
        limit = whole_number(request, "limit", _LISTED, least=1, most=_MOST_LISTED)
        status = await self._backend.status(request.match_info["system_id"])
        found = [event for event in status["safety"]["events"] if event["seq"] > since]
        last = found[:limit][-1]["seq"] if found else 0
        return web.json_response({"events": [_event(e) for e in found if e["seq"] <= last]})


def _reward(body: Mapping[str, Any]) -> dict[str, Any]:
    """The published reward request that says the same."""
    info = {"reward": body["reward"]}
    details = {name: body[name] for name in ("rollout_id", "candidate_id") if name in body}
    return {**details, "reward_info": info}


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    about = event["candidate_id"]
    return {
        "seq": event["seq"],
        "event_type": f"gepa.{event['kind']}",
        "message": f"{event['kind']} {about}".strip(),
        "data": {**event["detail"], "candidate_id": about or None},
        "created_at": datetime.fromtimestamp(event["at"], UTC).isoformat(),
    }


def _text(body: Mapping[str, Any], name: str) -> str | None:
    text = body.get(name)
    if text is None or isinstance(text, str):
        return text or None
    raise InvalidRequest(f"{name} must be text", param=name)
