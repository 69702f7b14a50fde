"""The published online-session API (wire contract, section 3), and our few commands.

Every algorithm has the same routes under a path of its own.
"""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sidecar.api.body import CONFIG_BYTES, read_object
from sidecar.api.guard import Handler, guarded
from sidecar.api.scope import ALGORITHMS, Scope
from sidecar.api.session_rewards import SessionRewards
from sidecar.api.urls import session_urls
from sidecar.backend.base import ACTIONS, Backend
from sidecar.core.ids import is_correlation_id
from sidecar.errors import InvalidRequest
from sidecar.settings import Settings

PATHS = {of: f"/api/prompt-learning/online/{of}/sessions" for of in ALGORITHMS}
_PLAIN = "|".join(action for action in ACTIONS if action != "pin")
"""The commands that say all by their name."""


def routes(backend: Backend, rewards: SessionRewards, settings: Settings) -> list[web.RouteDef]:
    """The routes of this module; all of them need a key."""
    return [
        route
        for algorithm, path in PATHS.items()
        for route in _routes(path, SessionApi(Scope(backend, algorithm, PATHS), rewards, settings))
    ]


def _routes(path: str, api: "SessionApi") -> list[web.RouteDef]:
    one = path + "/{session_id}"

    def keyed(handler: Handler) -> Handler:
        return guarded(handler, api.settings)

    return [
        web.post(path, keyed(api.create)),
        web.get(path, keyed(api.sessions)),
        web.get(one, keyed(api.status)),
        web.get(one + "/prompt", keyed(api.prompt)),
        web.get(one + "/export", keyed(api.export)),
        web.post(one + "/reward", keyed(api.reward)),
        web.post(one + "/{action:pin|approve|retire}", keyed(api.judge)),
        web.post(one + f"/{{action:{_PLAIN}}}", keyed(api.command)),
    ]


class SessionApi:
    """What can be asked about the sessions of one algorithm, whatever the path."""

    def __init__(self, scope: Scope, rewards: SessionRewards, settings: Settings) -> None:
        self.settings = settings
        self._scope = scope
        self._rewards = rewards
        self._limit = settings.server.max_body_bytes

    async def create(self, request: web.Request) -> web.Response:
        """A session, new or already there, and where to send its calls."""
        created = await self._scope.create(await read_object(request, CONFIG_BYTES))
        urls = session_urls(request, self.settings, created)
        return web.json_response({**created, **urls})

    async def sessions(self, _request: web.Request) -> web.Response:
        """All sessions, in short (ours; not published)."""
        return web.json_response({"sessions": await self._scope.sessions()})

    async def status(self, request: web.Request) -> web.Response:
        """The session, its candidates and what they earned."""
        return web.json_response(await self._status(request))

    async def prompt(self, request: web.Request) -> web.Response:
        """Where to send calls; those of one conversation when a correlation id is given."""
        correlation_id = request.query.get("correlation_id") or None
        if correlation_id is not None and not is_correlation_id(correlation_id):
            raise InvalidRequest(
                "correlation_id must be 1 to 128 of A-Z a-z 0-9 _ . : -", param="correlation_id"
            )
        session = await self._status(request)
        answer: dict[str, Any] = {"session_id": session["session_id"]}
        if correlation_id is not None:
            answer["correlation_id"] = correlation_id
        return web.json_response(
            answer | session_urls(request, self.settings, session, correlation_id)
        )

    async def reward(self, request: web.Request) -> web.Response:
        """Count a reward; it shows in the status when this answers."""
        body = await read_object(request, self._limit)
        return web.json_response(await self._rewards.count(await self._status(request), body))

    async def command(self, request: web.Request) -> web.Response:
        """Pause, resume, cancel, complete, unpin or roll back; the status after it."""
        body = await read_object(request, self._limit, empty={})
        return await self._command(request, request.match_info["action"], body)

    async def judge(self, request: web.Request) -> web.Response:
        """Serve one candidate whatever the evidence, let a proven one take over, or have done with
        one."""
        body = await read_object(request, self._limit)
        candidate_id = body.get("candidate_id")
        if not isinstance(candidate_id, str) or not candidate_id:
            raise InvalidRequest("candidate_id must name a candidate", param="candidate_id")
        action = request.match_info["action"]
        return await self._command(request, action, {"candidate_id": candidate_id})

    async def export(self, request: web.Request) -> web.Response:
        """A prompt to keep: the best proven one unless another is named."""
        candidate_id = request.query.get("candidate_id") or None
        session = await self._status(request)
        return web.json_response(
            await self._scope.backend.export(session["session_id"], candidate_id)
        )

    async def _command(
        self, request: web.Request, action: str, arguments: Mapping[str, Any]
    ) -> web.Response:
        session_id = (await self._status(request))["session_id"]
        return web.json_response(await self._scope.backend.command(session_id, action, arguments))

    async def _status(self, request: web.Request) -> dict[str, Any]:
        """Of the session that the path names."""
        return await self._scope.status(request.match_info["session_id"])
