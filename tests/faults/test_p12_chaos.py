"""P12, P11, P13: three sidecars and a Redis server are killed, frozen and restarted at random while
users give feedback early, late, repeated and in any order. In the end the events that are counted
are the events that were acknowledged, none of them twice.

`CHAOS_EVENTS=10000` makes it the long run.
"""

import asyncio
import os
import random
import sys
from collections import Counter

import aiohttp
import pytest
from support.chaos import SESSION, Crowd, Fleet
from support.process import nursery
from support.redis_faults import answered, opened

from sidecar.core.session import Entry
from sidecar.simulation.provider import REFLECTION, SimulatedProvider
from sidecar.simulation.world import BASELINE, World
from sidecar.store.redis.store import RedisStore

EVENTS = int(os.environ.get("CHAOS_EVENTS", "300"))
SEED = int(os.environ.get("CHAOS_SEED", "5"))
CUSTOMERS = 8
SETTLE_SECONDS = 60


def settings(provider_url: str, store_url: str) -> dict[str, object]:
    gepa = {"online_proposer_min_rollouts": 40, "proposer_model": REFLECTION}
    return {
        "provider.base_url": provider_url,
        "provider.api_key": "sk-test",
        "store.kind": "redis",
        "store.url": store_url,
        "feedback.batch_seconds": 0.02,
        "feedback.max_attempts": 1000,
        "routes": [{"session": SESSION}],
        "sessions": [{"id": SESSION, "baseline": BASELINE, "config": {"gepa": gepa}}],
    }


@pytest.mark.timeout(1200 if EVENTS > 1000 else 120)
async def test_what_is_counted_is_what_was_acknowledged(server, tmp_path, capsys):
    chance = random.Random(SEED)
    provider = SimulatedProvider(World.seeded(1), 1)
    config = settings(await provider.start(), server.url)
    with nursery(tmp_path) as parent:
        fleet = Fleet(tmp_path, config, server, parent, chance)
        try:
            await fleet.begin(3)
            async with aiohttp.ClientSession() as http:
                crowd = Crowd(http, chance, EVENTS, lambda: fleet.urls)
                await in_the_storm(crowd, fleet)
            assert crowd.acknowledged == crowd.sent.keys()
            store = await opened(server.url)
            await settled(store, crowd)
            assert await fleet.end() == [0, 0, 0]
        finally:
            fleet.abandon()
    await provider.stop()
    await assert_counted(store, crowd)
    await store.close()
    with capsys.disabled():
        if EVENTS > 1000:
            sys.stdout.write(report(crowd, fleet))


async def in_the_storm(crowd: Crowd, fleet: Fleet) -> None:
    storm = asyncio.create_task(fleet.hurt(pause=(0.1, 1.0)))
    async with asyncio.TaskGroup() as group:
        for _ in range(CUSTOMERS):
            group.create_task(crowd.talk())
    storm.cancel()
    await asyncio.wait({storm})
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        if "Fleet" in repr(task.get_coro()):
            await task  # what was hurt last comes back


async def settled(store: RedisStore, crowd: Crowd) -> None:
    """Wait until the session has been told of everything."""
    async with asyncio.timeout(SETTLE_SECONDS):
        while True:
            counts = await answered(lambda: store.counts(SESSION))
            due = await answered(lambda: store.due_rewards(2e10, 10))
            if counts.feedback >= len(crowd.sent) and not due:
                return
            await asyncio.sleep(0.1)


async def assert_counted(store: RedisStore, crowd: Crowd) -> None:
    assert await store.dead_letters(10) == []
    expected = crowd.rewards()
    counts = await store.counts(SESSION)
    assert (counts.feedback, counts.rewards) == (len(crowd.sent), len(expected))
    journal = await store.journal(SESSION, 0, 10**7)
    assert [entry.seq for entry in journal] == list(range(1, len(journal) + 1))
    assert not [key for key, n in Counter(entry.key for entry in journal).items() if n > 1]
    value: dict[str, float | None] = {}
    revision: dict[str, int] = {}
    for entry in journal:
        if entry.kind is Entry.REWARD:
            assert entry.payload["replaces"] == value.get(entry.subject), entry
            assert entry.payload["revision"] > revision.get(entry.subject, 0)
            value[entry.subject] = entry.payload["value"]
            revision[entry.subject] = entry.payload["revision"]
    assert value == pytest.approx(expected)
    of_talk = Counter(event["correlation_id"] for event in crowd.sent.values())
    assert revision == of_talk
    for name in of_talk:
        known = {event.event_id for event in await store.events_of(SESSION, name)}
        assert known == {e for e, event in crowd.sent.items() if event["correlation_id"] == name}


def report(crowd: Crowd, fleet: Fleet) -> str:
    torn = sum(len(candidates) > 1 for candidates in crowd.candidates.values())
    return (
        f"\n{len(crowd.acknowledged)} events acknowledged and counted once, {crowd.repeats} told "
        f"to be duplicates, {crowd.refused} posts refused and sent again, {crowd.unanswered} calls "
        f"cut off, {torn} of {len(crowd.candidates)} conversations with more than one candidate; "
        f"{dict(fleet.happened)}"
    )
