"""P8: memory stays bounded, whatever is sent: what overflows is learning data, never traffic."""

import asyncio
import gc
import os
import resource
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web
from support.backends import SYSTEM
from support.gateway import TurnLog, ask, running, settings
from support.provider import FakeProvider, delta
from support.whole import whole, whole_settings

from sidecar.store.sqlite import SqliteStore
from sidecar.telemetry.metrics import MAX_SESSIONS, Metrics

STREAMS = 1500
AT_ONCE = 30
REMEMBER = 100
EVENT = delta("x" * 20_000)
EVENTS = 4
"""80 KB an answer and 40 KB a question: 216 MB in all."""
QUESTION = "y" * 40_000
MIB = 1024 * 1024
GROWTH = 20 * MIB


def rss():
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


class Forgetful(TurnLog):
    """A store that keeps the counts only, so that what grows is ours."""

    def __init__(self):
        super().__init__()
        self.outcomes = Counter()

    def record_turn(self, turn):
        self.outcomes[turn.outcome.value] += 1
        return True


async def torrent(request, _body):
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for _ in range(EVENTS):
        await response.write(EVENT)
    await response.write(b"data: [DONE]\n\n")
    return response


async def many(call, count=STREAMS):
    """So many calls, some at once; each is given its number."""
    numbers = iter(range(count))

    async def work():
        for number in numbers:
            await call(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())


async def test_many_large_streams_leave_nothing_behind():
    async def call(number):
        provider.seen.clear()  # the fake's memory is not ours
        body = {
            "model": f"junk-{os.urandom(8).hex()}",
            "messages": ask(f"{number} {QUESTION}"),
            "stream": True,
        }
        headers = {"x-correlation-id": f"junk-{number}"} if number % 2 else {}
        url = f"{ours.url}/v1/chat/completions"
        async with ours.client.post(url, json=body, headers=headers) as answer:
            size = 0
            async for chunk in answer.content.iter_any():
                size += len(chunk)
        assert size > EVENTS * len(EVENT)

    store = Forgetful()
    async with FakeProvider() as provider:
        provider.script = torrent
        config = settings(provider.base_url, gateway={"remember": REMEMBER})
        async with running(config, store=store) as ours:
            await many(call, 300)  # the allocator has seen it all
            gc.collect()
            before = rss()
            await many(call)
            gc.collect()
            assert rss() - before < GROWTH
            assert len(ours.gateway._memory._known) <= REMEMBER
            assert sum((await ours.accounted(STREAMS + 300)).values()) == STREAMS + 300
            labels = {
                s.labels.get("route") for m in ours.metrics.requests.collect() for s in m.samples
            }
            assert labels == {"chat"}
    assert store.outcomes == {"done": STREAMS + 300}


async def test_conversations_beyond_the_bound_are_let_go_one_by_one():
    async with FakeProvider() as provider:
        config = whole_settings(provider.base_url, gateway={"remember": REMEMBER})
        async with whole(config) as ours:

            async def call(number):
                # Names of the session's own, names that are none, and none at all.
                name = {0: f"junk-{number}", 1: f"no name at all {number}"}.get(number % 3, "")
                headers = {"x_correlation_id": name} if name else {}
                messages = ask(f"I am number {number}", SYSTEM)
                assert (await ours.chat(messages, **headers)).status == 200

            await many(call, 600)
            live = ours.sidecar.backend._live["shop"]
            assert len(live.assigner._known) == REMEMBER
            assert len(ours.sidecar.gateway._memory._known) == REMEMBER
            assert len(ours.sidecar.gateway._planner._good) == 1
            assert (await ours.status())["rollout_count"] == 600


async def test_what_clients_choose_is_no_label():
    async with FakeProvider() as provider, whole(whole_settings(provider.base_url)) as ours:

        async def series():
            async with ours.http.get(f"{ours.sidecar.url}/metrics") as answer:
                return len((await answer.text()).splitlines())

        async def call(number):
            await ours.chat(ask("hi", SYSTEM), x_correlation_id=f"junk-{number}")
            await ours.chat(ask("hi", f"Prompt {number}."))
            await ours.chat(ask("hi", SYSTEM), path=f"/api/gepa/v1/junk-{number}")
            async with ours.http.get(f"{ours.sidecar.url}/v1/junk/{number}") as answer:
                await answer.read()
            async with ours.http.get(f"{ours.sidecar.url}/junk/{number}") as answer:
                await answer.read()
            await ours.feedback({"rollout_id": f"nobody-{number}", "thumbs": "up"})

        await many(call, AT_ONCE)
        before = await series()
        await many(lambda number: call(1000 + number), 120)
        assert await series() == before


def test_sessions_beyond_the_first_hundred_share_a_label():
    metrics = Metrics()
    labels = {metrics.session(f"s{number}") for number in range(10 * MAX_SESSIONS)}
    assert len(labels) == MAX_SESSIONS + 1
    assert "other" in labels


@pytest.mark.parametrize("limit", [0, 1])
async def test_a_full_queue_to_the_store_drops_learning_data_and_never_a_call(tmp_path, limit):
    async with FakeProvider() as provider:
        config = whole_settings(
            provider.base_url, store={"kind": "sqlite", "path": tmp_path / "sidecar.db"}
        )
        async with whole(config) as ours:
            store: SqliteStore = ours.sidecar.store
            store._open.writer._limit = limit

            async def call(number):
                assert (await ours.say(f"c{number}")).status == 200

            await many(call, 200)
            store._open.writer._limit = 50_000
            await store.prune(before=0.0)
            counts = await store.counts("shop")
            dropped = ours.total("sidecar_capture_dropped_total", reason="queue")
            assert ours.total("sidecar_requests_total", outcome="ok") == 200
            assert counts.turns + dropped == 200
            refused = ours.total("sidecar_failopen_total", reason="store")
            assert counts.rollouts + refused == 200
            if not limit:
                assert (counts.turns, counts.rollouts) == (0, 0)
            assert (await ours.say("afterwards")).status == 200
