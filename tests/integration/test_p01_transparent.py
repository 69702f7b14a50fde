"""P1: without a session, provider and client see the same bytes as without us."""

import asyncio
import contextlib
import gzip
from dataclasses import dataclass

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gateway import RawClient, StaticBackend, request_bytes, running
from support.gateway import settings as config
from support.provider import FakeProvider, RawProvider, read_request

HOP = {b"host", b"connection", b"keep-alive"}
NO_BODY = (b"Content-Length", b"0")


@dataclass
class Exchange:
    """What the provider saw and what the client got, as bytes."""

    target: str
    method: str
    sent: list[tuple[bytes, bytes]]
    body: bytes
    status: bytes
    received: list[bytes]
    answer: bytes


async def read_answer(reader, *, has_body):
    """Status line, headers and body of an answer (chunked or with a length)."""
    head = await reader.readuntil(b"\r\n\r\n")
    status, *lines = head.rstrip(b"\r\n").split(b"\r\n")
    named = {line.split(b":")[0].lower(): line.split(b":", 1)[1].strip() for line in lines}
    body = b""
    if has_body and named.get(b"transfer-encoding") == b"chunked":
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    elif has_body:
        body = await reader.readexactly(int(named.get(b"content-length", b"0")))
    framing = (b"date:", b"transfer-encoding:")
    return status, [line for line in lines if not line.lower().startswith(framing)], body


async def exchange(port, provider, case):
    method, target, headers, body = case
    async with RawClient(port) as client:
        await client.send(request_bytes(method, target, body, *headers))
        no_body = method == "HEAD" or provider.status in {204, 304}
        status, received, answer = await read_answer(client.reader, has_body=not no_body)
    seen = provider.last
    # "No body" is said by no length, or by a length of zero.
    sent = [(k, v) for k, v in seen.raw_headers if k.lower() not in HOP and (k, v) != NO_BODY]
    return Exchange(seen.target, seen.method, sent, seen.body, status, received, answer)


class Scripted(FakeProvider):
    """Answers with this status, these headers and this body."""

    status, headers, body, chunked = 200, (), b"", False

    async def _serve(self, request):
        self.script = self._answer
        return await super()._serve(request)

    async def _answer(self, request, _body):
        response = web.StreamResponse(status=self.status)
        for name, value in self.headers:
            response.headers.add(name, value)
        if self.chunked or self.status in {204, 304} or request.method == "HEAD":
            await response.prepare(request)
        else:
            response.content_length = len(self.body)
            await response.prepare(request)
        if self.status not in {204, 304} and request.method != "HEAD":
            await response.write(self.body)
        return response


TOKENS = st.text(alphabet="abcXYZ019-_", min_size=1, max_size=8)
VALUES = st.text(alphabet="abc XYZ,;=/\"'()\t~", max_size=12).map(str.strip)
CLIENT_HEADERS = st.lists(
    st.tuples(st.just("x-c-").flatmap(lambda p: TOKENS.map(p.__add__)), VALUES)
)
SEGMENTS = st.text(alphabet="ab~!$&'()*+,;=:@-_", min_size=1, max_size=6)
ENCODED = st.sampled_from(["%2F", "%20", "%C3%BC", "%25", "%3a", "a%2fb"])
PATHS = st.lists(st.one_of(SEGMENTS, ENCODED, st.just("")), max_size=4).map("/".join)
QUERIES = st.sampled_from(["", "?a=b&a=c", "?q=%2F+%20", "?x=/?:@", "?limit=2&after=%7E"])


@dataclass
class Case:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    status: int
    answer: bytes
    zipped: bool
    chunked: bool


CASES = st.builds(
    Case,
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]),
    target=st.builds("/v1/{}{}".format, PATHS, QUERIES),
    headers=CLIENT_HEADERS,
    body=st.binary(max_size=200),
    status=st.sampled_from([200, 201, 204, 301, 304, 400, 404, 429, 500, 503]),
    answer=st.binary(max_size=200),
    zipped=st.booleans(),
    chunked=st.booleans(),
)


async def compare(case, provider, ours):
    provider.status, provider.chunked = case.status, case.chunked
    provider.body = gzip.compress(case.answer, mtime=0) if case.zipped else case.answer
    provider.headers = [
        ("content-encoding", "gzip") if case.zipped else ("x-plain", "1"),
        ("Set-Cookie", "a=1"),
        ("SET-COOKIE", "b=2; Path=/"),
        ("Retry-After", "7"),
        ("X-Request-Id", "req-of-the-provider"),
        ("Location", "http://elsewhere/"),
        ("content-type", "application/x-odd"),
    ]
    lines = [f"{name}: {value}".encode() for name, value in case.headers]
    sent = b"" if case.method in {"GET", "HEAD"} else case.body
    args = (case.method, case.target, [*lines, b"user-AGENT: me"], sent)
    direct_port = int(provider.base_url.split(":")[2].split("/")[0])
    direct = await exchange(direct_port, provider, args)
    through = await exchange(ours.port, provider, args)
    assert through == direct


def test_the_same_bytes_arrive_with_and_without_us():
    with asyncio.Runner() as runner:

        async def start():
            stack = contextlib.AsyncExitStack()
            provider = await stack.enter_async_context(Scripted())
            ours = await stack.enter_async_context(running(config(provider.base_url)))
            return stack, provider, ours

        stack, provider, ours = runner.run(start())

        @settings(max_examples=200, deadline=None)
        @given(CASES)
        def same(case):
            runner.run(compare(case, provider, ours))

        try:
            same()
            assert all(mode == "passthrough" for _, mode, _ in ours.requests())
        finally:
            runner.run(stack.aclose())


async def test_a_chat_without_a_rule_is_not_even_parsed():
    async with FakeProvider() as provider:
        without = config(provider.base_url).model_copy(update={"routes": ()})
        async with running(without) as ours:
            body = b'{"messages" :  [{"role":"user","content":"hi"}], "a":1, "a":2}'
            answer = await ours.post("/v1/chat/completions", body)
            assert answer.status == 200
            assert provider.last.body == body
            assert not [name for name in answer.headers if name.startswith(("x-gepa", "x-side"))]
            assert "x-correlation-id" not in answer.headers
            assert ours.backend.selected == []
            assert await ours.accounted(1) == {("chat", "passthrough", "ok"): 1}


async def test_a_rule_that_names_a_session_we_do_not_have_is_no_rule():
    async with (
        FakeProvider() as provider,
        running(config(provider.base_url), StaticBackend(session="else")) as ours,
    ):
        answer = await ours.post("/v1/chat/completions", b"not json")
        assert answer.status == 400
        assert answer.json == {"error": {"message": "bad request"}}
        assert provider.last.body == b"not json"
        assert "x-sidecar-mode" not in answer.headers


async def test_compressed_request_bodies_stay_compressed():
    async with FakeProvider() as provider, running(config(provider.base_url)) as ours:
        body = gzip.compress(b'{"input": "x"}', mtime=0)
        await ours.post("/v1/embeddings", body, {"content-encoding": "gzip"})
        assert provider.last.body == body
        assert provider.last.header("content-encoding") == "gzip"


async def test_nothing_is_added_to_a_request():
    async with FakeProvider() as provider, running(config(provider.base_url)) as ours:
        async with RawClient(ours.port) as client:
            await client.send(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
            await client.head()
        assert [name.lower() for name, _ in provider.last.raw_headers] == [b"host"]


async def test_cookies_of_one_client_are_not_given_to_the_next():
    async with Scripted() as provider, running(config(provider.base_url)) as ours:
        provider.headers = [("Set-Cookie", "__cf_bm=tenant-1")]
        await ours.post("/v1/a", b"")
        await ours.post("/v1/b", b"")
        assert provider.last.header("cookie") is None


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/v1/models",
        "/v1/../admin",
        "/v1/./models",
        "/v1/a/%2e%2e/b",
        "/v1/a/.%2E",
        "/v1/%252e%252e/b",
        "/v1/..%2f..%2fadmin",
        "/v1/..%5cadmin",
        "/v1/..\\admin",
    ],
)
async def test_a_request_cannot_choose_another_origin_or_climb(target):
    async with FakeProvider() as provider, running(config(provider.base_url)) as ours:
        async with RawClient(ours.port) as client:
            await client.send(request_bytes("GET", target))
            status, _, body = await read_answer(client.reader, has_body=True)
        assert b" 400 " in status or b" 404 " in status
        assert b'"error"' in body
        assert provider.seen == []


async def test_what_an_answer_smuggles_in_its_headers_is_dropped():
    async def odd(reader, writer, _n):
        await read_request(reader)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Fine: 1\r\nConnection: x-hop\r\n"
        writer.write(head + b"X-Hop: 1\r\nX-Bad: a\x01b\r\nX-Gepa-Rollout-Id: mine\r\n\r\nok")
        await writer.drain()
        await reader.read()

    async with RawProvider(odd) as provider, running(config(provider.base_url)) as ours:
        answer = await ours.chat([{"role": "user", "content": "hi"}])
        assert answer.headers["x-fine"] == "1"
        assert not {"x-hop", "x-bad"} & set(answer.headers)
        assert answer.headers["x-gepa-rollout-id"] == answer.correlation
