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
_LINGER = 1.0
"""Seconds that a duplicate has to be dealt with once its client has gone."""


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
    """Connections are taken, and everything that is sent disappears, the end of the server too."""
    half_open: bool = False
    """What is sent arrives; no answer ever comes back, nor the news that the server has gone."""
    reset_after: int | None = None
    """Bytes of answers, since the fault was set, after which the connection is reset; 0: with the
    first."""
    instead: bytes | None = None
    """What answers everything; nothing is passed on."""
    duplicate: bool = False
    """What is sent arrives twice, the second time over a connection of its own at the same time;
    the answers to that are nobody's."""

    @property
    def is_silent(self) -> bool:
        """Whether nothing at all comes back."""
        return self.black_hole or self.half_open


NONE = Fault()


class FaultProxy:
    """Between a client and the server at `target`: a URL, `host:port`, or Redis's `unix://…`."""

    def __init__(self, target: str) -> None:
        self.target(target)
        self._fault = NONE
        self._changed = asyncio.Event()
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
    def fault(self) -> Fault:
        """What happens to connections now."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._fault = fault
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def url(self) -> str:
        scheme = "redis" if self._to.scheme == "unix" else self._to.scheme
        return f"{scheme}://127.0.0.1:{self.port}"

    def target(self, url: str) -> None:
        """Where new connections go."""
        self._to = urlsplit(url if "//" in url else f"//{url}")

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
        try:
            server_in, server_out = await self._connect()
        except OSError:
            if not self.fault.is_silent:
                raise
            await self._swallow(client_in)
            return
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

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._to.scheme == "unix":
            return await asyncio.open_unix_connection(self._to.path)
        return await asyncio.open_connection(self._to.hostname, self._to.port)

    async def _swallow(self, client_in: asyncio.StreamReader) -> None:
        """Let a client believe that somebody is there, until it leaves or the fault is over."""
        reading = asyncio.create_task(_drained(client_in))
        over = asyncio.create_task(self._heard())
        try:
            await asyncio.wait({reading, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
            over.cancel()

    async def _heard(self) -> None:
        """Wait until something can come back."""
        while self.fault.is_silent:
            await self._changed.wait()

    async def _requests(
        self,
        client_in: asyncio.StreamReader,
        server_out: asyncio.StreamWriter,
        client_out: asyncio.StreamWriter,
    ) -> None:
        async with contextlib.AsyncExitStack() as stack:
            second: asyncio.StreamWriter | None = None
            while data := await client_in.read(_PIECE):
                if self.fault.instead is not None:
                    client_out.write(self.fault.instead)
                    await client_out.drain()
                    return
                if self.fault.black_hole:
                    continue
                if self.fault.duplicate:
                    second = second or await stack.enter_async_context(self._second())
                    second.write(data)
                server_out.write(data)
                await server_out.drain()

    @contextlib.asynccontextmanager
    async def _second(self) -> AsyncIterator[asyncio.StreamWriter]:
        """Another connection to the server. It outlives the block by a moment, for what was sent on
        it should be dealt with."""
        answers, requests = await self._connect()
        task = asyncio.create_task(_drained(answers))
        self._open[task] = requests
        task.add_done_callback(lambda task: self._open.pop(task).transport.abort())
        try:
            yield requests
        finally:
            asyncio.get_running_loop().call_later(_LINGER, task.cancel)

    async def _answers(
        self, server_in: asyncio.StreamReader, client_out: asyncio.StreamWriter
    ) -> None:
        sent, counted = 0, self.fault
        while data := await server_in.read(_PIECE):
            if self.fault.is_silent:
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
                client_out.write(piece)
                await client_out.drain()
                sent += len(piece)
        await self._heard()


async def _drained(reader: asyncio.StreamReader) -> None:
    """Read to the end, whatever it says."""
    with contextlib.suppress(OSError):
        while await reader.read(_PIECE):
            pass


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
