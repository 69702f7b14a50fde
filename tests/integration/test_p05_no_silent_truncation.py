"""P5: a provider that dies in the middle of its answer is never mistaken for one that finished."""

import asyncio
import json

import pytest
from aiohttp import web
from support.gateway import RawClient, ask, running, settings
from support.provider import FakeProvider, RawProvider, delta, read_request

BODY = {"model": "m", "messages": ask("hi"), "stream": True}
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def dying(head, *pieces):
    async def handle(reader, writer, _n):
        await read_request(reader)
        writer.write(head)
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if head.endswith(CHUNKED) else piece)
            await writer.drain()
        writer.transport.abort()

    return handle


async def received(port, body=BODY, path="/v1/chat/completions", version=b"1.1"):
    """Everything the client gets until the connection ends, and whether it ended in a reset."""
    async with RawClient(port) as client:
        data = json.dumps(body).encode()
        await client.send(
            b"POST %b HTTP/%b\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"
            % (path.encode(), version, len(data), data)
        )
        got = b""
        try:
            async with asyncio.timeout(5):
                while chunk := await client.reader.read(65536):
                    got += chunk
        except ConnectionResetError:
            return got, True
        return got, False


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/other"])
async def test_an_event_stream_is_told_and_cut(path):
    async with (
        RawProvider(dying(SSE + CHUNKED, delta("a"), delta("b"))) as provider,
        running(settings(provider.base_url)) as ours,
    ):
        got, _ = await received(ours.port, path=path)
        assert delta("a") in got
        assert b"[DONE]" not in got
        assert not got.endswith(b"0\r\n\r\n")
        last = got.rstrip(b"\r\n").split(b"data: ")[-1]
        error = json.loads(last)["error"]
        assert error["type"] == "upstream_error"
        assert error["code"] == "upstream_disconnected"
        kind, mode = ("chat", "baseline") if "chat" in path else ("other", "passthrough")
        assert await ours.accounted(1) == {(kind, mode, "failed"): 1}


async def test_the_event_stands_by_itself_after_a_complete_line():
    line = delta("a").removesuffix(b"\n")
    async with (
        RawProvider(dying(SSE + CHUNKED, line)) as provider,
        running(settings(provider.base_url)) as ours,
    ):
        got, _ = await received(ours.port)
        assert b'\ndata: {"error"' in got


async def test_half_a_line_is_cut_without_another_word():
    async with (
        RawProvider(dying(SSE + CHUNKED, delta("a"), b'data: {"cho')) as provider,
        running(settings(provider.base_url)) as ours,
    ):
        got, _ = await received(ours.port)
        assert b"error" not in got
        assert not got.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("head", "encoded"),
    [
        (b"HTTP/1.1 200 OK\r\n" + CHUNKED, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", False),
        (SSE + b"Content-Length: 999\r\n\r\n", True),
        (SSE + b"Content-Encoding: gzip\r\n" + CHUNKED, False),
    ],
)
async def test_any_other_answer_is_cut_short_of_its_end(head, encoded):
    async with (
        RawProvider(dying(head, b"half\n\n")) as provider,
        running(settings(provider.base_url)) as ours,
    ):
        got, _ = await received(ours.port)
        assert b"half" in got
        assert (b'"error"' in got) is encoded
        assert not got.endswith(b"0\r\n\r\n")
        assert [o for _, _, o in await ours.accounted(1)] == ["failed"]
        assert [t.chain_key for t in ours.store.turns] == [None]


async def test_where_only_the_end_of_the_connection_ends_the_answer_it_is_a_reset():
    async with (
        RawProvider(dying(b"HTTP/1.1 200 OK\r\n" + CHUNKED, b"half")) as provider,
        running(settings(provider.base_url)) as ours,
    ):
        _, was_reset = await received(ours.port, version=b"1.0")
        assert was_reset


async def test_a_provider_that_falls_silent_is_one_that_died():
    async def silent(request, _body):
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(delta("a"))
        await asyncio.Event().wait()

    async with FakeProvider() as provider:
        config = settings(provider.base_url, provider={"read_timeout": 0.05})
        async with running(config) as ours:
            provider.script = silent
            got, _ = await received(ours.port)
            assert b"upstream_timeout" in got


async def test_a_whole_answer_ends_as_a_whole_one():
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        async with RawClient(ours.port) as client:
            await client.chat(BODY)
            got = await client.reader.readuntil(b"\r\n0\r\n\r\n")
            assert b"[DONE]" in got
        assert await ours.accounted(1) == {("chat", "baseline", "ok"): 1}


async def test_an_error_that_the_provider_reports_in_its_stream_is_a_failed_turn():
    async def confess(request, _body):
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(delta("a") + b'data: {"error": {"message": "overloaded"}}\n\n')
        return response

    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        provider.script = confess
        await ours.chat(ask("hi"), stream=True)
        (turn,) = await ours.store.settled(1)
        assert turn.outcome == "failed"
        assert turn.chain_key is None
