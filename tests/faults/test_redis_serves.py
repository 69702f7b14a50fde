"""The whole sidecar on a Redis server: it serves, counts, comes back after a restart, and while the
server is frozen calls go on (P3, P11, P21)."""

import time

import pytest
from support.provider import FakeProvider
from support.redis_faults import BUDGET_MS, SLACK_SECONDS, answered
from support.whole import whole, whole_settings

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
