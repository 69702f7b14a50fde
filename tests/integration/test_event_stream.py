"""A job's events as a stream (wire contract, section 8.5): framing, reconnection, and clients that
do not behave."""

import asyncio
import contextlib
import json

import aiohttp
import pytest
from support.api import KEY
from support.gateway import RawClient, request_bytes, until
from support.job_api import EVAL, POLICY, serving
from support.jobs import Steps

from sidecar.core.sse import SseParser

BIG = "x" * 20_000


@pytest.fixture
def steps():
    return Steps(3)


@pytest.fixture
async def api(steps):
    async with serving(steps) as api:
        yield api


def stream_url(job_id, base=POLICY, query=""):
    return f"{base}/{job_id}/events/stream{query}"


class Stream:
    """A client that reads."""

    def __init__(self, api, path, **headers):
        self._request = api.ours.http.get(
            api.ours.sidecar.url + path,
            headers={"X-API-Key": KEY, **headers},
            timeout=aiohttp.ClientTimeout(total=20),
        )
        self.raw = b""

    async def __aenter__(self):
        self.answer = await self._request.__aenter__()
        assert self.answer.status == 200
        return self

    async def __aexit__(self, *error):
        await self._request.__aexit__(*error)

    async def rest(self):
        async for chunk in self.answer.content.iter_any():
            self.raw += chunk
        return self

    async def having(self, piece):
        async with asyncio.timeout(5):
            while piece not in self.raw:
                chunk = await self.answer.content.readany()
                assert chunk, "the stream ended"
                self.raw += chunk
        return self

    @property
    def data(self):
        return SseParser().feed(self.raw)

    @property
    def seqs(self):
        return [json.loads(text)["seq"] for text in self.data if text != "[DONE]"]


async def test_the_framing_is_what_published_clients_can_parse(api, steps):
    steps.allow(3)
    job_id = await api.submitted()
    await api.reached(f"{POLICY}/{job_id}", "succeeded")
    async with Stream(api, stream_url(job_id)) as stream:
        await stream.rest()
        assert stream.answer.headers["content-type"] == "text/event-stream"
    assert b"\r" not in stream.raw
    blocks = stream.raw.split(b"\n\n")
    assert blocks.pop() == b""
    assert blocks.pop() == b"data: [DONE]"
    events = await api.events(f"{POLICY}/{job_id}")
    assert len(blocks) == len(events)
    for block, event in zip(blocks, events, strict=True):
        number, data = block.split(b"\n")
        assert number == b"id: %d" % event["seq"]
        assert json.loads(data.removeprefix(b"data: ")) == event


@pytest.mark.parametrize("base", [EVAL, "/eval/jobs", "/api/jobs"])
async def test_an_eval_streams_too(api, steps, base):
    steps.allow(3)
    job_id = await api.submitted(EVAL)
    async with Stream(api, stream_url(job_id, base)) as stream:
        await stream.rest()
    last = json.loads(stream.data[-2])
    assert (last["type"], stream.data[-1]) == ("eval.policy.job.completed", "[DONE]")


async def test_events_arrive_as_they_happen_and_the_end_ends_the_stream(api, steps):
    job_id = await api.submitted()
    async with Stream(api, stream_url(job_id)) as stream:
        await stream.having(b"job.started")
        steps.allow(1)
        await stream.having(b"Step 0")
        assert b"Step 1" not in stream.raw
        steps.allow(2)
        await stream.rest()
    assert stream.seqs == list(range(1, 7))
    assert stream.data[-1] == "[DONE]"


@pytest.mark.parametrize("held", ["cancel", "pause"])
async def test_cancelling_ends_the_stream_and_pausing_does_not(api, steps, held):
    job_id = await api.submitted()
    async with Stream(api, stream_url(job_id)) as stream:
        await stream.having(b"job.started")
        await api.post(f"{POLICY}/{job_id}/{held}")
        if held == "pause":
            await stream.having(b"job.paused")
            await api.post(f"{POLICY}/{job_id}/resume")
            steps.allow(3)
        await stream.rest()
    assert stream.data[-1] == "[DONE]"


async def test_a_client_that_comes_back_gets_what_it_missed_and_nothing_twice(api, steps):
    steps.allow(3)
    job_id = await api.submitted()
    await api.reached(f"{POLICY}/{job_id}", "succeeded")
    for last, rest in (("2", [3, 4, 5, 6]), ("6", []), ("99", []), ("x", [1, 2, 3, 4, 5, 6])):
        async with Stream(api, stream_url(job_id), **{"Last-Event-ID": last}) as stream:
            await stream.rest()
        assert stream.seqs == rest
        assert stream.data[-1] == "[DONE]"
    async with Stream(api, stream_url(job_id, query="?since_seq=5")) as stream:
        assert (await stream.rest()).seqs == [6]


async def test_a_silent_job_gives_signs_of_life(api):
    api.ours.sidecar.streams._heartbeat = 0.01
    job_id = await api.submitted()
    async with Stream(api, stream_url(job_id)) as stream:
        await stream.having(b": heartbeat\n\n: heartbeat\n\n")
    assert stream.seqs == [1, 2]


async def test_a_client_that_leaves_is_forgotten(api):
    job_id = await api.submitted()
    async with RawClient(api.ours.sidecar.url.rsplit(":", 1)[1]) as client:
        await client.send(request_bytes("GET", stream_url(job_id), b"", b"X-API-Key: the-key"))
        await client.head()
        watchers = api.ours.sidecar.jobs._watchers
        await until(lambda: len(watchers.get(job_id, ())) == 1)
        client.leave()
        await until(lambda: not watchers)
    assert not api.ours.sidecar.streams._open


async def left(client):
    """What was under way to a client that was let go of."""
    received = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(5):
            while chunk := await client.reader.read(65536):
                received += chunk
    return received


async def test_a_client_that_never_reads_is_let_go_and_holds_nothing_up(api):
    fetched = []
    sidecar = api.ours.sidecar
    sidecar.streams._patience = 0.3
    real = sidecar.store.job_events

    async def counting(job_id, after, limit, types=()):
        page = await real(job_id, after, limit, types)
        fetched.append(len(page))
        return page

    async def chatty(record, log, control):
        for number in range(2000):
            await log.add("rollout.completed", BIG, {}, key=f"rollout:{number}")
        return {}

    sidecar.jobs.runs.runners = dict.fromkeys(sidecar.jobs.runs.runners, chatty)
    job_id = await api.submitted()
    await api.reached(f"{POLICY}/{job_id}", "succeeded")
    sidecar.store.job_events = counting
    port = sidecar.url.rsplit(":", 1)[1]
    async with RawClient(port, receive_buffer=4096) as client:
        path = stream_url(job_id)
        await client.send(request_bytes("GET", path, b"", b"X-API-Key: the-key"))
        await until(lambda: bool(sidecar.streams._open))
        await until(lambda: not sidecar.streams._open)
        assert sum(fetched) < 1000  # of 2000: what it did not take was not read for it
        assert not (await left(client)).endswith(b"data: [DONE]\n\n")


async def test_a_stop_ends_the_streams_at_once_and_cuts_nobody_off(steps):
    async with serving(steps) as api:
        job_id = await api.submitted()
        async with Stream(api, stream_url(job_id)) as stream:
            await stream.having(b"job.started")
            await api.ours.sidecar.stop()
            await stream.rest()
        assert "[DONE]" not in stream.data
        assert not api.ours.sidecar._cut
