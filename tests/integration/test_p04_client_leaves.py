"""P4: a client that leaves stops the spend, within 250 ms, whatever the phase."""

import asyncio

import pytest
from aiohttp import web
from support.gateway import RawClient, ask, running, settings
from support.provider import FakeProvider, delta

BODY = {"model": "m", "messages": ask("hi")}
PATHS = ["/v1/chat/completions", "/api/gepa/v1/s1/chat/completions", "/v1/responses"]


async def never(_request, _body):
    await asyncio.Event().wait()


async def headers_only(request, _body):
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    await asyncio.Event().wait()


async def first_words(request, _body):
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    await response.write(delta("first"))
    await asyncio.Event().wait()


async def gone(provider):
    async with asyncio.timeout(0.25):
        await provider.last.aborted.wait()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("phase", [never, headers_only, first_words])
async def test_the_provider_is_aborted(path, phase):
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        provider.script = phase
        async with RawClient(ours.port) as client:
            await client.chat(BODY, path)
            await provider.arrived.wait()
            if phase is not never:
                await client.head()
            if phase is first_words:
                await client.reader.readuntil(b"\n\n")
            client.leave()
            await gone(provider)
        counted = await ours.accounted(1)
        assert [outcome for _, _, outcome in counted] == ["aborted"]
        turns = ours.store.turns
        assert [t.outcome for t in turns] == ([] if path == "/v1/responses" else ["aborted"])
        if turns and phase is first_words:
            assert turns[0].reply == "first"
            assert turns[0].completion_id == "chatcmpl-s"


async def test_while_it_is_still_sending_its_body():
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        async with RawClient(ours.port) as client:
            await client.send(b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nab")
            await provider.arrived.wait()
            client.leave()
            await gone(provider)
        assert await ours.accounted(1) == {("other", "passthrough", "aborted"): 1}


async def test_before_its_body_was_complete_nothing_was_spent():
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        async with RawClient(ours.port) as client:
            head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"
            await client.send(head)
            client.leave()
            assert await ours.accounted(1) == {("chat", "passthrough", "aborted"): 1}
        assert provider.seen == []


async def test_while_the_store_is_being_waited_for():
    future = asyncio.get_running_loop().create_future()
    async with FakeProvider() as provider:
        config = settings(provider.base_url, gateway={"store_wait_ms": 60_000})
        provider.script = first_words
        async with running(config) as ours:
            ours.backend.stored = lambda: future
            async with RawClient(ours.port) as client:
                await client.chat(BODY)
                await provider.arrived.wait()
                client.leave()
                await gone(provider)
            assert await ours.accounted(1) == {("chat", "baseline", "aborted"): 1}
    assert not future.cancelled()


async def test_while_it_does_not_read():
    async def endless(request, _body):
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        while True:
            await response.write(delta("x" * 60_000))

    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        provider.script = endless
        async with RawClient(ours.port, receive_buffer=4096) as client:
            await client.chat(BODY)
            await client.head()
            client.leave()
            await gone(provider)
        assert await ours.accounted(1) == {("chat", "baseline", "aborted"): 1}


async def test_the_conversation_goes_on_from_an_answer_that_was_stopped():
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        provider.script = first_words
        async with RawClient(ours.port) as client:
            await client.chat(BODY)
            await client.reader.readuntil(b"first")
            client.leave()
        (turn,) = await ours.store.settled(1)
        provider.script = None
        again = [*ask("hi"), {"role": "assistant", "content": "first"}, *ask("go on", None)]
        assert (await ours.chat(again)).correlation == turn.rollout_id
