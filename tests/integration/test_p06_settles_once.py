"""P6: every turn settles exactly once, as done, failed or aborted, whatever happens to it."""

import asyncio
import contextlib
import random
from collections import Counter

import aiohttp
import pytest
from aiohttp import web
from support.gateway import RawClient, ask, running, settings, until
from support.provider import FakeProvider, delta

from sidecar.core.rollout import Outcome

PATHS = {"chat": "/v1/chat/completions", "session": "/api/gepa/v1/s1/chat/completions"}


async def opened(request):
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    await response.write(delta("first"))
    return response


async def error_status(_request, _body):
    return web.json_response({"error": {"message": "no"}}, status=500)


async def rate_limit(_request, _body):
    return web.json_response({"error": {"message": "slow down"}}, status=429)


async def not_json(_request, _body):
    return web.Response(text="<html>", content_type="text/html")


async def error_event(request, _body):
    response = await opened(request)
    await response.write(b'data: {"error": {"message": "overloaded"}}\n\n')
    return response


async def death_before_the_headers(request, _body):
    request.transport.abort()
    await asyncio.Event().wait()


async def death_in_mid_stream(request, _body):
    await opened(request)
    request.transport.abort()
    await asyncio.Event().wait()


async def silence(_request, _body):
    await asyncio.Event().wait()


async def silence_in_mid_stream(request, _body):
    await opened(request)
    await asyncio.Event().wait()


ANSWERS = [
    (None, Outcome.DONE),
    (not_json, Outcome.DONE),
    (error_status, Outcome.FAILED),
    (rate_limit, Outcome.FAILED),
    (error_event, Outcome.FAILED),
    (death_before_the_headers, Outcome.FAILED),
    (death_in_mid_stream, Outcome.FAILED),
]
DEPARTURES = [(silence, b""), (silence_in_mid_stream, b"first")]


def body(text="hi", **fields):
    return {"model": "m", "messages": ask(text), **fields}


async def settled_as(ours, kind, outcome):
    """The one turn and the one call, both with this outcome; and they stay the only ones."""
    label = "ok" if outcome is Outcome.DONE else outcome.value
    assert await ours.accounted(1) == {(kind, "baseline", label): 1}
    (turn,) = ours.store.turns
    assert turn.outcome is outcome
    assert turn.duration >= 0
    assert ours.value("sidecar_turns_total", session="s1", outcome=outcome.value) == 1


async def ask_and_take_what_comes(ours, path, **fields):
    with contextlib.suppress(aiohttp.ClientError):
        async with ours.client.post(ours.url + path, json=body(**fields)) as answer:
            await answer.read()


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("script", "outcome"), ANSWERS)
async def test_however_the_provider_answers(kind, stream, script, outcome):
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        provider.script = script
        await ask_and_take_what_comes(ours, PATHS[kind], stream=stream)
        await settled_as(ours, kind, outcome)


@pytest.mark.parametrize("kind", PATHS)
async def test_when_there_is_no_provider(kind):
    async with running(settings("http://127.0.0.1:1/v1")) as ours:
        await ask_and_take_what_comes(ours, PATHS[kind])
        await settled_as(ours, kind, Outcome.FAILED)


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize(("script", "seen"), DEPARTURES)
async def test_when_the_client_leaves(kind, script, seen):
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        provider.script = script
        async with RawClient(ours.port) as client:
            await client.chat(body(), PATHS[kind])
            await provider.arrived.wait()
            if seen:
                await client.reader.readuntil(seen)
        await settled_as(ours, kind, Outcome.ABORTED)


class Broken:
    """A future that is none: whoever looks at it crashes."""

    def done(self):
        raise RuntimeError("a bug")


@pytest.mark.parametrize("kind", PATHS)
async def test_when_the_handler_crashes(kind):
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        ours.backend.stored = Broken
        async with ours.client.post(ours.url + PATHS[kind], json=body()) as answer:
            assert answer.status == 500
        await settled_as(ours, kind, Outcome.FAILED)


async def test_when_its_record_cannot_be_written_the_call_still_counts_once():
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        ours.store.fail = RuntimeError("a bug")
        assert (await ours.chat(ask("hi"))).status == 200
        assert await ours.accounted(1) == {("chat", "baseline", "ok"): 1}
        assert ours.value("sidecar_capture_dropped_total", reason="error") == 1


async def test_when_the_server_stops_in_the_middle_of_it():
    async with FakeProvider() as provider:
        provider.script = silence_in_mid_stream
        async with running(settings(provider.base_url)) as ours:
            answer = await ours.client.post(ours.url + PATHS["chat"], json=body())
            await answer.content.readuntil(b"\n\n")
        answer.close()
        # `running` has closed everything: whatever was under way has been cut and settled.
        await settled_as(ours, "chat", Outcome.ABORTED)


async def test_when_all_of_that_happens_at_once():
    scripts = [script for script, _ in ANSWERS]

    async def any_of_them(request, raw):
        name = request.headers.get("x-script", "")
        chosen = {f"{s.__name__}": s for s in [*scripts[1:], silence, silence_in_mid_stream]}
        return await chosen.get(name, provider.completions)(request, raw)

    async def stay(script):
        sent = {"x-script": script.__name__ if script else ""}
        with contextlib.suppress(aiohttp.ClientError):
            async with ours.client.post(ours.url + path(), json=body(), headers=sent) as answer:
                await answer.read()

    async def leave(number, script, seen):
        async with RawClient(ours.port) as client:
            data = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
            head = f"POST {path()} HTTP/1.1\r\nHost: x\r\nx-script: {script.__name__}\r\n"
            head += f"x-number: {number}\r\nContent-Length: {len(data)}\r\n\r\n"
            await client.send(head.encode() + data)
            await until(lambda: any(s.header("x-number") == str(number) for s in provider.seen))
            if seen:
                await client.reader.readuntil(seen)

    def path():
        return chance.choice([*PATHS.values()])

    chance = random.Random(6)
    rounds = 12
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        provider.script = any_of_them
        calls = [stay(script) for script, _ in ANSWERS * rounds]
        calls += [leave(n, *departure) for n, departure in enumerate(DEPARTURES * rounds)]
        chance.shuffle(calls)
        await asyncio.gather(*calls)
        counted = await ours.accounted(len(calls))
    turns = ours.store.turns
    assert len({turn.turn_id for turn in turns}) == len(turns)
    by_outcome = Counter(turn.outcome for turn in turns)
    expected = Counter(outcome for _, outcome in ANSWERS * rounds)
    assert by_outcome[Outcome.DONE] == expected[Outcome.DONE]
    assert by_outcome[Outcome.FAILED] == expected[Outcome.FAILED]
    assert by_outcome[Outcome.ABORTED] == len(DEPARTURES) * rounds
    assert sum(counted.values()) == len(turns)
