"""P12: what users say is delivered at least once and counted once, whatever is lost on the way."""

import asyncio
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.failing_store import FailingStore
from support.feedback_loop import SESSION, Loop, event, until

from sidecar.core.feedback import merge
from sidecar.core.rollout import Assignment
from sidecar.errors import Unavailable
from sidecar.rewards.reporter import IDLE_SECONDS
from sidecar.store.base import StoreError
from sidecar.store.sqlite import SqliteStore


def sometimes(dice: random.Random, share: float):
    """Errors of every transient sort, at random."""
    kinds = [Unavailable("busy"), ConnectionResetError(), TimeoutError(), RuntimeError("a bug")]
    return lambda _rewards: dice.choice(kinds) if dice.random() < share else None


async def said_of(store, rollouts):
    return {
        r: merge(SESSION, r, await store.events_of(SESSION, r)).value for r in rollouts
    }  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 5), st.floats(0, 1), st.booleans()),
        max_size=40,
    ),
    st.integers(0, 2**32),
)
def test_lost_calls_and_lost_answers_change_no_total(steps, seed):
    async def play():
        loop = Loop()
        dice = random.Random(seed)
        loop.backend.before = sometimes(dice, 0.2)
        loop.backend.after = sometimes(dice, 0.2)
        rollouts = [f"r{n}" for n in range(6)]
        for rollout in rollouts:
            await loop.rollout(rollout)
        sent = {}
        for number, where, score, deliver in steps:
            own = sent.setdefault(
                f"e{number}", event(f"e{number}", rollouts[where], score=score, actor=f"a{number}")
            )
            await loop.intake.accept([own] * dice.randint(1, 2))
            if deliver:
                await loop.reporter.deliver_due()
        loop.backend.before = loop.backend.after = lambda _rewards: None
        await loop.drain()
        for rollout in await loop.dead():  # given up under so much trouble: not lost either
            await loop.reporter.dead_letters.replay(SESSION, rollout)
        await loop.drain()
        touched = {own.rollout_id for own in sent.values()}
        assert loop.backend.values() == await said_of(loop.store, touched)
        assert (await loop.store.counts()).feedback == len(sent)

    asyncio.run(play())


async def test_an_answer_lost_on_the_way_is_not_a_second_reward():
    loop = Loop()
    await loop.rollout("r1")
    lost = iter([ConnectionResetError()])
    loop.backend.after = lambda _rewards: next(lost, None)
    await loop.intake.accept([event("e1")])
    await loop.drain()
    assert len(loop.backend.deliveries) == 2
    assert loop.backend.counted == 1
    assert loop.metric("sidecar_rewards_reported_total", session=SESSION, outcome="duplicate") == 1


async def test_a_crash_between_report_and_mark_is_not_a_second_reward():
    loop = Loop(store=FailingStore())
    await loop.rollout("r1")
    await loop.intake.accept([event("e1")])
    loop.store.down = {"mark_reported"}
    with pytest.raises(StoreError):
        await loop.reporter.deliver_due()
    loop.store.down = set()
    await loop.drain()
    assert len(loop.backend.deliveries) == 2
    assert loop.backend.counted == 1


async def test_a_restart_delivers_what_was_left(tmp_path):
    store = SqliteStore(tmp_path / "s.db")
    await store.open()
    loop = Loop(store=store)
    await loop.rollout("r1")
    await loop.intake.accept([event("e1")])
    await store.close()
    again = SqliteStore(tmp_path / "s.db")
    await again.open()
    loop = Loop(store=again)
    await loop.drain()
    assert loop.backend.values() == {"r1": 1.0}
    await again.close()


async def test_a_changed_mind_replaces_the_reward():
    loop = Loop()
    await loop.rollout("r1")
    await loop.intake.accept([event("e1", score=1.0, actor="ann", received_at=1.0)])
    await loop.drain()
    await loop.intake.accept([event("e2", score=0.0, actor="ann", received_at=2.0)])
    await loop.drain()
    assert loop.backend.values() == {"r1": 0.0}
    assert loop.backend.ledger[SESSION, "r1"].revision == 2


async def test_rewards_leave_in_batches_by_size_and_by_age():
    loop = Loop()
    worker = asyncio.create_task(loop.reporter.run())
    for n in range(120):
        await loop.rollout(f"r{n}")
    for n in range(120):
        await loop.intake.accept([event(f"e{n}", f"r{n}")])
    await until(lambda: loop.backend.counted == 120)
    sizes = [len(rollouts) for _, rollouts in loop.backend.deliveries]
    assert max(sizes) <= loop.settings.batch_size
    assert len(sizes) < 20
    worker.cancel()


async def test_reporting_now_and_the_worker_together_count_once():
    loop = Loop()
    for n in range(30):
        await loop.rollout(f"r{n}")
        await loop.intake.accept([event(f"e{n}", f"r{n}")])
    await asyncio.gather(
        loop.reporter.deliver_due(),
        *(loop.reporter.report_now(SESSION, f"r{n}") for n in range(30)),
        loop.reporter.deliver_due(),
    )
    assert loop.backend.counted == 30


async def test_what_fails_now_is_tried_again_later_and_later():
    loop = Loop()
    await loop.rollout("r1")
    await loop.intake.accept([event("e1")])
    loop.backend.before = lambda _rewards: Unavailable("busy")
    with pytest.raises(Unavailable):
        await loop.reporter.report_now(SESSION, "r1")
    await loop.reporter.deliver_due()
    assert len(loop.backend.deliveries) == 1, "put off: not tried again at once"
    loop.clock.forward(0.5)
    await loop.reporter.deliver_due()
    loop.clock.forward(0.9)
    await loop.reporter.deliver_due()
    assert len(loop.backend.deliveries) == 2, "put off for longer"
    loop.clock.forward(0.1)
    loop.backend.before = lambda _rewards: None
    await loop.reporter.deliver_due()
    assert loop.backend.values() == {"r1": 1.0}


async def test_the_worker_wakes_up_for_what_was_put_off():
    loop = Loop(clock=time.time)
    await loop.store.record_assignment(Assignment(SESSION, "r1", "cand_a", 0.5, 1, 0, 0.0))
    await loop.intake.accept([event("e1")])
    failures = iter([Unavailable("busy")])
    loop.backend.before = lambda _rewards: next(failures, None)
    worker = asyncio.create_task(loop.reporter.run())
    await until(lambda: loop.backend.counted == 1, seconds=IDLE_SECONDS / 2)
    worker.cancel()


async def test_the_worker_outlives_the_store():
    loop = Loop(store=FailingStore())
    await loop.rollout("r1")
    await loop.intake.accept([event("e1")])
    loop.store.down = {"due_rewards"}
    worker = asyncio.create_task(loop.reporter.run())
    with pytest.raises(TimeoutError):
        await until(lambda: bool(loop.backend.counted), seconds=0.1)
    loop.store.down = set()
    loop.reporter.notice()
    await until(lambda: loop.backend.counted == 1)
    worker.cancel()


async def test_shutdown_tries_everything_once():
    loop = Loop()
    for n in range(70):
        await loop.rollout(f"r{n}")
        await loop.intake.accept([event(f"e{n}", f"r{n}")])
    loop.backend.before = lambda rewards: (
        Unavailable("busy") if rewards[0].rollout_id == "r0" else None
    )
    await loop.reporter.flush()
    assert [len(rollouts) for _, rollouts in loop.backend.deliveries] == [50, 20]
    assert loop.backend.counted == 20
    assert len(await loop.store.due_rewards(float("inf"), 100)) == 50
