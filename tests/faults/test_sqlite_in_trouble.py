"""What the SQLite store does when its file, its queue or its callers fail it."""

import asyncio
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from sidecar.core.feedback import FeedbackEvent, Kind
from sidecar.core.rollout import Assignment, Outcome, Turn
from sidecar.store._cures import cure
from sidecar.store._file import _let_go
from sidecar.store.base import StoreError
from sidecar.store.sqlite import PRUNE_STEP, SqliteStore

FULL, NORMAL = 2, 1


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "state" / "store.db"


@pytest.fixture
async def store(path):
    store = SqliteStore(path)
    await store.open()
    yield store
    await store.close()


def event(name: str, **changes) -> FeedbackEvent:
    return FeedbackEvent(name, "app", Kind.THUMBS, 1000.0, **changes)


def assigned(rollout: str, candidate: object = "baseline") -> Assignment:
    return Assignment("s", rollout, candidate, 1.0, 1, 1, 1000.0)


def turned(turn: str, **changes) -> Turn:
    return Turn(turn, "s", "r1", 1000.0, 1.0, Outcome.DONE, 200, None, None, **changes)


def connection_of(store: SqliteStore) -> sqlite3.Connection:
    """The writer's connection; only to be touched while the writer has nothing to do."""
    return store._open.writer._connection


# The file


async def test_a_file_in_use_is_refused_until_it_is_let_go(store, path):
    second = SqliteStore(path)
    with pytest.raises(StoreError, match="Another sidecar is using"):
        await second.open()
    await store.close()
    await second.open()
    await second.close()


async def test_a_file_of_a_newer_version_is_refused_and_left_alone(store, path):
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="version 99"):
        await store.open()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (99,)


async def test_a_file_that_is_not_a_database_is_refused_and_left_alone(path):
    path.parent.mkdir()
    path.write_text("dear diary, " * 100)
    with pytest.raises(StoreError, match="cannot open"):
        await SqliteStore(path).open()
    assert path.read_text().startswith("dear diary")


async def test_a_place_where_no_file_can_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot open"):
        await SqliteStore(tmp_path / "file" / "store.db").open()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SQLITE_IOERR_SHMSIZE", "free some space"),  # what a full disk is called at the start
        ("SQLITE_READONLY_DIRECTORY", "must be able to write"),
        ("SQLITE_BUSY_RECOVERY", "something else holds it"),
        ("SQLITE_IOERR_READ", "see to the disk"),
    ],
)
def test_a_failure_is_told_with_its_cure(name, words):
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = name
    assert words in cure(error)


async def test_only_the_owner_may_read_what_users_wrote(store, path):
    await store.add_feedback([event("e1")], 2000.0)
    files = [path, path.with_name("store.db-wal"), path.with_name("store.db.lock")]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


async def test_a_full_disk_refuses_writes_and_still_answers_reads(store):
    await store.add_feedback([event("e1")], 2000.0)
    connection = connection_of(store)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    big = event("e2", comment="x" * 100_000)
    with pytest.raises(StoreError, match="SQLITE_FULL"):
        await store.add_feedback([big], 2000.0)
    fat = [store.record_assignment(assigned(f"r{n}", "x" * 100_000)) for n in range(3)]
    assert await asyncio.gather(*fat) == [None] * 3
    assert await store.waiting_feedback(9) == [event("e1")]
    connection.execute("PRAGMA max_page_count = 1000000")
    assert await store.add_feedback([big], 2000.0) == [None]
    assert await store.record_assignment(assigned("r0"))


async def test_a_file_locked_by_somebody_else_fails_the_batch_and_not_the_writer(store, path):
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        connection_of(store).execute("PRAGMA busy_timeout = 0")
        with pytest.raises(StoreError, match="SQLITE_BUSY"):
            await store.add_feedback([event("e1")], 2000.0)
        assert not await store.record_assignment(assigned("r1"))
    assert await store.add_feedback([event("e1")], 2000.0) == [None]


# Batches


async def test_a_write_that_fails_takes_no_other_with_it(store):
    sent = [[event("e1")], [event("e2"), event("secret \ud800")], [event("e3")]]
    calls = (store.add_feedback(events, 2000.0) for events in sent)
    first, second, third = await asyncio.gather(*calls, return_exceptions=True)
    assert first == third == [None]
    assert isinstance(second, StoreError)
    assert "secret" not in str(second)
    assert await store.waiting_feedback(9) == [event("e1"), event("e3")]


async def test_a_record_that_cannot_be_stored_takes_no_other_with_it(store):
    kept = [store.record_assignment(assigned(f"r{number}")) for number in range(3)]
    lost = store.record_assignment(assigned("r9", candidate=object()))
    store.record_turn(turned("t1"))
    assert await asyncio.gather(*kept, lost) == [*(assigned(f"r{n}") for n in range(3)), None]
    await store.prune(0.0)
    assert len(await store.recent_assignments("s", 9)) == 3
    assert await store.turns("s", ["r1"]) == [turned("t1")]


async def test_acknowledged_writes_are_committed_in_full_and_records_are_not(store):
    connection = connection_of(store)
    assert await store.record_assignment(assigned("r1"))
    assert connection.execute("PRAGMA synchronous").fetchone() == (NORMAL,)
    await store.add_feedback([event("e1")], 2000.0)
    assert connection.execute("PRAGMA synchronous").fetchone() == (FULL,)


async def test_writes_are_made_in_the_order_they_were_asked_for(store):
    calls = [store.add_feedback([event("e1", score=n / 10)], 2000.0) for n in range(10)]
    answers = await asyncio.gather(*calls)
    assert answers == [[None]] + [[event("e1", score=0.0)]] * 9


async def test_a_read_does_not_wait_for_the_writer(store):
    await store.add_feedback([event("e1")], 2000.0)
    gate = threading.Event()
    held = asyncio.create_task(store.write(lambda _: gate.wait(10)))
    late = asyncio.create_task(store.add_feedback([event("e2")], 2000.0))
    assert await store.waiting_feedback(9) == [event("e1")]
    gate.set()
    assert await held
    assert await late == [None]
    assert len(await store.waiting_feedback(9)) == 2


async def test_pruning_much_is_done_in_steps_that_let_others_pass(store):
    for number in range(2 * PRUNE_STEP + 1):
        assert store.record_turn(turned(f"t{number}", reply="text"))
    assert await store.prune(2000.0) == 2 * PRUNE_STEP + 1
    assert await store.prune(2000.0) == 0


# The queue and the callers


async def test_a_full_queue_refuses_at_once_and_never_blocks(path):
    store = SqliteStore(path, queue_limit=2)
    await store.open()
    gate, begun = threading.Event(), threading.Event()

    def wait(_: sqlite3.Connection) -> None:
        begun.set()
        gate.wait(10)

    held = asyncio.create_task(store.write(wait))
    await asyncio.to_thread(begun.wait)
    assert store.record_turn(turned("t1"))
    taken = store.record_assignment(assigned("r1"))
    assert not store.record_turn(turned("t2"))
    assert not await store.record_assignment(assigned("r2"))
    with pytest.raises(StoreError, match="behind"):
        await store.add_feedback([event("e1")], 2000.0)
    gate.set()
    await held
    assert await taken
    await store.close()


async def test_callers_who_gave_up_disturb_nobody(store):
    troubles = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
    futures = [store.record_assignment(assigned(f"r{number}")) for number in range(3)]
    futures[1].cancel()
    calls = [asyncio.ensure_future(store.add_feedback([event(f"e{n}")], 2000.0)) for n in range(3)]
    await asyncio.sleep(0)
    calls[1].cancel()
    answers = await asyncio.gather(*futures, *calls, return_exceptions=True)
    assert [answers[place] for place in (0, 2, 3, 5)] == [
        assigned("r0"),
        assigned("r2"),
        [None],
        [None],
    ]
    assert len(await store.waiting_feedback(9)) == 3
    assert troubles == []


async def test_closing_finishes_what_is_queued(store):
    futures = [store.record_assignment(assigned(f"r{number}")) for number in range(500)]
    call = asyncio.create_task(store.add_feedback([event("e1")], 2000.0))
    await asyncio.sleep(0)
    await store.close()
    assert all(future.done() and future.result() for future in futures)
    assert await call == [None]
    await store.open()
    assert (await store.counts()).rollouts == 500


async def test_a_store_that_is_not_open_says_so(path):
    store = SqliteStore(path)
    await store.close()
    assert not store.record_turn(turned("t1"))
    assert not await store.record_assignment(assigned("r1"))
    with pytest.raises(StoreError, match="not open"):
        await store.add_feedback([event("e1")], 2000.0)
    with pytest.raises(StoreError, match="not open"):
        await store.counts()


async def test_a_loop_that_is_gone_does_not_stop_the_writer(path):
    def abandon() -> SqliteStore:
        store = SqliteStore(path)

        async def record() -> None:
            await store.open()
            store.record_assignment(assigned("r1"))

        asyncio.run(record())
        return store

    store = await asyncio.to_thread(abandon)
    await asyncio.to_thread(_let_go, store._open)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM assignment").fetchone() == (1,)
