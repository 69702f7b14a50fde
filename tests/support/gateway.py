"""The gateway on loopback, with everything around it that a test wants to look at."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
import structlog
from aiohttp import web
from yarl import URL

from sidecar.api.gateway import RUNNER_OPTIONS, routes
from sidecar.api.middleware import request_ids
from sidecar.api.problems import problems
from sidecar.core.rollout import Assignment, Turn
from sidecar.gateway.gateway import Gateway
from sidecar.settings import Settings
from sidecar.telemetry.metrics import Metrics
from support.backend import StaticBackend


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody announces."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)


@dataclass
class TurnLog:
    """The part of a store that the gateway writes to."""

    turns: list[Turn] = field(default_factory=list)
    fail: Exception | None = None
    accepts: bool = True

    def record_assignment(self, assignment: Assignment) -> asyncio.Future[Assignment | None]:
        raise AssertionError("the backend records assignments")

    def record_turn(self, turn: Turn) -> bool:
        if self.fail is not None:
            raise self.fail
        self.turns.append(turn)
        return self.accepts

    async def settled(self, count: int) -> list[Turn]:
        """The turns, once there are so many."""
        await until(lambda: len(self.turns) >= count)
        return self.turns


@dataclass
class Running:
    """A running gateway."""

    url: str
    gateway: Gateway
    backend: StaticBackend
    store: TurnLog
    metrics: Metrics
    client: aiohttp.ClientSession
    port: int

    async def chat(
        self,
        messages: list[dict[str, Any]],
        *,
        path: str = "/v1/chat/completions",
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> "Answer":
        body = {"model": "m", "messages": messages, **fields}
        return await self.post(path, json.dumps(body).encode(), headers)

    async def post(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> "Answer":
        sent = {"content-type": "application/json", **(headers or {})}
        async with self.client.post(
            URL(self.url + path, encoded=True), data=body, headers=sent
        ) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def requests(self) -> dict[tuple[str, str, str], float]:
        """(route, mode, outcome) of all calls counted."""
        return {
            (s.labels["route"], s.labels["mode"], s.labels["outcome"]): s.value
            for metric in self.metrics.requests.collect()
            for s in metric.samples
            if s.name.endswith("_total")
        }

    def _idle_after(self, count: int) -> bool:
        busy = self.value("sidecar_in_flight_requests")
        return not busy and sum(self.requests().values()) >= count

    async def accounted(self, count: int) -> dict[tuple[str, str, str], float]:
        """The calls, once there are so many and none is under way; exactly so many."""
        await until(lambda: self._idle_after(count))
        assert sum(self.requests().values()) == count
        return self.requests()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def __post_init__(self) -> None:
        self.headers = {name.lower(): value for name, value in self.headers.items()}

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.json["choices"][0]["message"]["content"]

    @property
    def candidate(self) -> str:
        return self.headers["x-gepa-candidate-id"]

    @property
    def correlation(self) -> str:
        return self.headers["x-correlation-id"]


def settings(base_url: str, **sections: Any) -> Settings:
    """Settings with this provider; by default every chat call belongs to session `s1`."""
    provider = {"base_url": base_url, **sections.pop("provider", {})}
    return Settings.model_validate(
        {"provider": provider, "routes": ({"session": "s1"},), **sections}
    )


@contextlib.asynccontextmanager
async def running(
    config: Settings, backend: StaticBackend | None = None, store: TurnLog | None = None
) -> AsyncIterator[Running]:
    """Serve a gateway and close everything afterwards."""
    backend, store, metrics = backend or StaticBackend(), store or TurnLog(), Metrics()
    gateway = Gateway(config, backend, store, metrics)
    app = web.Application(middlewares=[request_ids, problems], client_max_size=1024)
    app.add_routes(routes(gateway))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, **RUNNER_OPTIONS)
    logs = structlog.get_config()
    # structlog's own choice where `rich` is installed shows every local variable: slow, and a leak.
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    await gateway.start()
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    client = aiohttp.ClientSession(
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=30),
    )
    try:
        yield Running(f"http://127.0.0.1:{port}", gateway, backend, store, metrics, client, port)
    finally:
        await client.close()
        await runner.cleanup()
        await gateway.stop()
        structlog.configure(**logs)


class RawClient:
    """A client in bytes, which can stop reading, send anything, and vanish at any moment."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self._port = port
        self._buffer = receive_buffer

    async def __aenter__(self) -> Self:
        sock = socket.socket()
        sock.setblocking(False)
        if self._buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
        limit = self._buffer or 2**16
        self.reader, self.writer = await asyncio.open_connection(sock=sock, limit=limit)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def leave(self) -> None:
        self.writer.transport.abort()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def chat(self, body: dict[str, Any], path: str = "/v1/chat/completions") -> None:
        data = json.dumps(body).encode()
        await self.send(request_bytes("POST", path, data))

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")


def request_bytes(method: str, target: str, body: bytes = b"", *headers: bytes) -> bytes:
    lines = [f"{method} {target} HTTP/1.1".encode(), b"Host: sidecar", *headers]
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body])


def ask(text: str, system: str | None = "You are helpful.") -> list[dict[str, Any]]:
    """The first turn of a conversation."""
    head = [{"role": "system", "content": system}] if system is not None else []
    return [*head, {"role": "user", "content": text}]
