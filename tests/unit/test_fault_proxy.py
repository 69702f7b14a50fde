"""The proxy that other tests hurt connections with does what it says, and stops when it is told."""

import asyncio
import contextlib
import time

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from support.fault_proxy import NONE, Fault, FaultProxy, answer, dead_end
from support.provider import FakeProvider

SHORT = 0.1
"""Seconds in which nothing must come."""
LINE = b"0123456789abcdef\n"


class Echo:
    """Answers what it hears with the same."""

    def __init__(self):
        self.said = b""
        self.heard = asyncio.Event()
        self._writers = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self.leave()

    def leave(self):
        """As a server that ends does."""
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader, writer):
        self._writers.append(writer)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 20):
                self.said += data
                self.heard.set()
                writer.write(data)
                await writer.drain()
        writer.close()


class Line:
    """A client's connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def say(self, line=LINE):
        self.writer.write(line)
        await self.writer.drain()

    async def hears(self, expected=LINE):
        async with asyncio.timeout(5):
            assert await self.reader.readexactly(len(expected)) == expected

    async def hears_nothing(self):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.reader.read(1), SHORT)


@contextlib.asynccontextmanager
async def connected(proxy):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()


@pytest.fixture
async def echo():
    async with Echo() as echo:
        yield echo


@pytest.fixture
async def proxy(echo):
    async with FaultProxy(echo.address) as proxy:
        yield proxy


@pytest.fixture
async def line(proxy):
    """A connection on which all was well so far."""
    async with connected(proxy) as line:
        await line.say()
        await line.hears()
        yield line


async def test_without_a_fault_nothing_happens_to_what_passes(line):
    big = b"x" * 300_000 + b"\n"
    line.writer.write(big)
    await line.hears(big)


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [(Fault(delay=0.1), 0.1), (Fault(rate=170), 0.1), (Fault(slice=5, delay=0.03), 0.12)],
    ids=["delay", "bandwidth", "slices"],
)
async def test_a_slow_answer_is_whole_and_comes_later(fault, seconds, proxy, line):
    proxy.fault = fault
    began = time.monotonic()
    await line.say()
    await line.hears()
    assert time.monotonic() - began >= seconds
    proxy.fault = NONE
    await line.say()
    await line.hears()


async def test_slices_come_one_by_one(proxy, line):
    proxy.fault = Fault(slice=6, delay=0.02)
    await line.say()
    pieces = [await line.reader.read(100) for _ in range(3)]
    assert pieces == [LINE[:6], LINE[6:12], LINE[12:]]


async def test_a_black_hole_takes_everything_and_the_server_knows_nothing(proxy, line, echo):
    proxy.fault = Fault(black_hole=True)
    await line.say(b"lost\n")
    await line.hears_nothing()
    async with connected(proxy) as late:
        await late.say(b"lost\n")
        await late.hears_nothing()
    proxy.fault = NONE
    await line.say()
    await line.hears()
    assert b"lost" not in echo.said


async def test_a_half_open_connection_delivers_and_says_nothing(proxy, line, echo):
    proxy.fault = Fault(half_open=True)
    echo.heard.clear()
    await line.say(b"heard\n")
    await asyncio.wait_for(echo.heard.wait(), 5)
    await line.hears_nothing()
    assert echo.said.endswith(b"heard\n")


@pytest.mark.parametrize("fault", [Fault(half_open=True), Fault(black_hole=True)], ids=repr)
async def test_a_server_that_leaves_silently_is_not_missed_until_the_fault_is_over(
    fault, proxy, line, echo
):
    proxy.fault = fault
    echo.leave()
    await line.hears_nothing()
    async with connected(proxy) as late:
        await late.say()
        await late.hears_nothing()
        proxy.fault = NONE
        assert await late.reader.read() == b""
    assert await line.reader.read() == b""


async def test_refused_cuts_what_is_open_and_takes_nobody_until_it_listens_again(proxy, line):
    await proxy.refuse()
    assert await line.reader.read() == b""
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    await proxy.listen()
    async with connected(proxy) as again:
        await again.say()
        await again.hears()


@pytest.mark.parametrize("after", [0, 5])
async def test_a_reset_comes_after_so_many_bytes(after, proxy, line):
    proxy.fault = Fault(reset_after=after)
    await line.say()
    await line.hears(LINE[:after])
    with pytest.raises(ConnectionResetError):
        await line.reader.read(1)


async def test_garbage_comes_instead_and_nothing_is_passed_on(proxy, line, echo):
    proxy.fault = Fault(instead=b"\0\1\2")
    await line.say(b"lost\n")
    assert await line.reader.read() == b"\0\1\2"
    assert b"lost" not in echo.said


async def test_an_http_request_arrives_twice_and_is_answered_once():
    async with FakeProvider() as provider, FaultProxy(provider.base_url) as proxy:
        proxy.fault = Fault(duplicate=True)
        async with connected(proxy) as client:
            body = b'{"event_id": "e1"}'
            head = f"POST /feedback HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            await client.say(head.encode() + body)
            await client.hears(b"HTTP/1.1 200 OK")
        async with asyncio.timeout(5):
            while sum(seen.finished for seen in provider.seen) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert [seen.body for seen in provider.seen] == [body] * 2


async def test_it_stands_in_front_of_redis_as_well(redis_url, redis_prefix):
    async with FaultProxy(redis_url) as proxy:
        options = {"socket_timeout": SHORT, "retry": Retry(NoBackoff(), 0)}
        async with redis.asyncio.Redis.from_url(proxy.url, **options) as client:
            assert await client.incr(f"{redis_prefix}:n") == 1
            proxy.fault = Fault(half_open=True)
            with pytest.raises(redis.TimeoutError):
                await client.incr(f"{redis_prefix}:n")
            proxy.fault = Fault(instead=b"-LOADING not yet\r\n")
            with pytest.raises(redis.exceptions.BusyLoadingError):
                await client.incr(f"{redis_prefix}:n")
            proxy.fault = Fault(duplicate=True)
            await client.incr(f"{redis_prefix}:n")
            proxy.fault = NONE
            async with asyncio.timeout(5):
                while await client.get(f"{redis_prefix}:n") != b"4":  # noqa: ASYNC110
                    await asyncio.sleep(0.01)


async def test_where_nobody_answers_there_is_no_connection_and_no_refusal():
    async with dead_end() as nowhere:
        host, port = nowhere.split(":")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.open_connection(host, port), SHORT)


def test_an_answer_is_http():
    assert answer("503 Down", b"{}").endswith(b"Content-Length: 2\r\nConnection: close\r\n\r\n{}")
