"""`sidecar tunnel` with a program that plays cloudflared: what it is told, what is printed, and
that it never outlives us."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sidecar.commands.tunnel import _ADDRESS

ROOT = Path(__file__).parents[2]
PROGRAM = """#!{python}
import os, pathlib, signal, sys, time
folder = pathlib.Path({folder!r})
def note(number, _):
    (folder / "signal").write_text(signal.Signals(number).name)
    if {obeys}:
        sys.exit(0)
signal.signal(signal.SIGINT, note)
signal.signal(signal.SIGTERM, note)
(folder / "arguments").write_text(" ".join(sys.argv[1:]))
(folder / "pid").write_text(str(os.getpid()))
say = lambda line: print(line, file=sys.stderr, flush=True)
{script}
"""
BOX = """
say("2026-01-01T00:00:00Z INF Thank you for trying https://developers.example.com/x")
say("2026-01-01T00:00:00Z INF |  Your quick Tunnel has been created! Visit it at:  |")
say("2026-01-01T00:00:00Z INF |  {url}                                  |")
while True:
    time.sleep(60)
"""


def play(folder, script, *, obeys=True):
    """Put a cloudflared on the path."""
    path = folder / "cloudflared"
    path.write_text(
        PROGRAM.format(python=sys.executable, folder=str(folder), script=script, obeys=obeys)
    )
    path.chmod(0o700)


async def started(folder, port):
    """`sidecar tunnel PORT` with nothing but that folder on the path."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar", "tunnel", str(port),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": str(folder), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


async def ended(process, seconds=30):
    """Its exit code and what it said."""
    async with asyncio.timeout(seconds):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


def is_alive(folder):
    try:
        os.kill(int((folder / "pid").read_text()), 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
async def public():
    """The address of the tunnel: at first Cloudflare answers, then the server behind it."""
    statuses = [530, 502, 404]

    async def handle(_request):
        return web.Response(status=statuses.pop(0) if len(statuses) > 1 else statuses[0])

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(app) as server:
        server.statuses = statuses
        yield server


@pytest.fixture
def port(public):
    """Of a server on this machine; any will do."""
    return public.port


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_address_is_printed_once_it_answers_and_signals_are_passed_on(
    tmp_path, public, port, number
):
    url = str(public.make_url("")).rstrip("/")
    play(tmp_path, BOX.format(url=url))
    process = await started(tmp_path, port)
    async with asyncio.timeout(60):
        assert (await process.stdout.readline()).decode() == url + "\n"
    assert public.statuses == [404], "Cloudflare's own answers are none"
    arguments = (tmp_path / "arguments").read_text()
    assert arguments == f"tunnel --no-autoupdate --url http://127.0.0.1:{port}"
    process.send_signal(number)
    assert await ended(process) == (0, "", "")
    assert (tmp_path / "signal").read_text() == number.name
    assert not is_alive(tmp_path)


async def test_a_program_that_does_not_obey_is_ended_by_force(tmp_path, public, port):
    play(tmp_path, BOX.format(url=str(public.make_url(""))), obeys=False)
    process = await started(tmp_path, port)
    async with asyncio.timeout(60):
        await process.stdout.readline()
    process.terminate()
    assert (await ended(process))[0] == 0
    assert not is_alive(tmp_path)


async def test_a_program_that_gives_up_is_an_error_with_its_own_words(tmp_path, port):
    play(tmp_path, 'say("ERR failed to request quick Tunnel: 429"); sys.exit(1)')
    code, out, err = await ended(await started(tmp_path, port), 60)
    assert (code, out) == (1, "")
    assert err == (
        "sidecar: cloudflared ended by itself; it said: ERR failed to request quick Tunnel: 429\n"
    )


async def test_without_the_program_it_says_what_to_install(tmp_path, port):
    code, out, err = await ended(await started(tmp_path, port), 60)
    assert (code, out) == (1, "")
    assert err.startswith("sidecar: cloudflared is not installed")
    assert "brew install cloudflared" in err
    assert len(err.splitlines()) == 1


async def test_a_port_where_nobody_listens_is_an_error_and_nothing_is_started(tmp_path):
    play(tmp_path, BOX.format(url="http://h"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        code, _, err = await ended(await started(tmp_path, port), 60)
    assert code == 1
    assert err == f"sidecar: nothing answers at http://127.0.0.1:{port}: start your server first\n"
    assert not (tmp_path / "pid").exists()


def test_the_address_is_the_one_in_the_box():
    line = "2026-01-01T00:00:00Z INF |  https://a-b-c.trycloudflare.com            |"
    assert _ADDRESS.search(line)[1] == "https://a-b-c.trycloudflare.com"
    for other in ("INF Requesting new quick Tunnel on trycloudflare.com...", "see https://x.y/z"):
        assert _ADDRESS.search(other) is None
