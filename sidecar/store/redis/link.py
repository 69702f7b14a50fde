"""The way to the server: every question has an answer or a `StoreError` in bounded time.

A command is sent once. It is not known of a write whose answer was lost whether it happened, so it
is for the caller to ask again; every write may be made twice. When the server does not answer, the
link is down: one line in the log, and everything fails at once, instead of each in its own time,
until a probe in the background gets an answer. Idle connections are looked at before they are used,
so a server that came back costs no failed call.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog
from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ClusterDownError,
    InvalidResponse,
    NoScriptError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
)
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import TimeoutError as Late

from sidecar.store.base import StoreError
from sidecar.store.redis.health import Client, Health, is_cluster, is_durable, look
from sidecar.store.redis.scripts import Command, with_text

T = TypeVar("T")

ANSWER_SECONDS = 2.0
"""Longest wait for an answer, connecting included; and longest wait for a turn to ask."""
PROBE_SECONDS = 0.1
"""Pause between two attempts to reach a server that did not answer."""
AT_ONCE = 16
"""Questions that are under way at the same time; further ones wait for their turn."""
_CONNECTIONS = 4 * AT_ONCE
"""A bound that turns keep far away from."""
_IDLE_SECONDS = 15
"""A connection idle for longer is tried with a PING before it is used."""
SILENT = (Lost, Late, ClusterDownError, ReadOnlyError, InvalidResponse, OSError)
"""No answer, or one that says no more than that: a server that still loads its files, or is only a
copy since a fail-over; something else in its place. The standard library's timeout is an `OSError`.
"""
REFUSED = (RedisError, RedisClusterException, ValueError)
"""What the server, or the client's encoder, says about a command that cannot be done."""

_log = structlog.get_logger(__name__)


def address(url: str) -> str:
    """Where that is, without user, password and options."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path}"


def _reason(error: Exception) -> str:
    """Why there is no connection; a foreign error about the address itself may quote a password."""
    if isinstance(error, Late | TimeoutError):
        return "no answer in time"
    told = str(error) if isinstance(error, RedisError | OSError) else ""
    return told or type(error).__name__


def unusable(error: BaseException) -> StoreError:
    """What to tell the caller. The text of foreign errors may quote data, their names do not."""
    return StoreError(f"The store cannot do this now ({type(error).__name__}); try again later")


class Link:
    """One client, its bounds, and whether the server answers."""

    def __init__(self, url: str) -> None:
        self.address = address(url)
        self.health = Health()
        self.up = asyncio.Event()
        """Set while the server answers."""
        self.trouble = ""
        """Why it does not; empty while it does."""
        self._url = url
        self._client: Client | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._probe: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect. Raises `StoreError`."""
        if self._client is not None:
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._client, health = await _connect(self._url)
        except (*SILENT, *REFUSED) as error:
            raise StoreError(
                f"The store cannot be reached at {self.address}: {_reason(error)}"
            ) from error
        self._learn(health, first=True)
        self.up.set()

    async def close(self) -> None:
        """Let go."""
        if self._client is None:
            return
        client, self._client = self._client, None
        self.up.clear()
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        await _hang_up(client)

    async def ask(self, command: Command) -> Any:
        """The answer to one command. Raises `StoreError`."""

        async def run(client: Client) -> Any:
            try:
                return await client.execute_command(*command)
            except NoScriptError:
                return await client.execute_command(*with_text(command))

        async with self._turn():
            return await self._bounded(run)

    async def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to all of them, sent at once. Raises `StoreError`, also when only one of them
        was refused."""
        if not commands:
            return []
        async with self._turn():
            answers = await self.send(commands)
        for answer in answers:
            if isinstance(answer, Exception):
                raise unusable(answer) from answer
        return answers

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, or the refusals as exceptions, without waiting for a turn. Raises
        `StoreError` when there are none; then it is not known what was done."""

        async def run(client: Client) -> list[Any]:
            answers = await _pipe(client, commands)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                answers = await _pipe(client, [with_text(command) for command in commands])
            for answer in answers:
                if isinstance(answer, SILENT):
                    raise answer
            return answers

        return await self._bounded(run)

    async def look_again(self) -> None:
        """Ask whether the server still keeps what it is told: it may have been started anew with
        other settings, or been told others. What it does not say, it does not promise."""
        try:
            async with self._turn():
                durable = await self._bounded(is_durable)
        except StoreError:
            self.health = replace(self.health, durable=False)
            return
        self._learn(replace(self.health, durable=durable))

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise StoreError("The store is behind; try again later") from None
        try:
            yield
        finally:
            self._turns.release()

    async def _bounded(self, run: Callable[[Client], Awaitable[T]]) -> T:
        if self._client is None:
            raise StoreError("The store is not open")
        if not self.up.is_set():
            raise StoreError("The store's server does not answer; try again later")
        before = _cancellations()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await run(self._client)
        except SILENT as error:
            self._lost(error)
            raise unusable(error) from error
        except REFUSED as error:
            raise unusable(error) from error
        if _cancellations() > before:
            # `asyncio.wait_for`, by which redis-py sends, loses a cancellation that comes while it
            # ends (Python 3.11): whoever is to stop would go on for ever.
            raise asyncio.CancelledError
        return answer

    # -- up and down ----------------------------------------------------------------------------

    def _lost(self, error: Exception) -> None:
        if self.up.is_set() and self._client is not None:
            self.up.clear()
            self.trouble = f"The store does not answer at {self.address}: {_reason(error)}"
            _log.warning("store lost", server=self.address, error=type(error).__name__)
            self._probe = asyncio.create_task(self._until_back(self._client))

    async def _until_back(self, client: Client) -> None:
        while not self.up.is_set():
            await asyncio.sleep(PROBE_SECONDS)
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await _let_go_of_idle(client)
                    self._learn(await look(client))
            except SILENT:
                continue
            except REFUSED as error:  # it answers
                _log.warning("store's server is odd", error=type(error).__name__)
            self.trouble = ""
            self.up.set()
        _log.info("store back", server=self.address)

    def _learn(self, health: Health, *, first: bool = False) -> None:
        """Say how the server keeps what it is told, when that is news."""
        if health == self.health and not first:
            return
        self.health = health
        if health.durable:
            _log.info("store's server is durable", server=self.address, fsync=health.fsync)
        else:
            _log.warning(
                "store's server forgets when it ends: its append-only file is off "
                "(appendonly yes switches it on)",
                server=self.address,
            )
        if health.evicts:
            _log.warning("store's server may drop data: it needs maxmemory-policy noeviction")


def _cancellations() -> int:
    """How often the current task has been asked to stop."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def _options() -> dict[str, Any]:
    return {
        "socket_timeout": ANSWER_SECONDS,
        "socket_connect_timeout": ANSWER_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": _IDLE_SECONDS,
        "protocol": 2,
        "encoding_errors": "surrogatepass",  # users can send half a surrogate pair
        "max_connections": _CONNECTIONS,
    }


async def _connect(url: str) -> tuple[Client, Health]:
    single = Redis.from_pool(ConnectionPool.from_url(url, **_options()))
    client: Client = single
    try:
        if await is_cluster(single):
            await _hang_up(single)
            client = RedisCluster.from_url(url, **_options())
        return client, await look(client)
    except BaseException:
        await _hang_up(client)
        raise


async def _let_go_of_idle(client: Client) -> None:
    """Look the name up again: after a fail-over another server may have it."""
    if isinstance(client, Redis):
        await client.connection_pool.disconnect(inuse_connections=False)


async def _hang_up(client: Client) -> None:
    with contextlib.suppress(*SILENT, *REFUSED):
        async with asyncio.timeout(ANSWER_SECONDS):
            await client.aclose()


async def _pipe(client: Client, commands: Sequence[Command]) -> list[Any]:
    async with client.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        return list(await pipe.execute(raise_on_error=False))
