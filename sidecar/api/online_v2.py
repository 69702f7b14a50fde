"""The later paths of the published API (wire contract, section 4.9), for GEPA sessions.

Status, prompt and reward are the handlers of `api/sessions.py` under another path.
"""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sidecar.api import sessions
from sidecar.api.body import read_object
from sidecar.api.guard import guarded
from sidecar.api.session_rewards import SessionRewards
from sidecar.api.urls import session_urls
from sidecar.backend.base import Backend
from sidecar.errors import InvalidRequest
from sidecar.settings import Settings

BASE = "/api/v2/online/sessions"
_STEERED = "/api/v1/online/sessions/{session_id}"
"""Of version 1 for both kinds of session, as the published client does it."""
KIND = "gepa_online"
_ACTIONS = {"paused": "pause", "running": "resume", "cancelled": "cancel"}


def routes(backend: Backend, rewards: SessionRewards, settings: Settings) -> list[web.RouteDef]:
    """The routes of this module; all of them need a key."""
    one = sessions.BASE + "/{session_id}"
    shared = {("GET", one), ("GET", one + "/prompt"), ("POST", one + "/reward")}
    api = _OnlineApi(backend, settings)
    return [
        web.post(BASE, guarded(api.create, settings)),
        web.patch(_STEERED, guarded(api.steer, settings)),
        *(
            web.route(route.method, route.path.replace(sessions.BASE, BASE), route.handler)
            for route in sessions.routes(backend, rewards, settings)
            if (route.method, route.path) in shared
        ),
    ]


class _OnlineApi:
    def __init__(self, backend: Backend, settings: Settings) -> None:
        self._backend = backend
        self._settings = settings
        self._limit = settings.server.max_body_bytes

    async def create(self, request: web.Request) -> web.Response:
        """A session, new or already there, and where to send its calls."""
        body = await read_object(request, self._limit)
        if body.get("kind", KIND) != KIND:
            raise InvalidRequest(f"kind must be {KIND!r} on this path", param="kind")
        created = await self._backend.create({**body, "metadata": _metadata(body)})
        urls = session_urls(request, self._settings, str(created["session_id"]))
        return web.json_response({**created, "kind": KIND, **urls})

    async def steer(self, request: web.Request) -> web.Response:
        """Pause, resume or cancel; the status after it."""
        body = await read_object(request, self._limit)
        state = body.get("state")
        if not isinstance(state, str) or state not in _ACTIONS:
            raise InvalidRequest(f"state must be one of {', '.join(_ACTIONS)}", param="state")
        session_id = request.match_info["session_id"]
        return web.json_response(await self._backend.command(session_id, _ACTIONS[state], {}))


def _metadata(body: Mapping[str, Any]) -> Any:
    """The request's metadata, and the system that it names beside it."""
    metadata, system = body.get("metadata"), body.get("system")
    if system is None:
        return metadata
    if not isinstance(system, Mapping):
        raise InvalidRequest("system must be an object", param="system")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidRequest("metadata must be an object", param="metadata")
    return {"system": system, **(metadata or {})}
