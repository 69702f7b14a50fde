"""What is done to whom, and what is promised of the calls meanwhile."""

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from support.fault_proxy import NONE, Fault, FaultProxy, answer

from bench.faults.parts import READ_TIMEOUT, Parts
from bench.faults.promises import InBudget, Promise, Told, WaitedFor

BACKEND, REDIS, PROVIDER = "backend", "Redis", "provider"
SLOW = 0.3
"""Seconds before each piece of an answer."""
NOTICED = 9.0
"""Seconds in which a backend that swallows everything is noticed: `backend.poll_seconds` and 4."""

Plant = Callable[[Parts], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Cell:
    """One fault of one dependency."""

    where: str
    fault: str
    plant: Plant
    promise: Promise
    at_once: int = 1
    """How many of its calls are made together, where each of them takes long."""


def by_proxy(where: str, fault: Fault) -> Plant:
    """A fault of the connection."""

    @contextlib.asynccontextmanager
    async def plant(parts: Parts) -> AsyncIterator[None]:
        proxy = _proxy(parts, where)
        proxy.fault = fault
        try:
            yield
        finally:
            proxy.fault = NONE

    return plant


def refused(where: str) -> Plant:
    """Nobody listens, and open connections are cut."""

    @contextlib.asynccontextmanager
    async def plant(parts: Parts) -> AsyncIterator[None]:
        await _proxy(parts, where).refuse()
        try:
            yield
        finally:
            await _proxy(parts, where).listen()

    return plant


@contextlib.asynccontextmanager
async def frozen(parts: Parts) -> AsyncIterator[None]:
    """The Redis server is stopped, as by SIGSTOP."""
    parts.redis_server.freeze()
    try:
        yield
    finally:
        parts.redis_server.thaw()


@contextlib.asynccontextmanager
async def full(parts: Parts) -> AsyncIterator[None]:
    """The Redis server has no memory left: `-OOM` to each write."""
    with parts.redis_server.client() as client:
        client.config_set("maxmemory", "1mb")
        try:
            yield
        finally:
            client.config_set("maxmemory", "0")


def _proxy(parts: Parts, where: str) -> FaultProxy:
    return {BACKEND: parts.backend, REDIS: parts.redis, PROVIDER: parts.provider}[where]


_ERROR = b'{"error": {"message": "boom", "type": "server_error", "code": "theirs"}}'
_500 = Fault(instead=answer("500 Internal Server Error", _ERROR, "application/json"))
_GARBAGE = Fault(instead=b"\0\1\2 EHLO\r\n\r\n")
_LOADING = Fault(instead=b"-LOADING Redis is loading the dataset in memory\r\n")
_UNREACHABLE = Told("502 upstream_unreachable")
_SILENT = Told("504 upstream_timeout", within=READ_TIMEOUT + 1)
_CUT = Told("200, then cut")


def _cell(where: str, name: str, fault: Fault, promise: Promise, *, at_once: int = 1) -> Cell:
    return Cell(where, name, by_proxy(where, fault), promise, at_once)


_BACKEND = (
    Cell(BACKEND, "refuse", refused(BACKEND), InBudget()),
    _cell(BACKEND, "black hole", Fault(black_hole=True), InBudget(NOTICED)),
    _cell(BACKEND, "half open", Fault(half_open=True), InBudget(NOTICED)),
    _cell(BACKEND, "500", _500, InBudget()),
    _cell(BACKEND, "slow", Fault(delay=SLOW), WaitedFor(), at_once=6),
    _cell(BACKEND, "garbage", _GARBAGE, InBudget()),
    _cell(BACKEND, "reset", Fault(reset_after=0), InBudget()),
)
_REDIS = (
    Cell(REDIS, "refuse", refused(REDIS), InBudget()),
    _cell(REDIS, "black hole", Fault(black_hole=True), InBudget()),
    _cell(REDIS, "half open", Fault(half_open=True), InBudget()),
    Cell(REDIS, "frozen", frozen, InBudget()),
    Cell(REDIS, "-OOM", full, InBudget()),
    _cell(REDIS, "-LOADING", _LOADING, InBudget()),
    _cell(REDIS, "slow", Fault(delay=SLOW), InBudget()),
    _cell(REDIS, "garbage", _GARBAGE, InBudget()),
    _cell(REDIS, "reset", Fault(reset_after=0), InBudget()),
)
_PROVIDER = (
    Cell(PROVIDER, "refuse", refused(PROVIDER), _UNREACHABLE),
    _cell(PROVIDER, "black hole", Fault(black_hole=True), _SILENT, at_once=6),
    _cell(PROVIDER, "500", _500, Told("500 theirs")),
    _cell(PROVIDER, "slow", Fault(delay=SLOW), WaitedFor(), at_once=6),
    _cell(PROVIDER, "garbage", _GARBAGE, _UNREACHABLE),
    _cell(PROVIDER, "reset", Fault(reset_after=0), _UNREACHABLE),
    _cell(PROVIDER, "cut", Fault(reset_after=300), _CUT),
)
TOGETHER = (_BACKEND, (*_REDIS, *_PROVIDER))
"""Two series that do not touch each other's parts, so they can be under way at the same time."""
