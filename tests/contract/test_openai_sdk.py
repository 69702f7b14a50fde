"""The real OpenAI SDK must not notice us: every result is what the provider itself would give."""

import asyncio
import contextlib
import json

import openai
import pytest
from aiohttp import web
from support.gateway import StaticBackend, ask, running, settings
from support.provider import FakeProvider, RawProvider, delta, read_request

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
IMAGE = [
    {"type": "text", "text": "what is this?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
]
REQUESTS = [
    {"messages": ask("hi")},
    {"messages": ask("hi", None)},
    {"messages": ask("hi"), "tools": TOOLS, "tool_choice": "auto"},
    {"messages": [*ask("hi")[:1], {"role": "user", "content": IMAGE}]},
    {"messages": ask("hi"), "extra_body": {"x_unknown": {"deep": [1, None]}}, "temperature": 0.5},
]


@contextlib.asynccontextmanager
async def bases(backend=None):
    """The base URLs: direct, through us, and a session's own; each with a provider of its own, so
    that the answers are numbered alike."""
    async with contextlib.AsyncExitStack() as stack:
        direct = await stack.enter_async_context(FakeProvider())
        found = [(direct.base_url, direct)]
        for path in ("/v1", "/api/gepa/v1/s1", "/api/gepa/v1/s1/v1", "/api/gepa/v1/s1/trace_1"):
            provider = await stack.enter_async_context(FakeProvider())
            ours = await stack.enter_async_context(running(settings(provider.base_url), backend))
            found.append((ours.url + path, provider))
        yield found


def client_of(base, **options):
    return openai.AsyncOpenAI(base_url=base, api_key="k", timeout=5, max_retries=0, **options)


@pytest.mark.parametrize("asked", REQUESTS)
async def test_async_completions(asked):
    async with bases() as found:
        results, bodies = [], []
        for base, provider in found:
            async with client_of(base) as client:
                raw = await client.chat.completions.with_raw_response.create(model="m", **asked)
                results.append(raw.parse().model_dump())
                bodies.append(provider.last.json["messages"])
                is_ours = base != found[0][0]
                assert ("x-gepa-rollout-id" in raw.headers) is is_ours
                if is_ours:
                    assert raw.headers["x-sidecar-mode"] == "baseline"
        assert all(result == results[0] for result in results)
        if asked["messages"][0]["role"] == "system":
            assert all(body == bodies[0] for body in bodies)
        else:
            assert bodies[1] == [{"role": "system", "content": "You are helpful."}, *bodies[0]]


@pytest.mark.parametrize("asked", REQUESTS)
async def test_async_streams(asked):
    async with bases() as found:
        results = []
        for base, _ in found:
            async with client_of(base) as client:
                create = client.chat.completions.create
                async with await create(model="m", stream=True, **asked) as stream:
                    results.append([chunk.model_dump() async for chunk in stream])
        assert len(results[0]) > 3
        assert all(result == results[0] for result in results)


async def test_the_sync_client():
    def use(base):
        with openai.OpenAI(base_url=base, api_key="k", timeout=5, max_retries=0) as client:
            whole = client.chat.completions.create(model="m", messages=ask("hi"))
            create = client.chat.completions.create
            with create(model="m", messages=ask("hi"), tools=TOOLS, stream=True) as stream:
                chunks = [chunk.model_dump() for chunk in stream]
            return whole.model_dump(), chunks

    async with bases() as found:
        results = [await asyncio.to_thread(use, base) for base, _ in found]
        assert all(result == results[0] for result in results)


async def test_a_candidate_is_all_that_changes():
    backend = StaticBackend(candidates={"c": "Be brief."})
    async with bases(backend) as found:
        for base, provider in found:
            async with client_of(base) as client:
                await client.chat.completions.create(
                    model="m", messages=ask("hi"), tools=TOOLS, seed=7, logit_bias={"1": 2}
                )
            is_ours = base != found[0][0]
            assert provider.last.system == ("Be brief." if is_ours else "You are helpful.")
        bodies = [provider.last.json for _, provider in found]
        without = [{**body, "messages": body["messages"][1:]} for body in bodies]
        assert all(body == without[0] for body in without)


async def test_everything_else_passes_with_the_same_bytes():
    async def echo(request, body):
        # "No body" is said by no length, or by a length of zero.
        not_compared = {b"host", b"connection"} | (set() if body else {b"content-length"})
        head = {
            k.decode(): v.decode() for k, v in request.raw_headers if k.lower() not in not_compared
        }
        return web.json_response(
            {"id": "x", "object": "list", "data": [], "body": body.hex(), "head": head}
        )

    async def use(base):
        # One boundary, or the two uploads differ by nature.
        multipart = {"content-type": "multipart/form-data; boundary=b"}
        async with client_of(base) as client:
            calls = [
                client.models.with_raw_response.list(),
                client.embeddings.with_raw_response.create(
                    model="e", input="hi", encoding_format="float"
                ),
                client.responses.with_raw_response.create(model="m", input="hi"),
                client.files.with_raw_response.create(
                    file=("a.jsonl", b"\x00\xff\r\n" * 999),
                    purpose="batch",
                    extra_headers=multipart,
                ),
                client.files.with_raw_response.delete("file-1"),
            ]
            return [(await call).content for call in calls]

    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        provider.script = echo
        direct, through = await use(provider.base_url), await use(ours.url + "/v1")
        assert through == direct
        targets = [(seen.method, seen.target) for seen in provider.seen]
        assert targets[:5] == targets[5:]
        assert targets[4] == ("DELETE", "/v1/files/file-1")


@pytest.mark.parametrize("stream", [False, True])
async def test_the_providers_errors_are_the_same_errors(stream):
    async def limited(_request, _body):
        error = {"message": "slow down", "type": "rate", "param": None, "code": "rate_limit"}
        headers = {"retry-after": "3", "x-request-id": "req-provider"}
        return web.json_response({"error": error}, status=429, headers=headers)

    async with bases() as found:
        for base, provider in found:
            provider.script = limited
            async with client_of(base) as client:
                with pytest.raises(openai.RateLimitError) as caught:
                    await client.chat.completions.create(
                        model="m", messages=ask("hi"), stream=stream
                    )
            assert caught.value.code == "rate_limit"
            assert caught.value.request_id == "req-provider"
            assert caught.value.response.headers["retry-after"] == "3"


async def test_our_errors_raise_the_right_classes():
    async with bases() as found:
        session = found[2][0]
        async with client_of(session.replace("/s1", "/unknown")) as client:
            with pytest.raises(openai.NotFoundError, match="no session"):
                await client.chat.completions.create(model="m", messages=ask("hi"))
        async with client_of(session) as client:
            with pytest.raises(openai.BadRequestError, match="at least one message") as caught:
                await client.chat.completions.create(model="m", messages=[])
            assert caught.value.param == "messages"


@pytest.mark.parametrize("whole_events", [True, False])
@pytest.mark.parametrize("path", ["/v1", "/api/gepa/v1/s1"])
async def test_a_provider_that_dies_mid_stream_raises(whole_events, path):
    async def dying(reader, writer, _n):
        await read_request(reader)
        piece = delta("a") + delta("b") + (b"" if whole_events else b'data: {"cho')
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
        writer.transport.abort()

    async with (
        RawProvider(dying) as provider,
        running(settings(provider.base_url)) as ours,
        client_of(ours.url + path) as client,
    ):
        said = []
        with pytest.raises(openai.APIError):  # noqa: PT012 - it must fail inside the loop
            stream = await client.chat.completions.create(
                model="m", messages=ask("hi"), stream=True
            )
            async for chunk in stream:
                said.append(chunk.choices[0].delta.content)  # noqa: PERF401
        assert said == ["a", "b"]


async def test_a_provider_that_dies_in_a_plain_answer_raises():
    async def dying(reader, writer, _n):
        await read_request(reader)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"id":')
        await writer.drain()
        writer.transport.abort()

    async with (
        RawProvider(dying) as provider,
        running(settings(provider.base_url)) as ours,
        client_of(ours.url + "/v1") as client,
    ):
        with pytest.raises(openai.APIConnectionError):
            await client.chat.completions.create(model="m", messages=ask("hi"))


async def test_a_conversation_held_with_the_sdk_is_one_conversation():
    backend = StaticBackend(candidates={f"c{i}": f"Prompt {i}." for i in range(9)})
    async with (
        FakeProvider() as provider,
        running(settings(provider.base_url), backend) as ours,
        client_of(ours.url + "/v1") as client,
    ):
        messages, ids = ask("hi"), set()
        for _ in range(5):
            raw = await client.chat.completions.with_raw_response.create(
                model="m", messages=messages, tools=TOOLS
            )
            ids.add(raw.headers["x-correlation-id"])
            message = raw.parse().choices[0].message
            messages.append(message)
            messages += [
                {"role": "tool", "tool_call_id": call.id, "content": json.dumps({"ok": 1})}
                for call in message.tool_calls or []
            ]
        assert len(ids) == 1
