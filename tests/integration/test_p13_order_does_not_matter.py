"""P13: early, late, repeated and reordered events give the same final reward."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.failing_store import FailingStore
from support.feedback_loop import SESSION, Loop, event, until

from sidecar.core.feedback import Kind
from sidecar.feedback.intake import Acceptance
from sidecar.store.memory import MemoryStore
from sidecar.store.sqlite import SqliteStore


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "s.db")
    await store.open()
    yield store
    await store.close()


EVENTS = [
    event("e1", "r1", received_at=1.0, score=1.0, actor="ann"),
    event("e2", "r1", received_at=2.0, score=0.0, actor="ann"),
    event("e3", None, completion_id="c1", received_at=3.0, score=1.0, actor="bob"),
    event("e4", "r1", received_at=4.0, kind=Kind.RETRACTION, retracts="e2", actor="ann"),
    event("e5", None, correlation_id="r2", received_at=5.0, score=0.25),
    event("e6", "r2", received_at=6.0, kind=Kind.COMMENT, comment="meh"),
    event("e7", None, completion_id="c2", received_at=7.0, score=0.5, actor="ann"),
]
FINAL = {"r1": 1.0, "r2": 0.375}


async def play(loop: Loop, seed: int) -> None:
    """All events, some of them twice, and both rollouts, in an order of the seed's choosing."""
    dice = random.Random(seed)
    arrivals = [*EVENTS, *dice.choices(EVENTS, k=4)]
    steps = [("event", one) for one in arrivals] + [("rollout", n) for n in (1, 2)]
    dice.shuffle(steps)
    for kind, what in steps:
        if kind == "event":
            await loop.intake.accept([what])
        else:
            await loop.rollout(f"r{what}", completion_id=f"c{what}")
        if dice.random() < 0.3:
            await loop.attributor.sweep(loop.clock.now)
        if dice.random() < 0.3:
            await loop.reporter.deliver_due()
    await loop.drain()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_any_order_ends_in_the_same_rewards(seed):
    loop = Loop()
    asyncio.run(play(loop, seed))
    assert loop.backend.values() == FINAL
    assert loop.backend.ledger[SESSION, "r2"].comments == ("meh",)


@pytest.mark.parametrize("seed", range(5))
async def test_any_order_ends_in_the_same_rewards_on_every_store(store, seed):
    loop = Loop(store=store)
    await play(loop, seed)
    assert loop.backend.values() == FINAL
    counts = await store.counts()
    assert (counts.feedback, counts.waiting, counts.rewards) == (len(EVENTS), 0, 2)


async def test_feedback_before_its_rollout_waits_for_it(store):
    loop = Loop(store=store)
    early = [event("e1"), event("e2", None, completion_id="c1")]
    parked = await loop.intake.accept(early)
    assert [one.status for one in parked] == [Acceptance.PARKED] * 2
    assert await loop.attributor.sweep(loop.clock.now) == 0
    await loop.rollout("r1", completion_id="c1")
    assert await loop.attributor.sweep(loop.clock.now) == 2
    await loop.drain()
    assert loop.backend.ledger[SESSION, "r1"].revision == 2
    [again] = await loop.intake.accept([event("e1")])
    assert again.status is Acceptance.DUPLICATE


async def test_waiting_feedback_is_found_page_by_page(store):
    loop = Loop(store=store)
    await loop.intake.accept([event(f"e{n}", f"r{n % 700}") for n in range(1000)])
    await loop.rollout("r699")
    assert await loop.attributor.sweep(loop.clock.now) == 1
    await loop.rollout("r0")
    assert await loop.attributor.sweep(loop.clock.now) == 2


async def test_feedback_without_a_rollout_expires(store):
    loop = Loop(store=store)
    await loop.intake.accept([event("e1")])
    loop.clock.forward(loop.settings.park_seconds - 1)
    await loop.attributor.sweep(loop.clock.now)
    assert (await store.counts()).waiting == 1
    loop.clock.forward(2)
    await loop.attributor.sweep(loop.clock.now)
    assert (await store.counts()).waiting == 0
    await loop.rollout("r1")
    assert await loop.attributor.sweep(loop.clock.now) == 0
    assert loop.metric("sidecar_feedback_total", source="any", outcome="expired") == 1


async def test_a_rollout_that_came_in_time_is_found_however_late_we_look(store):
    loop = Loop(store=store)
    await loop.intake.accept([event("e1")])
    await loop.rollout("r1")
    loop.clock.forward(loop.settings.park_seconds + 1)
    assert await loop.attributor.sweep(loop.clock.now) == 1


async def test_an_event_that_became_ambiguous_holds_up_nobody(store):
    loop = Loop(store=store)
    await loop.intake.accept([event("e1", "both"), event("e2", "r1")])
    await loop.rollout("both", "shop")
    await loop.rollout("both", "bank")
    await loop.rollout("r1")
    assert await loop.attributor.sweep(loop.clock.now) == 1
    assert (await store.counts()).waiting == 1


async def test_the_worker_finds_rollouts_when_told(store):
    loop = Loop(store=store)
    worker = asyncio.create_task(loop.attributor.run())
    await loop.intake.accept([event("e1")])
    await loop.rollout("r1")
    loop.attributor.notice()
    attributed = {"source": "api", "outcome": "attributed"}
    await until(lambda: loop.metric("sidecar_feedback_total", **attributed) == 1)
    worker.cancel()


async def test_the_worker_outlives_the_store():
    loop = Loop(store=FailingStore())
    await loop.intake.accept([event("e1")])
    await loop.rollout("r1")
    loop.store.down = {"*"}
    worker = asyncio.create_task(loop.attributor.run())
    loop.attributor.notice()
    with pytest.raises(TimeoutError):
        await until(lambda: loop.store._attributed, seconds=0.2)
    loop.store.down = set()
    loop.attributor.notice()
    await until(lambda: loop.store._attributed)
    worker.cancel()


async def test_the_metrics_add_up():
    loop = Loop()
    await loop.rollout("r1")
    await loop.intake.accept([event("e1"), event("e2", "later"), event("e3", "never")])
    await loop.intake.accept([event("e1"), event("e2", "later")])
    await loop.rollout("later")
    await loop.attributor.sweep(loop.clock.now)
    loop.clock.forward(loop.settings.park_seconds + 1)
    await loop.attributor.sweep(loop.clock.now)

    def count(outcome, source="api"):
        return loop.metric("sidecar_feedback_total", source=source, outcome=outcome)

    assert count("accepted") == 3
    assert count("duplicate") == 2
    assert count("parked") == 2
    assert count("accepted") == count("attributed") + count("expired", "any")
