"""P10: after SIGTERM nobody new is invited, everybody who is there is served, and what was learnt
is written down; a second signal, or a call that takes too long, ends it sooner."""

import asyncio
import signal
import time

import aiohttp
import pytest
from aiohttp import web
from support.gateway import ask
from support.ledger import books
from support.process import nursery, serving
from support.provider import FakeProvider, delta

SYSTEM = "You are helpful."


def settings(provider, **changes):
    return {
        "provider.base_url": provider.base_url,
        "routes": [{"session": "s1"}],
        "sessions": [{"id": "s1", "baseline": SYSTEM}],
        "feedback.batch_seconds": 3600,  # no reward leaves before the end, unless it is made to
        **{name.replace("__", "."): value for name, value in changes.items()},
    }


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    with nursery(tmp_path_factory.mktemp("nursery")) as one:
        yield one


class Stream:
    """A provider's answer that goes on for as long as the test wants."""

    def __init__(self, provider):
        self.release = asyncio.Event()
        provider.script = self._answer

    async def _answer(self, request, _body):
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(delta("first"))
        await self.release.wait()
        await response.write(delta(" last"))
        await response.write(b"data: [DONE]\n\n")
        return response


def chat(http, process, text="hi"):
    body = {"model": "m", "messages": ask(text, SYSTEM)}
    return http.post(f"{process.url}/v1/chat/completions", json=body)


async def readiness(http, process):
    async with http.get(f"{process.url}/readyz") as answer:
        return answer.status, await answer.text()


async def refused(process, seconds=20.0):
    """Wait until nobody listens any more."""
    port = int(process.url.rpartition(":")[2])
    async with asyncio.timeout(seconds):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                return
            writer.close()
            await asyncio.sleep(0.02)


async def draining(process):
    async with asyncio.timeout(20):
        while '"draining"' not in process.said:  # noqa: ASYNC110 - said by another process
            await asyncio.sleep(0.01)


async def test_streams_complete_and_the_last_reward_counts_before_it_exits(tmp_path):
    async with FakeProvider() as provider, aiohttp.ClientSession() as http:
        config = settings(provider, server__drain_notice_seconds=2)
        async with serving(tmp_path, config) as process:
            async with chat(http, process) as answer:
                rollout = answer.headers["x-gepa-rollout-id"]
                await answer.read()
            stream = Stream(provider)
            async with chat(http, process, "and now slowly") as slow:
                assert b"first" in await slow.content.readuntil(b"\n\n")
                event = {"rollout_id": rollout, "thumbs": "up"}
                async with http.post(f"{process.url}/feedback", json=event) as told:
                    assert told.status == 202
                process.signal(signal.SIGTERM)
                await draining(process)
                assert await readiness(http, process) == (503, "draining")
                await refused(process)
                stream.release.set()
                rest = await slow.content.read()
            assert rest.endswith(b"data: [DONE]\n\n")
            assert b" last" in rest
            assert await process.ended() == 0
    found = books(tmp_path / "sidecar.db")
    assert found.counted == {rollout: 1.0}
    assert (found.owed, found.dead) == (0, 0)
    assert len(found.turns) == 2


async def test_a_second_sigterm_exits_at_once(tmp_path, parent):
    async with FakeProvider() as provider, aiohttp.ClientSession() as http:
        Stream(provider)
        async with (
            serving(tmp_path, settings(provider), parent) as process,
            chat(http, process) as answer,
        ):
            await answer.content.readuntil(b"\n\n")
            process.signal(signal.SIGTERM)
            await draining(process)
            process.signal(signal.SIGTERM)
            assert await process.ended(5) == -signal.SIGTERM


@pytest.mark.parametrize("drain_seconds", [0, 0.5])
async def test_a_stream_that_outlasts_the_grace_is_cut_and_says_so(tmp_path, parent, drain_seconds):
    async with FakeProvider() as provider, aiohttp.ClientSession() as http:
        Stream(provider)
        config = settings(provider, server__drain_seconds=drain_seconds)
        async with serving(tmp_path, config, parent) as process:
            async with chat(http, process) as answer:
                await answer.content.readuntil(b"\n\n")
                process.signal(signal.SIGTERM)
                began = time.monotonic()
                with pytest.raises(aiohttp.ClientPayloadError):  # not the end of an answer
                    await answer.content.read()
            assert await process.ended(10) == 1
            assert time.monotonic() - began < drain_seconds + 5
        assert provider.last.aborted.is_set()
    assert len(books(tmp_path / "sidecar.db").turns) == 1


async def test_a_sigterm_that_comes_as_soon_as_it_listens_is_a_clean_exit(tmp_path, parent):
    async with (
        FakeProvider() as provider,
        serving(tmp_path, settings(provider), parent) as process,
    ):
        process.signal(signal.SIGTERM)
        assert await process.ended(10) == 0
