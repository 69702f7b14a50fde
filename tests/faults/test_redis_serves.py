"""The whole sidecar on a Redis server: it serves, counts, comes back after a restart, and while the
server is frozen calls go on (P3, P11, P21)."""

import asyncio
import time

import pytest
from support.fault_proxy import NONE, Fault, FaultProxy
from support.provider import FakeProvider
from support.redis_faults import BUDGET_MS, SLACK_SECONDS, answered, opened
from support.whole import whole, whole_settings

from sidecar.settings import StoreSettings

THUMB = {"correlation_id": "talk-1", "thumbs": "up", "event_id": "e1"}


@pytest.fixture
async def settings(server):
    async with FakeProvider() as provider:
        store = {"kind": "redis", "url": server.url}
        gateway = {"store_wait_ms": BUDGET_MS}
        yield whole_settings(provider.base_url, store=store, gateway=gateway)


async def test_a_conversation_is_served_counted_and_known_after_a_restart(settings):
    async with whole(settings) as ours:
        first = await ours.say("talk-1")
        (event,) = await ours.feedback(THUMB)
        assert event["status"] == "attributed"
        await ours.reached(reward_count=1)
    async with whole(settings) as ours:
        assert (await ours.status())["reward_count"] == 1
        again = await ours.say("talk-1")
        (event,) = await ours.feedback(THUMB)
        assert event["status"] == "duplicate"
    for name in ("x-gepa-candidate-id", "x-gepa-rollout-id"):
        assert again.headers[name] == first.headers[name]


async def test_calls_go_on_while_the_server_is_frozen_and_feedback_after_it(settings, server):
    async with whole(settings) as ours:
        await ours.say("talk-0")
        server.freeze()
        try:
            for number in range(1, 6):
                began = time.monotonic()
                answer = await ours.say(f"talk-{number}")
                assert time.monotonic() - began < BUDGET_MS / 1000 + SLACK_SECONDS
                assert answer.status == 200
                assert answer.headers["x-gepa-candidate-id"]
            async with ours.http.post(f"{ours.sidecar.url}/feedback", json=THUMB) as refused:
                assert refused.status == 503
        finally:
            server.thaw()
        await answered(lambda: ours.sidecar.store.prune(0.0))
        (event,) = await ours.feedback(THUMB)
        assert event["status"] == "attributed"
        await ours.reached(reward_count=1)


async def test_a_reward_is_counted_although_the_answer_to_its_writing_was_lost(settings, server):
    async with FaultProxy(server.url) as between:
        store = {"kind": "redis", "url": between.url}
        async with whole(settings.model_copy(update={"store": StoreSettings(**store)})) as ours:
            for talk in ("talk-1", "talk-2"):
                await ours.say(talk)
            await ours.feedback(THUMB)
            await ours.reached(reward_count=1)
            append = ours.sidecar.store.append

            async def unheard(*entries, **options):
                ours.sidecar.store.append = append
                between.fault = Fault(half_open=True)
                return await append(*entries, **options)

            ours.sidecar.store.append = unheard
            await ours.feedback({"correlation_id": "talk-2", "thumbs": "up"})
            direct = await opened(server.url)
            async with asyncio.timeout(10):
                while len(await direct.journal("shop", 0, 9)) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await between.refuse()
            between.fault = NONE
            await between.listen()
            await ours.reached(reward_count=2)
            assert len(await direct.journal("shop", 0, 9)) == 2
            await direct.close()
