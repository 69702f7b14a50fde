"""A proxy that does to a connection what networks and dying servers do to it.

`async with FaultProxy(url) as proxy`: point the client at `proxy.url`, and set `proxy.fault`; it
holds from then on, for connections that are open too. It works on bytes and does not know what they
mean, so it stands in front of anything that speaks TCP.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

_RESET = struct.pack("ii", 1, 0)
_PIECE = 64 * 1024


@dataclass(frozen=True)
class Fault:
    """What happens to a connection; by default nothing."""

    delay: float = 0.0
    """Seconds before each piece of an answer."""
    rate: float = 0.0
    """Bytes a second that answers come at; 0 for as fast as they can."""
    slice: int = 0
    """Bytes in a piece of an answer; 0 for as they came."""
    black_hole: bool = False
    """Connections are taken, and everything that is sent disappears."""
    half_open: bool = False
    """What is sent arrives, and no answer ever comes back."""
    reset_after: int | None = None
    """Bytes of answers, since the fault was set, after which the connection is reset; 0: with the
    first."""
    instead: bytes | None = None
    """What answers everything; nothing is passed on."""
    duplicate: bool = False
    """Each piece of an answer comes twice."""


NONE = Fault()


class FaultProxy:
    """Between a client and the server at `target`, a URL or `host:port`."""

    def __init__(self, target: str) -> None:
        self.target(target)
        self.fault = NONE
        self.connections = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def target(self, url: str) -> None:
        """Where new connections go."""
        parts = urlsplit(url if "//" in url else f"//{url}")
        self._to = parts.hostname, parts.port
        self._scheme = parts.scheme

    async def listen(self) -> None:
        """Take connections, at the same port as before."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Cut all connections and take no new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await asyncio.sleep(0)  # what had been accepted has its task now
        left = dict(self._open)
        for task, client_out in left.items():
            task.cancel()
            client_out.transport.abort()  # the task may not even have begun
        await asyncio.gather(*left, return_exceptions=True)

    def _connected(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(client_in, client_out))
        self._open[task] = client_out
        task.add_done_callback(self._open.pop)

    async def _serve(
        self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter
    ) -> None:
        try:
            if self._server is not None:
                await self._between(client_in, client_out)
                client_out.close()
                await client_out.wait_closed()
        except OSError:
            pass  # one of them is gone, and now the other one is cut off
        finally:
            client_out.transport.abort()

    async def _between(
        self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter
    ) -> None:
        server_in, server_out = await asyncio.open_connection(*self._to)
        pumps = [
            asyncio.create_task(self._requests(client_in, server_out, client_out)),
            asyncio.create_task(self._answers(server_in, client_out)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            server_out.transport.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _requests(
        self,
        client_in: asyncio.StreamReader,
        server_out: asyncio.StreamWriter,
        client_out: asyncio.StreamWriter,
    ) -> None:
        while data := await client_in.read(_PIECE):
            if self.fault.instead is not None:
                client_out.write(self.fault.instead)
                await client_out.drain()
                return
            if not self.fault.black_hole:
                server_out.write(data)
                await server_out.drain()

    async def _answers(
        self, server_in: asyncio.StreamReader, client_out: asyncio.StreamWriter
    ) -> None:
        sent, counted = 0, self.fault
        while data := await server_in.read(_PIECE):
            if self.fault.black_hole or self.fault.half_open:
                continue
            for piece in _sliced(data, self.fault.slice):
                fault = self.fault
                if fault is not counted:
                    sent, counted = 0, fault
                await asyncio.sleep(fault.delay + (len(piece) / fault.rate if fault.rate else 0.0))
                if fault.reset_after is not None and sent + len(piece) >= fault.reset_after:
                    client_out.write(piece[: fault.reset_after - sent])
                    await client_out.drain()
                    _reset(client_out)
                    return
                client_out.write(piece * (2 if fault.duplicate else 1))
                await client_out.drain()
                sent += len(piece)


def _sliced(data: bytes, size: int) -> Iterator[bytes]:
    size = size or len(data)
    for start in range(0, len(data), size):
        yield data[start : start + size]


def _reset(writer: asyncio.StreamWriter) -> None:
    own = writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


@contextlib.asynccontextmanager
async def dead_end() -> AsyncIterator[str]:
    """An address (`host:port`) at which no connection is ever made nor refused: the queue of those
    that wait is full."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(address)
        await asyncio.sleep(0.05)
        yield f"{address[0]}:{address[1]}"


def answer(status: str, body: bytes = b"", content_type: str = "text/plain") -> bytes:
    """An HTTP answer in bytes, for `Fault.instead`."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body
