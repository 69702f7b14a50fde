"""The later paths of the published API (wire contract, section 4.9): version 1 for MIPRO sessions,
version 2 for GEPA sessions.

Status, prompt and reward are the handlers of `api/sessions.py` under another path.
"""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sidecar.api.body import CONFIG_BYTES, read_object
from sidecar.api.guard import Handler, guarded
from sidecar.api.scope import Scope
from sidecar.api.session_rewards import SessionRewards
from sidecar.api.sessions import SessionApi
from sidecar.api.urls import session_urls
from sidecar.backend.base import Backend
from sidecar.errors import InvalidRequest
from sidecar.settings import Settings

PATHS = {"mipro": "/api/v1/online/sessions", "gepa": "/api/v2/online/sessions"}
_STEERED = "/api/v1/online/sessions/{session_id}"
"""Of version 1 for both kinds of session, as the published client does it."""
_ACTIONS = {"paused": "pause", "running": "resume", "cancelled": "cancel"}


def routes(backend: Backend, rewards: SessionRewards, settings: Settings) -> list[web.RouteDef]:
    """The routes of this module; all of them need a key."""
    found = [web.patch(_STEERED, guarded(_steering(backend), settings))]
    for algorithm, path in PATHS.items():
        scope = Scope(backend, algorithm, PATHS)
        shared, one = SessionApi(scope, rewards, settings), path + "/{session_id}"
        found += [
            web.post(path, guarded(_creating(scope, settings), settings)),
            web.get(one, guarded(shared.status, settings)),
            web.get(one + "/prompt", guarded(shared.prompt, settings)),
            web.post(one + "/reward", guarded(shared.reward, settings)),
        ]
    return found


def _creating(scope: Scope, settings: Settings) -> Handler:
    kind = f"{scope.algorithm}_online"

    async def create(request: web.Request) -> web.Response:
        """A session, new or already there, and where to send its calls."""
        body = await read_object(request, CONFIG_BYTES)
        if body.get("kind", kind) != kind:
            raise InvalidRequest(f"kind must be {kind!r} on this path", param="kind")
        created = await scope.create({**body, "metadata": _metadata(body)})
        urls = session_urls(request, settings, created)
        return web.json_response({**created, "kind": kind, **urls})

    return create


def _steering(backend: Backend) -> Handler:
    async def steer(request: web.Request) -> web.Response:
        """Pause, resume or cancel; the status after it."""
        body = await read_object(request, CONFIG_BYTES)
        state = body.get("state")
        if not isinstance(state, str) or state not in _ACTIONS:
            raise InvalidRequest(f"state must be one of {', '.join(_ACTIONS)}", param="state")
        session_id = request.match_info["session_id"]
        return web.json_response(await backend.command(session_id, _ACTIONS[state], {}))

    return steer


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
