"""P14: a reward that cannot be delivered becomes a dead letter; all others arrive."""

import asyncio

import pytest
from support.feedback_loop import SESSION, Loop, event
from support.recording_backend import RecordingBackend

from sidecar.errors import Conflict, NotFound, Unavailable
from sidecar.rewards.backoff import company, delay
from sidecar.store.memory import MemoryStore
from sidecar.store.sqlite import SqliteStore


@pytest.fixture(params=["memory", "sqlite"])
async def loop(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "s.db")
    await store.open()
    yield Loop(store=store, backend=RecordingBackend(SESSION, "bank"))
    await store.close()


async def votes(loop: Loop, number: int, session_id: str = SESSION) -> None:
    for n in range(number):
        await loop.rollout(f"r{n}", session_id)
    await loop.intake.accept(
        [event(f"{session_id}{n}", f"r{n}", session_id=session_id) for n in range(number)]
    )


async def test_one_poison_reward_among_a_hundred_good_ones(loop):
    await votes(loop, 101)
    loop.backend.poison = {"r37"}
    await loop.reporter.deliver_due()
    assert loop.backend.counted == 100
    assert await loop.dead() == ["r37"]
    assert loop.metric("sidecar_deadletters") == 1
    [letter] = await loop.reporter.dead_letters.oldest(10)
    assert letter.error == "one of the rewards makes no sense"
    assert len(loop.backend.deliveries) < 20


async def test_a_dead_letter_can_be_replayed(loop):
    await votes(loop, 3)
    loop.backend.poison = {"r1"}
    await loop.reporter.deliver_due()
    loop.backend.poison = set()
    await loop.reporter.deliver_due()
    assert loop.backend.counted == 2, "dead letters rest until somebody replays them"
    await loop.reporter.dead_letters.replay(SESSION, "r1")
    await loop.reporter.deliver_due()
    assert loop.backend.counted == 3
    assert await loop.dead() == []
    assert loop.metric("sidecar_deadletters") == 0
    with pytest.raises(NotFound):
        await loop.reporter.dead_letters.replay(SESSION, "r1")


async def test_new_feedback_brings_a_dead_reward_back(loop):
    await votes(loop, 1)
    loop.backend.poison = {"r0"}
    await loop.reporter.deliver_due()
    loop.backend.poison = set()
    await loop.intake.accept([event("second", "r0", session_id=SESSION, score=0.0, actor="bob")])
    await loop.reporter.deliver_due()
    assert loop.backend.values() == {"r0": 0.5}
    assert loop.metric("sidecar_deadletters") == 0


@pytest.mark.parametrize("error", [Unavailable("broken"), RuntimeError("a bug"), TimeoutError()])
async def test_a_poison_that_looks_like_an_outage_parts_from_the_others_too(loop, error):
    await votes(loop, 60)
    loop.backend.before = lambda rewards: (
        error if any(r.rollout_id == "r7" for r in rewards) else None
    )
    await loop.drain()
    assert loop.backend.counted == 59
    assert await loop.dead() == ["r7"]


async def test_an_error_we_do_not_know_is_not_quoted(loop):
    await votes(loop, 1)
    loop.backend.before = lambda _rewards: RuntimeError("key sk-secret")
    await loop.drain()
    [letter] = await loop.reporter.dead_letters.oldest(10)
    assert letter.error == "RuntimeError"


async def test_an_outage_is_tried_so_many_times(loop):
    await votes(loop, 1)
    loop.backend.before = lambda _rewards: Unavailable("busy")
    await loop.drain()
    assert len(loop.backend.deliveries) == loop.settings.max_attempts
    assert await loop.dead() == ["r0"]


async def test_a_session_that_is_over_holds_up_no_other(loop):
    await votes(loop, 5, SESSION)
    await votes(loop, 5, "bank")
    loop.backend.status_of[SESSION] = "cancelled"
    await loop.reporter.deliver_due()
    assert loop.backend.counted == 5
    assert len(await loop.dead()) == 5


async def test_a_slow_session_holds_up_no_other(loop):
    await votes(loop, 1, SESSION)
    await votes(loop, 1, "bank")
    gate = asyncio.Event()
    report = RecordingBackend.report

    class Slow(RecordingBackend):
        async def report(self, session_id, rewards):
            if session_id == SESSION:
                await gate.wait()
            receipts = await report(self, session_id, rewards)
            gate.set()
            return receipts

    slow = Slow(SESSION, "bank")
    loop = Loop(store=loop.store, backend=slow, clock=loop.clock)
    await loop.reporter.deliver_due()
    assert [session for session, _ in slow.deliveries] == ["bank", SESSION]


async def test_reporting_now_says_why_not(loop):
    await votes(loop, 1)
    loop.backend.status_of[SESSION] = "completed"
    with pytest.raises(Conflict):
        await loop.reporter.report_now(SESSION, "r0")
    assert await loop.dead() == ["r0"]


def test_waits_double_up_to_a_minute():
    assert [delay(n) for n in (1, 2, 3, 7, 8, 10_000)] == [0.5, 1.0, 2.0, 32.0, 60.0, 60.0]


def test_company_halves_and_ends_alone():
    assert [company(n, 50, 8) for n in range(8)] == [50, 25, 12, 6, 3, 1, 1, 1]
    assert company(0, 50, 1) == 1
    assert company(1, 50, 2) == 1
