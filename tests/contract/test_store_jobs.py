"""What `store/base.py` promises of offline jobs, asked of every store (see `test_stores.py`)."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from support.stores import assigned, entry, happened, job

from sidecar.core.job import JobKind
from sidecar.store import _sql
from sidecar.store.base import CLOSED, Deposed, JournalMoved
from sidecar.store.sqlite import SqliteStore

GEPA = "learning.policy.gepa."


async def test_a_job_comes_back_as_it_was(place):
    policy = job("pl_1")
    scoring = job("eval-1", 2.0, kind=JobKind.EVAL, algorithm="", metadata={})
    assert await place.store.add_job(policy) is None
    assert await place.store.add_job(scoring) is None
    store = await place.written()
    assert await store.jobs() == [policy, scoring]


async def test_the_first_record_of_a_job_stays(place):
    await place.store.add_job(job("pl_1", 10.5))
    store = await place.written()
    assert await store.add_job(job("pl_1", 99.0)) == job("pl_1", 10.5)
    assert await store.jobs() == [job("pl_1", 10.5)]


async def test_jobs_come_oldest_first(place):
    for name, at in (("b", 1.0), ("a", 2.0), ("c", 1.0)):
        await place.store.add_job(job(name, at))
    store = await place.written()
    assert [known.job_id for known in await store.jobs()] == ["b", "c", "a"]
    assert await store.job_count() == 3


async def test_the_events_of_a_job_are_numbered_without_gaps(place):
    first = await place.store.append_events("j", [happened("k1", rate=0.1 + 0.2), happened("k2")])
    assert [event.seq for event in first] == [1, 2]
    store = await place.written()
    second = await store.append_events("j", [happened("k3")])
    other = await store.append_events("other", [happened("k1")])
    assert [event.seq for event in second + other] == [3, 1]
    assert await store.job_events("j", 0, 9) == first + second
    assert first[0] == replace(happened("k1", rate=0.1 + 0.2), seq=1)


async def test_an_event_whose_key_is_known_is_skipped_and_leaves_no_gap(place):
    await place.store.append_events("j", [happened("k1", value=1), happened("k2")])
    store = await place.written()
    again = [happened("k3"), happened("k1", value=2), happened("k3", "twice"), happened("k4")]
    appended = await store.append_events("j", again)
    assert [(event.key, event.seq) for event in appended] == [("k3", 3), ("k4", 4)]
    events = await store.job_events("j", 0, 9)
    assert [event.key for event in events] == ["k1", "k2", "k3", "k4"]
    assert events[0].data == {"value": 1}
    assert await store.append_events("j", []) == []


async def test_many_appending_at_once_leave_one_journal_without_gaps(place):
    batches = [[happened(f"k{n}"), happened(f"k{n + 1}")] for n in range(40)]
    await asyncio.gather(*(place.store.append_events("j", batch) for batch in batches))
    store = await place.written()
    events = await store.job_events("j", 0, 999)
    assert [event.seq for event in events] == list(range(1, 42))
    assert len({event.key for event in events}) == 41


async def test_events_are_appended_only_after_those_that_the_writer_knows(place):
    await place.store.append_events("j", [happened("k1")], after=0)
    store = await place.written()
    with pytest.raises(JournalMoved):
        await store.append_events("j", [happened("k2")], after=0)
    assert [event.seq for event in await store.append_events("j", [happened("k2")], after=1)] == [2]


async def test_who_runs_a_job_writes_until_a_later_one_has_said_that_it_does(place):
    await place.store.append_events("j", [happened("k1")], token=3)
    assert await place.store.append_events("j", [], token=4) == []
    store = await place.written()
    with pytest.raises(Deposed):
        await store.append_events("j", [happened("k2")], token=3)
    with pytest.raises(Deposed):
        await store.keep_artifact("j", "best.txt", b"late", token=3)
    await store.keep_artifact("j", "best.txt", b"good", token=4)
    await store.append_events("j", [happened("k2")], token=4)
    await store.append_events("j", [happened("k3")])
    await store.append_events("other", [happened("k1")], token=1)
    await store.append("j", [entry("k1")], token=1)
    assert [event.key for event in await store.job_events("j", 0, 9)] == ["k1", "k2", "k3"]
    assert await store.artifact("j", "best.txt") == b"good"


async def test_nobody_who_runs_a_job_writes_to_a_closed_journal(place):
    token = await place.store.lease("job:j", "a", 60.0)
    await place.store.append_events("j", [happened("k1")], token=CLOSED)
    store = await place.written()
    with pytest.raises(Deposed):
        await store.append_events("j", [happened("k2")], token=token)
    await store.append_events("j", [happened("k1")], token=CLOSED)
    assert len(await store.job_events("j", 0, 9)) == 1


async def test_events_are_read_page_by_page(place):
    await place.store.append_events("j", [happened(f"k{number}") for number in range(5)])
    store = await place.written()
    assert [event.seq for event in await store.job_events("j", 1, 2)] == [2, 3]
    assert await store.job_events("j", 5, 9) == []
    assert await store.job_events("unheard-of", 0, 9) == []


async def test_events_of_some_types_are_read_without_the_others(place):
    whats = ("progress", "job.started", "progress", "candidate.new_best")
    events = [happened(f"k{n}", what) for n, what in enumerate(whats)]
    await place.store.append_events("j", events)
    store = await place.written()
    wanted = [GEPA + "progress", GEPA + "job.started"]
    assert [e.seq for e in await store.job_events("j", 0, 9, wanted)] == [1, 2, 3]
    assert [e.seq for e in await store.job_events("j", 1, 1, wanted)] == [2]


async def test_the_newest_event_of_each_type_is_found(place):
    whats = ("candidate.new_best", "progress", "job.started", "progress", "candidate.new_best")
    events = [happened(f"k{n}", what, n=n) for n, what in enumerate(whats)]
    await place.store.append_events("j", events)
    await place.store.append_events("other", [happened("k9", "progress")])
    store = await place.written()
    asked = [GEPA + "progress", GEPA + "candidate.new_best", GEPA + "job.failed"]
    assert [(e.type, e.seq) for e in await store.last_events("j", asked)] == [
        (GEPA + "progress", 4),
        (GEPA + "candidate.new_best", 5),
    ]
    assert await store.last_events("j", []) == []


async def test_a_file_comes_back_byte_for_byte_and_the_last_of_a_name_stays(place):
    content = bytes(range(256)) * 300
    await place.store.keep_artifact("j", "traces/seed_2.json", b"old")
    await place.store.keep_artifact("j", "traces/seed_2.json", content)
    await place.store.keep_artifact("j", "best.txt", b"")
    store = await place.written()
    assert await store.artifact("j", "traces/seed_2.json") == content
    assert await store.artifact("j", "best.txt") == b""
    assert await store.artifact("j", "unheard-of") is None
    assert await store.artifact("other", "best.txt") is None
    assert await store.artifacts("j") == [("best.txt", 0), ("traces/seed_2.json", len(content))]
    assert await store.artifacts("other") == []


async def test_a_file_of_an_older_schema_gains_jobs_and_keeps_the_rest(tmp_path):
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(f"{_sql.MIGRATIONS[0]}{_sql.MIGRATIONS[1]} PRAGMA user_version = 2;")
        old.execute(_sql.INSERT_ASSIGNMENTS, (_sql.dump([assigned("r1")]),))
        old.commit()
    store = SqliteStore(path)
    await store.open()
    await store.add_job(job("pl_1"))
    assert await store.jobs() == [job("pl_1")]
    assert await store.assignment("s", "r1") == assigned("r1")
    await store.close()
