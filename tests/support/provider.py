"""An OpenAI-compatible provider on loopback: scriptable, and it remembers exactly what it saw."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

Script = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Seen:
    """One request as it arrived."""

    method: str
    target: str
    raw_headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    at: float = 0.0
    aborted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the caller left before the answer was complete."""
    finished: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        wanted = name.lower().encode()
        return next((v.decode() for k, v in self.raw_headers if k.lower() == wanted), None)

    @property
    def system(self) -> str:
        """The system prompt it was sent."""
        return next(m["content"] for m in self.json["messages"] if m["role"] == "system")


class FakeProvider:
    """`async with FakeProvider() as provider`; set `provider.script` to answer differently."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.script: Script | None = None
        self.arrived = asyncio.Event()
        """Set by every request whose head has arrived."""
        self._runner: web.AppRunner | None = None
        self.base_url = ""
        self._count = 0

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,
            auto_decompress=False,
            shutdown_timeout=0.1,
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def last(self) -> Seen:
        return self.seen[-1]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        seen = Seen(request.method, request.raw_path, list(request.raw_headers), at=loop.time())
        self.seen.append(seen)
        self.arrived.set()
        try:
            seen.body = await request.read()
            response = await (self.script or self.completions)(request, seen.body)
            if not response.prepared:
                await response.prepare(request)
            await response.write_eof()
            seen.finished = True
        except (asyncio.CancelledError, ConnectionError, web.RequestPayloadError):
            seen.aborted.set()
            raise
        return response

    async def completions(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """A plausible answer: says which prompt it was given, streamed when asked to."""
        if not request.path.endswith("/chat/completions"):
            return web.json_response({"object": "echo", "path": request.path_qs})
        try:
            asked = json.loads(body)
            messages = asked["messages"]
            said = str(messages[-1].get("content"))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            return web.json_response({"error": {"message": "bad request"}}, status=400)
        self._count += 1
        words = [f"reply {self._count}", " to ", said]
        calls = _tool_calls(asked)
        if not asked.get("stream"):
            return web.json_response(_completion(f"chatcmpl-{self._count}", words, calls))
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for chunk in _chunks(f"chatcmpl-{self._count}", words, calls):
            await response.write(chunk)
        return response


def _tool_calls(asked: dict[str, Any]) -> list[dict[str, Any]]:
    if not asked.get("tools"):
        return []
    name = asked["tools"][0]["function"]["name"]
    return [
        {"id": "call_1", "type": "function", "function": {"name": name, "arguments": '{"a": 1}'}}
    ]


def _completion(ident: str, words: list[str], calls: list[dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(words)}
    if calls:
        message["tool_calls"] = calls
    return {
        "id": ident,
        "object": "chat.completion",
        "created": 1,
        "model": "fake",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        "x_unknown": {"kept": True},
    }


def _chunks(ident: str, words: list[str], calls: list[dict[str, Any]]) -> list[bytes]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in words]
    for call in calls:
        first = {"name": call["function"]["name"], "arguments": ""}
        deltas.append({"tool_calls": [{**call, "index": 0, "function": first}]})
        deltas += [
            {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
            for piece in call["function"]["arguments"]
        ]
    events = [event(ident, choices=[{"index": 0, "delta": delta}]) for delta in deltas]
    events.append(event(ident, choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    events.append(event(ident, choices=[], usage=usage))
    return [*events, b"data: [DONE]\n\n"]


def event(ident: str, **fields: Any) -> bytes:
    """One event of a streamed completion."""
    body = {"id": ident, "object": "chat.completion.chunk", "created": 1, "model": "fake"}
    return b"data: " + json.dumps({**body, **fields}).encode() + b"\n\n"


def delta(text: str) -> bytes:
    """An event that adds text."""
    return event("chatcmpl-s", choices=[{"index": 0, "delta": {"content": text}}])


class RawProvider:
    """A provider that speaks in bytes: for what no HTTP server would send.

    `handle(reader, writer, n)` serves the n-th connection (from 1).
    """

    def __init__(
        self, handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]
    ) -> None:
        self._handle = handle
        self.connections = 0
        self.base_url = ""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._handle(reader, writer, self.connections)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of one request with a Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return head, await reader.readexactly(int(line.split(b":")[1]))
    return head, b""
