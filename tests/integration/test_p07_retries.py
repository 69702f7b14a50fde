"""P7: retries never multiply, and an SDK's retry is not another conversation."""

import asyncio

import openai
import pytest
from aiohttp import web
from support.gateway import ask, running, settings
from support.provider import FakeProvider, RawProvider, read_request

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Stale:
    """Answers the first request of each connection; what it does with the next is `then`."""

    def __init__(self, then=b"", healthy_from=99):
        self.then, self.healthy_from, self.requests = then, healthy_from, []

    async def __call__(self, reader, writer, n):
        while True:
            _, body = await read_request(reader)
            self.requests.append(body)
            first = len([r for r in self.requests if r]) == 1
            if first or n >= self.healthy_from:
                writer.write(OK)
                await writer.drain()
            else:
                writer.write(self.then)
                writer.transport.abort() if not self.then else writer.close()
                return


async def test_a_stale_connection_is_replaced_once():
    script = Stale(healthy_from=2)
    async with RawProvider(script) as provider, running(settings(provider.base_url)) as ours:
        assert (await ours.chat(ask("hi"))).status == 200
        answer = await ours.chat(ask("ho"))
        assert answer.status == 200
        assert len(script.requests) == 3
        assert script.requests[1] == script.requests[2]
        assert sum((await ours.accounted(2)).values()) == 2
        assert len(ours.store.turns) == 2


async def test_when_the_retry_is_spent_the_sdk_is_asked_to_stop():
    script = Stale()
    async with RawProvider(script) as provider, running(settings(provider.base_url)) as ours:
        await ours.chat(ask("hi"))
        answer = await ours.chat(ask("ho"))
        assert answer.status == 502
        assert answer.headers["x-should-retry"] == "false"
        assert len(script.requests) == 3


async def test_a_fresh_connection_that_dies_is_not_retried():
    script = Stale()
    script.requests.append(b"some")
    async with RawProvider(script) as provider, running(settings(provider.base_url)) as ours:
        answer = await ours.chat(ask("ho"))
        assert answer.status == 502
        assert "x-should-retry" not in answer.headers
        assert len(script.requests) == 2


async def test_after_the_first_byte_of_an_answer_nothing_is_retried():
    script = Stale(then=b"HTTP/1.1 200 OK\r\nContent-")
    async with RawProvider(script) as provider, running(settings(provider.base_url)) as ours:
        await ours.chat(ask("hi"))
        assert (await ours.chat(ask("ho"))).status == 502
        assert len(script.requests) == 2


async def test_a_body_that_cannot_be_sent_again_is_not():
    script = Stale()
    async with RawProvider(script) as provider, running(settings(provider.base_url)) as ours:
        await ours.chat(ask("hi"))
        assert (await ours.post("/v1/files", b"streamed")).status == 502
        assert len(script.requests) == 2


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
async def test_an_answer_is_never_retried_by_us_and_its_advice_passes(status):
    async def refuse(_request, _body):
        headers = {"retry-after": "7", "retry-after-ms": "7000", "x-should-retry": "true"}
        return web.json_response({"error": {"message": "no"}}, status=status, headers=headers)

    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        provider.script = refuse
        answer = await ours.chat(ask("hi"))
        assert answer.status == status
        assert answer.json == {"error": {"message": "no"}}
        assert (answer.headers["retry-after"], answer.headers["x-should-retry"]) == ("7", "true")
        assert len(provider.seen) == 1
        assert await ours.accounted(1) == {("chat", "baseline", "failed"): 1}


async def test_the_sdks_retries_are_one_rollout():
    calls = 0

    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:

        async def flaky(request, body):
            nonlocal calls
            calls += 1
            if calls < 3:
                return web.json_response({}, status=500, headers={"retry-after-ms": "1"})
            return await provider.completions(request, body)

        provider.script = flaky
        async with openai.AsyncOpenAI(
            base_url=ours.url + "/v1", api_key="k", max_retries=2, timeout=5
        ) as client:
            await client.chat.completions.create(model="m", messages=ask("hi"))
        assert calls == 3
        turns = await ours.store.settled(3)
        assert [t.outcome for t in turns] == ["failed", "failed", "done"]
        assert len({t.rollout_id for t in turns}) == 1


async def test_the_same_words_of_two_people_are_two_conversations():
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        answers = await asyncio.gather(ours.chat(ask("hi")), ours.chat(ask("hi")))
        assert len({answer.correlation for answer in answers}) == 2
