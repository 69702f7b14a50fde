"""The session client in all its forms, and a server that writes down what it is asked."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from sidecar.client import GepaOnlineSession, MiproOnlineSession

CLASSES = {"gepa": GepaOnlineSession, "mipro": MiproOnlineSession}
VARIABLES = ("SIDECAR_URL", "SIDECAR_KEY", "SYNTH_BACKEND_URL", "SYNTH_API_KEY")

Call = Callable[..., Awaitable[Any]]


async def _waiting(of: Any, method: str, *args: Any, **named: Any) -> Any:
    return await asyncio.to_thread(getattr(of, method), *args, **named)


async def _waiting_in_a_loop(of: Any, method: str, *args: Any, **named: Any) -> Any:
    async def block() -> Any:
        return getattr(of, method)(*args, **named)

    return await asyncio.to_thread(lambda: asyncio.run(block()))


async def _awaited(of: Any, method: str, *args: Any, **named: Any) -> Any:
    return await getattr(of, f"{method}_async")(*args, **named)


async def _awaited_entered(of: Any, method: str, *args: Any, **named: Any) -> Any:
    if isinstance(of, type):
        return await _awaited(of, method, *args, **named)
    async with of:
        return await _awaited(of, method, *args, **named)


FORMS: dict[str, Call] = {
    "blocking": _waiting,
    "blocking in a loop": _waiting_in_a_loop,
    "awaited": _awaited,
    "awaited, entered": _awaited_entered,
}
"""`await FORMS[form](session, "status")` calls that form of `status`."""


@dataclass
class SessionServer:
    """Answers whatever `answer` makes."""

    url: str = ""
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    """Method, target and JSON of each request."""
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)
    answer: Callable[[], Awaitable[web.StreamResponse]] | None = None

    def says(self, body: Any, status: int = 200, **headers: str) -> None:
        """Answer this JSON from now on."""
        self.says_text(json.dumps(body), status, **headers)

    def says_text(self, text: str, status: int = 200, **headers: str) -> None:
        """Answer this text from now on."""

        async def answer() -> web.StreamResponse:
            return web.Response(text=text, status=status, headers=headers)

        self.answer = answer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.calls.append((request.method, request.raw_path, json.loads(text) if text else None))
        self.headers.append(dict(request.headers))
        self.connections.add(request.transport)
        assert self.answer is not None
        return await self.answer()


@contextlib.asynccontextmanager
async def session_server() -> AsyncIterator[SessionServer]:
    """A server that answers `{}` until it is told otherwise."""
    ours = SessionServer()
    ours.says({})
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", ours.handle)
    async with TestServer(app) as server:
        ours.url = str(server.make_url("")).rstrip("/")
        yield ours
