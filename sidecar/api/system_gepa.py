"""The routes that the public GEPA demo uses (wire contract, section 4.2): a system is a session.

Their paths share a beginning with the proxied calls of `api/gateway.py` and differ in their end.
"""

from typing import Any

from aiohttp import web

from sidecar.api.body import CONFIG_BYTES, read_object, text_of
from sidecar.api.guard import Handler, guarded
from sidecar.api.scope import Scope
from sidecar.api.session_rewards import SessionRewards
from sidecar.api.systems import PATHS, SystemApi
from sidecar.api.urls import session_urls
from sidecar.backend.base import Backend
from sidecar.errors import InvalidRequest
from sidecar.settings import Settings

_ALGORITHM = "gepa"


def routes(backend: Backend, rewards: SessionRewards, settings: Settings) -> list[web.RouteDef]:
    """The routes of this module; all of them need a key."""
    path = PATHS[_ALGORITHM]
    scope = Scope(backend, _ALGORITHM, PATHS)
    api, one = SystemApi(scope, rewards, settings), path + "/{system_id}"
    return [
        web.post(path + "/init", guarded(_initialising(scope, settings), settings)),
        web.post(one + "/status", guarded(api.report, settings)),
        web.get(one + "/state", guarded(api.state, settings)),
        web.get(one + "/events", guarded(api.events, settings)),
    ]


def _initialising(scope: Scope, settings: Settings) -> Handler:
    async def init(request: web.Request) -> web.Response:
        """The session of that id, new or already there, and where to send its calls."""
        body = await read_object(request, CONFIG_BYTES)
        system_id = text_of(body, "system_id")
        if system_id is None:
            raise InvalidRequest("system_id must name the system", param="system_id")
        config, org_id = body.get("config"), text_of(body, "org_id")
        if not isinstance(config, dict):
            raise InvalidRequest(
                'config must be an object such as {"prompt_learning": {…}}', param="config"
            )
        metadata: dict[str, Any] = {"org_id": org_id} if org_id else {}
        created = await scope.create(
            {"session_id": system_id, "config_body": config, "metadata": metadata}
        )
        urls = session_urls(request, settings, created)
        return web.json_response({**created, "system_id": system_id, **urls})

    return init
