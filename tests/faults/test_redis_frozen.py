"""The server freezes (SIGSTOP): connections stay open and nothing answers. Requests do not wait for
it, callers are told in bounded time, and nothing has to be restarted when it thaws (P3)."""

import asyncio
import time

import pytest
import structlog
from support.redis_faults import (
    BOUND_SECONDS,
    BUDGET_MS,
    SLACK_SECONDS,
    answered,
    opened,
    took,
)
from support.stores import assigned, entry, event, happened, turned

from sidecar.core.session import Snapshot
from sidecar.store.base import Secret, StoreError
from sidecar.store.redis.link import ANSWER_SECONDS

RECORDS = 500


@pytest.fixture
def frozen(server, redis_store):
    server.freeze()
    yield redis_store
    server.thaw()


async def test_recording_blocks_nobody_and_says_in_time_that_it_is_not_stored(frozen):
    began = time.monotonic()
    told = [frozen.record_assignment(assigned(f"r{number}")) for number in range(RECORDS)]
    assert all(frozen.record_turn(turned(f"t{number}")) for number in range(RECORDS))
    assert time.monotonic() - began < SLACK_SECONDS
    assert not any(future.done() for future in told)
    assert await asyncio.gather(*told) == [None] * RECORDS
    assert time.monotonic() - began < BUDGET_MS / 1000 + SLACK_SECONDS


async def test_every_awaited_call_ends_in_bounded_time(frozen):
    calls = [
        frozen.assignment("s", "r1"),
        frozen.locate(rollout_id="r1"),
        frozen.recent_assignments("s", 9),
        frozen.recent_chains("s", 9),
        frozen.tally("s"),
        frozen.turns("s", ["r1"]),
        frozen.add_feedback([event("e1")], 2000.0),
        frozen.waiting_feedback(9),
        frozen.attribute("e1", "s", "r1"),
        frozen.expire_feedback(2000.0),
        frozen.events_of("s", "r1"),
        frozen.due_rewards(2000.0, 9),
        frozen.mark_reported("s", "r1", 1),
        frozen.put_off("s", "r1", 1.0, "refused", dead=False),
        frozen.dead_letters(9),
        frozen.replay("s", "r1"),
        frozen.sessions(),
        frozen.append("s", [entry("k1")]),
        frozen.journal("s", 0, 9),
        frozen.last_entries("s", ["r1"]),
        frozen.save_snapshot("s", Snapshot(1, b"")),
        frozen.keep_secret(Secret("name", b"", 1.0)),
        frozen.secret("name"),
        frozen.jobs(),
        frozen.job_count(),
        frozen.append_events("j", [happened("k1")], token=1),
        frozen.keep_artifact("j", "a", b""),
        frozen.artifacts("j"),
        frozen.lease("engine", "a", 1.0),
        frozen.release("engine", "a"),
        frozen.counts(),
        frozen.prune(1.0),
    ]
    ends = await asyncio.gather(*(took(call) for call in calls))
    assert all(isinstance(answer, StoreError) for _, answer in ends)
    assert max(seconds for seconds, _ in ends) < BOUND_SECONDS + SLACK_SECONDS


async def test_once_it_is_known_calls_fail_at_once(frozen):
    with pytest.raises(StoreError):
        await frozen.sessions()
    ends = [await took(frozen.add_feedback([event("e1")], 2000.0)) for _ in range(20)]
    assert all(isinstance(answer, StoreError) for _, answer in ends)
    assert sum(seconds for seconds, _ in ends) < SLACK_SECONDS
    told = frozen.record_assignment(assigned("r1"))
    assert told.done()
    assert not told.result()


async def test_it_recovers_by_itself_and_says_so_once(server, redis_store):
    with structlog.testing.capture_logs() as lines:
        server.freeze()
        told = redis_store.record_assignment(assigned("r1"))
        calls = [redis_store.sessions() for _ in range(30)]
        assert all(
            isinstance(end, StoreError)
            for end in await asyncio.gather(*calls, return_exceptions=True)
        )
        assert not await told
        assert "does not answer" in redis_store.trouble
        server.thaw()
        await answered(lambda: redis_store.prune(0.0))
    assert await redis_store.assignment("s", "r1") == assigned("r1")
    assert [line["event"] for line in lines] == ["store lost", "store back"]
    assert redis_store.trouble == ""


async def test_a_full_queue_refuses_at_once(server):
    store = await opened(server.url, queue_limit=10)
    server.freeze()
    told = [store.record_assignment(assigned(f"r{number}")) for number in range(20)]
    assert [future.done() for future in told] == [False] * 10 + [True] * 10
    assert not store.record_turn(turned("t1"))
    server.thaw()
    await asyncio.gather(*told)
    await store.close()


async def test_closing_takes_bounded_time_and_leaves_nobody_waiting(server):
    store = await opened(server.url)
    server.freeze()
    told = [store.record_assignment(assigned(f"r{number}")) for number in range(10)]
    seconds, _ = await took(store.close())
    assert seconds < 2 * ANSWER_SECONDS + SLACK_SECONDS
    assert [future.result() for future in told] == [None] * 10
    assert not await store.record_assignment(assigned("r1"))
    with pytest.raises(StoreError, match="not open"):
        await store.sessions()


async def test_a_server_that_is_frozen_at_the_start_is_refused_in_bounded_time(server):
    server.freeze()
    seconds, _ = await took(opened(server.url))
    assert seconds < ANSWER_SECONDS + SLACK_SECONDS
    with pytest.raises(StoreError, match="cannot be reached at unix://"):
        await opened(server.url)


async def test_callers_who_give_up_do_not_get_each_others_answers(redis_store):
    for number in range(50):
        await redis_store.append(f"s{number}", [entry(f"k{number}")])

    async def asked(number: int) -> None:
        async with asyncio.timeout(number % 5 / 1000 or None):
            (one,) = await redis_store.journal(f"s{number}", 0, 9)
            assert one.key == f"k{number}"

    ends = await asyncio.gather(
        *(asked(number % 50) for number in range(500)), return_exceptions=True
    )
    assert {type(end) for end in ends} <= {type(None), TimeoutError}
    assert ends.count(None) >= 100
    assert (await redis_store.journal("s7", 0, 9))[0].key == "k7"
