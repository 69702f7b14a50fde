"""`sidecar tunnel PORT`: a public address for a server on this machine, such as a task app or a
webhook, by way of Cloudflare's quick tunnels.

Runs their program, waits until the address is there and answers, prints it, and stays until it is
told to stop. What the program says is passed on only when it fails.
"""

import argparse
import asyncio
import contextlib
import os
import re
import shutil
import signal
from collections import deque
from typing import TextIO

import aiohttp

from sidecar.errors import SidecarError

PROGRAM = "cloudflared"
_INSTALL = (
    f"{PROGRAM} is not installed (or not on the PATH): install it with your system's package "
    f"manager (brew install {PROGRAM}), or from "
    "https://developers.cloudflare.com/cloudflare-one/connections/connect-networks/downloads/, and "
    "run this again"
)
_ADDRESS = re.compile(r"\|\s+(https?://\S+)\s+\|")
"""The address stands in a box of its own."""
_CONNECT_SECONDS = 3.0
_ADDRESS_SECONDS = 60.0
_ANSWER_SECONDS = 90.0
"""A new name takes a while until everybody knows it."""
_RETRY_SECONDS = 1.0
_CALL_SECONDS = 10.0
_END_SECONDS = 5.0
"""How long the program may take to end in order."""
_NOT_YET = frozenset({502, 503, 504, *range(520, 531)})
"""Statuses of Cloudflare's own: the server behind it has not been asked."""
_LINES = 5
"""Lines of the program's that are shown when it fails."""


def tunnel(arguments: argparse.Namespace, out: TextIO) -> int:
    """Keep a tunnel open until a signal comes."""
    asyncio.run(_run(arguments.port, out))
    return 0


async def _run(port: int, out: TextIO) -> None:
    program = shutil.which(PROGRAM)
    if program is None:
        raise SidecarError(_INSTALL)
    await _check_port(port)
    # In a session of its own: what a terminal sends to all of us reaches it through us, once.
    child = await asyncio.create_subprocess_exec(
        program, "tunnel", "--no-autoupdate", "--url", f"http://127.0.0.1:{port}",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    tunnel = _Tunnel(child)
    try:
        await _serve(tunnel, out)
    finally:
        await _end(child, told=tunnel.told)


async def _serve(tunnel: "_Tunnel", out: TextIO) -> None:
    """Until a signal comes, or the program ends, which is an error."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, tunnel.forward, number, told)
    reading = asyncio.create_task(tunnel.read())
    opening = asyncio.create_task(_open(tunnel, out))
    stopping = asyncio.create_task(told.wait())
    tasks = {reading, opening, stopping}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if opening.done() and not stopping.done():
            opening.result()
            await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            raise SidecarError(f"{PROGRAM} ended by itself; it said: {tunnel.said}")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Tunnel:
    """The running program."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child
        self.told = False
        """Whether it has been passed a signal: it ends by itself then."""
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._address: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def said(self) -> str:
        """Its last lines."""
        return " / ".join(self._lines) or "nothing"

    async def read(self) -> None:
        """Read what it says, to its end."""
        assert self._child.stderr is not None
        async for raw in self._child.stderr:
            line = raw.decode(errors="replace").strip()
            found = _ADDRESS.search(line)
            if found and not self._address.done():
                self._address.set_result(found[1])
            self._lines.append(line)

    async def address(self) -> str:
        """The public address, once it has said so. Raises `SidecarError`."""
        try:
            async with asyncio.timeout(_ADDRESS_SECONDS):
                return await self._address
        except TimeoutError:
            raise SidecarError(
                f"{PROGRAM} names no address after {_ADDRESS_SECONDS:g} s; it said: {self.said}"
            ) from None

    def forward(self, number: signal.Signals, told: asyncio.Event) -> None:
        """Pass a signal on, and remember that it came."""
        told.set()
        self.told = True
        _signal(self._child, number)


async def _open(tunnel: _Tunnel, out: TextIO) -> None:
    """Print the address when it answers."""
    address = await tunnel.address()
    last = "nothing yet"
    try:
        async with asyncio.timeout(_ANSWER_SECONDS), aiohttp.ClientSession() as http:
            while (last := await _answer(http, address)) != "":  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(_RETRY_SECONDS)
    except TimeoutError:
        raise SidecarError(
            f"{address} does not answer after {_ANSWER_SECONDS:g} s ({last}); try again"
        ) from None
    out.write(address + "\n")
    out.flush()


async def _answer(http: aiohttp.ClientSession, address: str) -> str:
    """Empty when the server behind the address answers, whatever it says; else what is wrong."""
    limits = aiohttp.ClientTimeout(total=_CALL_SECONDS)
    try:
        async with http.get(address, allow_redirects=False, timeout=limits) as answer:
            return f"HTTP {answer.status}" if answer.status in _NOT_YET else ""
    except (aiohttp.ClientError, TimeoutError) as error:
        return str(error) or type(error).__name__


async def _check_port(port: int) -> None:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (OSError, TimeoutError):
        raise SidecarError(
            f"nothing answers at http://127.0.0.1:{port}: start your server first"
        ) from None
    writer.close()


async def _end(child: asyncio.subprocess.Process, *, told: bool) -> None:
    """See the program end, by force if need be."""
    if not told:
        _signal(child, signal.SIGTERM)
    try:
        async with asyncio.timeout(_END_SECONDS):
            await child.wait()
    except TimeoutError:
        _signal(child, signal.SIGKILL)
        await child.wait()


def _signal(child: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Unlike `Process.send_signal`, this never collects a child that has ended, which is its
    watcher's to do."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)
