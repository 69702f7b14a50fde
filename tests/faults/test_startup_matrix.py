"""What an operator meets when something is missing at the start, fault by fault (P3, P22).

What needs a person ends the start: one message that says what to do, exit code 1, no traceback, and
the file is left as it was. (Settings that are wrong end it with exit code 2, all of them named at
once: tests/integration/test_p22_misconfiguration.py.) A Redis server that cannot be had does not:
traffic flows within a second or so, everything that needs the store says so and asks for patience,
and as soon as the server is there all the rest starts, in the same process.
"""

import asyncio
import contextlib
import hashlib
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.degraded import Operator, settings
from support.fault_proxy import NONE, Fault, FaultProxy
from support.process import nursery, serving, spawn
from support.provider import FakeProvider
from support.redis_cluster import free_ports
from support.redis_server import RedisServer, running
from support.whole import whole, whole_settings

from sidecar.starting import PATIENCE_SECONDS
from sidecar.store._sql import MIGRATIONS

SLACK_SECONDS = 4.0
"""What a busy machine may add."""


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    with nursery(tmp_path_factory.mktemp("nursery")) as one:
        yield one


# -- SQLite: what needs a person -----------------------------------------------------------------


def newer(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA user_version = 99")


def no_database(path: Path) -> None:
    path.write_text("dear diary, " * 1000)


def damaged(path: Path) -> None:
    """Every page but the first one is overwritten."""
    with contextlib.closing(sqlite3.connect(path)) as file:
        for version, script in enumerate(MIGRATIONS, 1):
            file.executescript(f"{script} PRAGMA user_version = {version};")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xde\xad" * ((size - 4096) // 2))


PERMANENT: dict[str, tuple[Callable[[Path], None], str, str]] = {
    # what is at store.path: the fault, what is told, and the cure that is told
    "newer schema": (newer, "schema version 99, this sidecar knows only", "run the newer sidecar"),
    "no database": (no_database, "file is not a database", "restore a backup, or move it away"),
    "damaged database": (damaged, "disk image is malformed", "restore a backup, or move it away"),
}


@pytest.mark.parametrize("fault", PERMANENT)
async def test_a_file_that_needs_a_person_ends_the_start_and_is_left_alone(fault, tmp_path, parent):
    plant, said, cure = PERMANENT[fault]
    path = tmp_path / "sidecar.db"
    plant(path)
    before = digest(path)
    process = await spawn(tmp_path, settings("http://127.0.0.1:9/v1"), parent)
    assert await process.ended(20) == 1
    told(process.said, said, cure)
    assert digest(path) == before


PLACES = {
    # a file system of its own under the store: its options, exit code, what is told
    "folder not writable": ("ro", 2, "cannot be written by this user"),  # a setting that is wrong
    "full disk": ("size=48k", 1, "database or disk is full (free some space there)"),
}
MOUNTED = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o "$1" none "$2" && shift 2 && exec "$@"')
"""A tiny tmpfs that only the child sees, and that ends with it; needs no root."""


def may_mount() -> bool:
    tried = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    return tried.returncode == 0


@pytest.mark.skipif(not may_mount(), reason="a user namespace may not mount a tmpfs here")
@pytest.mark.parametrize("fault", PLACES)
async def test_a_place_where_nothing_can_be_written_ends_the_start(fault, tmp_path):
    options, code, said = PLACES[fault]
    place = tmp_path / "place"
    place.mkdir()
    config = settings("http://127.0.0.1:9/v1", store__path=place / "sidecar.db")
    within = (*MOUNTED, "sh", options, str(place))
    process = await spawn(tmp_path, config, within=within)
    assert await process.ended(20) == code
    told(process.said, said)


async def test_a_file_that_another_sidecar_uses_ends_the_start(tmp_path, parent):
    async with serving(tmp_path, settings("http://127.0.0.1:9/v1"), parent):
        second = await spawn(tmp_path, settings("http://127.0.0.1:9/v1"), parent)
        assert await second.ended(20) == 1
    told(second.said, "Another sidecar is using", "give each its own file")


async def test_a_file_of_the_first_version_is_brought_up_to_date(tmp_path, parent):
    path = tmp_path / "sidecar.db"
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.executescript(f"{MIGRATIONS[0]} PRAGMA user_version = 1;")
        file.execute("INSERT INTO assignment VALUES (1, 'old', 'r1', '{}')")
        file.commit()
    async with (
        FakeProvider() as provider,
        serving(tmp_path, settings(provider.base_url), parent) as process,
        aiohttp.ClientSession() as http,
    ):
        operator = Operator(http, process)
        assert await operator.store() == {"kind": "sqlite", "durable": True, "state": "up"}
        assert (await operator.says("hi")).headers["x-sidecar-mode"] == "baseline"
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
    with contextlib.closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert file.execute("SELECT rollout_id FROM assignment ORDER BY id").fetchone() == ("r1",)


def told(said: str, *words: str) -> None:
    """One message at the end, for people, with all of this in it."""
    message = said.rpartition("sidecar: ")[2]
    for word in words:
        assert word in message, said
    assert "Traceback" not in said
    assert "listening" not in said


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


# -- Redis: what comes back by itself ------------------------------------------------------------


@dataclass
class Redis:
    """A server, and a way to it that can be hurt."""

    server: RedisServer
    proxy: FaultProxy
    admin: Any
    """A connection from before the fault."""

    def do(self, *command: str) -> Callable[[], Awaitable[None]]:
        async def done() -> None:
            await asyncio.to_thread(self.admin.execute_command, *command)

        return done

    def behave(self, fault: Fault) -> Callable[[], Awaitable[None]]:
        async def done() -> None:
            self.proxy.fault = fault

        return done

    def signalled(self, act: Callable[[], None]) -> Callable[[], Awaitable[None]]:
        return lambda: asyncio.to_thread(act)


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory):
    (port,) = free_ports(1)
    with running(tmp_path_factory.mktemp("r"), "--port", str(port)) as server:
        yield server, port


@pytest.fixture
async def redis(redis_server) -> AsyncIterator[Redis]:
    server, port = redis_server
    async with FaultProxy(f"redis://127.0.0.1:{port}") as proxy:
        with server.client() as admin:
            yield Redis(server, proxy, admin)
            server.thaw()
            admin.config_set("requirepass", "")
            admin.execute_command("REPLICAOF", "NO", "ONE")
            admin.flushall()


LOADING = Fault(instead=b"-LOADING Redis is loading the dataset in memory\r\n" * 2)
REQUIRED = ("CONFIG", "SET", "requirepass")
AWAY: dict[str, tuple[str, Callable[[Redis], tuple[Any, Any]], str]] = {
    # user and password in store.url; how the fault is made and how it goes; what is told of it
    "refused": ("", lambda r: (r.proxy.refuse, r.proxy.listen), "cannot be reached"),
    "black hole": (
        "",
        lambda r: (r.behave(Fault(black_hole=True)), r.behave(NONE)),
        "answer",
    ),
    "frozen": ("", lambda r: (r.signalled(r.server.freeze), r.signalled(r.server.thaw)), "answer"),
    "loading": ("", lambda r: (r.behave(LOADING), r.behave(NONE)), "loading the dataset"),
    "a replica": (
        "",
        lambda r: (r.do("REPLICAOF", "127.0.0.1", "1"), r.do("REPLICAOF", "NO", "ONE")),
        "copy of another server",
    ),
    "password not given": (
        "",
        lambda r: (r.do(*REQUIRED, "s3cret-word"), r.do(*REQUIRED, "")),
        "Authentication required",
    ),
    "wrong password": (
        ":wr0ng-word@",
        lambda r: (r.do(*REQUIRED, "s3cret-word"), r.do(*REQUIRED, "wr0ng-word")),
        "invalid username-password",
    ),
}


@pytest.mark.parametrize("fault", AWAY)
async def test_traffic_flows_without_the_store_and_all_the_rest_comes_with_it(
    fault, tmp_path, parent, redis
):
    user, plan, reason = AWAY[fault]
    begin, end = plan(redis)
    config_of = {
        "store__kind": "redis",
        "store__url": f"redis://{user}127.0.0.1:{redis.proxy.port}",
    }
    await begin()
    async with (
        FakeProvider() as provider,
        serving(tmp_path, settings(provider.base_url, **config_of), parent) as process,
        aiohttp.ClientSession() as http,
    ):
        assert process.started_in < PATIENCE_SECONDS + SLACK_SECONDS
        operator = Operator(http, process)
        await degraded(operator, reason)
        await end()
        await recovered(operator)
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
    said = process.said
    assert said.count("started without the store") == 1, said
    assert said.count("learning has started") == 1, said
    assert reason in said
    for trace in ("Traceback", "s3cret-word", "wr0ng-word"):
        assert trace not in said


async def degraded(operator: Operator, reason: str) -> None:
    """What is seen while the store is away."""
    assert await operator.probe("/livez") == (200, "ok")
    assert await operator.probe("/readyz") == (200, "ok")
    store = await operator.store()
    assert (store["kind"], store["state"], store["durable"]) == ("redis", "degraded", False)
    assert reason in store["reason"]
    for path in ("/v1", "/api/gepa/v1/s1", "/api/gepa/v1/made-over-the-api"):
        began = time.monotonic()
        answer = await operator.says("hi", path)
        assert time.monotonic() - began < SLACK_SECONDS
        assert answer.status == 200
        assert answer.headers["x-sidecar-mode"] == "failopen"
        assert answer.headers["x-sidecar-reason"] == "not_loaded"
        assert "x-gepa-rollout-id" not in answer.headers
    assert await operator.counted('sidecar_failopen_total{reason="not_loaded"}') == 3
    for method, path, body in NEEDS_THE_STORE:
        began = time.monotonic()
        status, headers, text = await operator.asks(method, path, body)
        assert time.monotonic() - began < SLACK_SECONDS
        assert (status, headers["Retry-After"]) == (503, "1"), (path, text)
        assert "Try again later" in text
        assert "store" in text
        dialect = "application/json" if path.startswith("/api/") else "application/problem+json"
        assert headers["Content-Type"].startswith(dialect)


NEEDS_THE_STORE = [
    ("POST", "/feedback", {"rollout_id": "r1", "thumbs": "up"}),
    ("GET", "/feedback/dead-letters", None),
    ("GET", "/api/prompt-learning/online/gepa/sessions", None),
    ("POST", "/api/prompt-learning/online/gepa/sessions", {"session_id": "s2"}),
    ("GET", "/api/prompt-learning/online/gepa/sessions/s1", None),
    ("POST", "/api/prompt-learning/online/gepa/sessions/s1/reward", {"rollout_id": "r"}),
    ("GET", "/api/policy-optimization/online/jobs", None),
    ("GET", "/api/eval/jobs", None),
    ("GET", "/api/v1/crypto/public-key", None),
    ("POST", "/api/demo/keys", {}),
]


async def recovered(operator: Operator) -> None:
    """Everything works, without a restart."""
    await operator.becomes("up")
    answer = await operator.says("hello")
    assert answer.headers["x-sidecar-mode"] == "baseline"
    told = {"rollout_id": answer.headers["x-gepa-rollout-id"], "thumbs": "up"}
    status, _, text = await operator.asks("POST", "/feedback", told)
    assert status == 202, text
    assert '"durable": true' in text
    await operator.reaches("s1", reward_count=1)
    for method, path, body in NEEDS_THE_STORE:
        if method == "GET":
            status, _, text = await operator.asks(method, path, body)
            assert status == 200, (path, text)


async def test_data_of_a_newer_sidecar_on_the_server_ends_the_start(tmp_path, parent, redis):
    redis.admin.set("sidecar:{:meta}:schema", 99)
    config = settings(
        "http://127.0.0.1:9/v1",
        store__kind="redis",
        store__url=f"redis://127.0.0.1:{redis.proxy.port}",
    )
    process = await spawn(tmp_path, config, parent)
    assert await process.ended(20) == 1
    told(process.said, "schema version 99", "run the newer sidecar")


# -- the way out ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["refused", "frozen"])
async def test_a_start_that_still_waits_for_the_store_stops_cleanly(fault, tmp_path, parent, redis):
    begin, _ = AWAY[fault][1](redis)
    url = f"redis://127.0.0.1:{redis.proxy.port}"
    config = settings("http://127.0.0.1:9/v1", store__kind="redis", store__url=url)
    await begin()
    async with serving(tmp_path, config, parent) as process:
        process.signal(signal.SIGTERM)
        assert await process.ended(SLACK_SECONDS + 2) == 0
    assert "Traceback" not in process.said
    assert "exception" not in process.said


@pytest.mark.parametrize("fault", ["refused", "frozen"])
async def test_a_store_that_is_gone_at_the_end_costs_one_warning_and_not_the_exit_code(
    fault, tmp_path, parent, redis
):
    begin, _ = AWAY[fault][1](redis)
    url = f"redis://127.0.0.1:{redis.proxy.port}"
    async with FakeProvider() as provider, aiohttp.ClientSession() as http:
        config = settings(provider.base_url, store__kind="redis", store__url=url)
        async with serving(tmp_path, config, parent) as process:
            assert (await Operator(http, process).says("hi")).status == 200
            await begin()
            process.signal(signal.SIGTERM)
            assert await process.ended(SLACK_SECONDS + 10) == 0
    assert process.said.count("stopped without the store") == 1, process.said
    assert "Traceback" not in process.said


async def test_an_acknowledgement_says_what_the_store_says_at_that_moment(redis):
    async with FakeProvider() as provider:
        store = {"kind": "redis", "url": f"redis://127.0.0.1:{redis.proxy.port}"}
        async with whole(whole_settings(provider.base_url, store=store)) as ours:
            for appendonly, durable in (("yes", True), ("no", False), ("yes", True)):
                redis.admin.config_set("appendonly", appendonly)
                event = {"event_id": f"e-{os.urandom(4).hex()}", "rollout_id": "r", "thumbs": "up"}
                async with ours.http.post(f"{ours.sidecar.url}/feedback", json=event) as answer:
                    assert answer.status == 202
                    assert (await answer.json())["durable"] is durable
