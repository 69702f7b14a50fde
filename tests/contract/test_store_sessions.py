"""What `store/base.py` promises of sessions, asked of every store (see `test_stores.py`)."""

import asyncio
from dataclasses import replace

import pytest
from support.stores import assigned, attributed, entry, event, record, turned

from sidecar.core.session import Snapshot
from sidecar.store.base import Counts, Deposed, JournalMoved
from sidecar.store.memory import MemoryStore

# Sessions, journals, snapshots


async def test_the_first_record_of_a_session_stays(place):
    assert await place.store.add_session(record("s", 10.5)) is None
    store = await place.written()
    assert await store.add_session(record("s", 99.0)) == record("s", 10.5)
    assert await store.sessions() == [record("s", 10.5)]


async def test_sessions_come_oldest_first(place):
    for session, at in (("b", 1.0), ("a", 2.0), ("c", 3.0)):
        await place.store.add_session(record(session, at))
    store = await place.written()
    assert [known.session_id for known in await store.sessions()] == ["b", "a", "c"]
    assert await store.session_count() == 3


async def test_a_journal_numbers_its_entries_without_gaps(place):
    first = await place.store.append("s", [entry("k1", "r1", value=0.1 + 0.2), entry("k2")])
    assert [appended.seq for appended in first] == [1, 2]
    store = await place.written()
    second = await store.append("s", [entry("k3")])
    other = await store.append("other", [entry("k1")])
    assert [appended.seq for appended in second + other] == [3, 1]
    assert await store.journal("s", 0, 9) == first + second
    assert first[0] == replace(entry("k1", "r1", value=0.1 + 0.2), seq=1)


async def test_a_key_that_the_journal_has_is_skipped_and_leaves_no_gap(place):
    await place.store.append("s", [entry("k1", value=1), entry("k2")])
    store = await place.written()
    again = [entry("k3"), entry("k1", value=2), entry("k3", "twice"), entry("k4")]
    appended = await store.append("s", again)
    assert [(new.key, new.seq) for new in appended] == [("k3", 3), ("k4", 4)]
    journal = await store.journal("s", 0, 9)
    assert [new.key for new in journal] == ["k1", "k2", "k3", "k4"]
    assert journal[0].payload == {"value": 1}


async def test_who_names_the_last_entry_appends_only_if_nobody_has_since(place):
    await place.store.append("s", [entry("k1"), entry("k2")], after=0)
    store = await place.written()
    with pytest.raises(JournalMoved):
        await store.append("s", [entry("k3")], after=1)
    assert [e.seq for e in await store.append("s", [entry("k3")], after=2)] == [3]
    assert [e.key for e in await store.journal("s", 0, 9)] == ["k1", "k2", "k3"]


async def test_of_many_who_name_the_same_last_entry_one_appends(place):
    async def one(number: int) -> bool:
        try:
            return bool(await place.store.append("s", [entry(f"k{number}")], after=0))
        except JournalMoved:
            return False

    assert sum(await asyncio.gather(*map(one, range(20)))) == 1
    store = await place.written()
    assert len(await store.journal("s", 0, 99)) == 1


async def test_a_token_behind_the_highest_appends_no_more(place):
    await place.store.append("s", [entry("k1")], token=2)
    await place.store.append("s", [entry("k2")], token=2)
    store = await place.written()
    with pytest.raises(Deposed):
        await store.append("s", [entry("k3")], token=1)
    await store.append("s", [entry("k4")])
    await store.append("s", [entry("k5")], token=7)
    with pytest.raises(Deposed):
        await store.append("s", [entry("k6")], after=4, token=2)
    await store.append("other", [entry("k1")], token=1)
    assert [e.key for e in await store.journal("s", 0, 9)] == ["k1", "k2", "k4", "k5"]


async def test_many_writers_at_once_leave_one_journal_without_gaps(place):
    batches = [[entry(f"k{n}"), entry(f"k{n + 1}")] for n in range(40)]
    appended = await asyncio.gather(*(place.store.append("s", batch) for batch in batches))
    store = await place.written()
    journal = await store.journal("s", 0, 999)
    assert [new.seq for new in journal] == list(range(1, 42))
    assert len({new.key for new in journal}) == 41
    assert sorted((new for batch in appended for new in batch), key=lambda e: e.seq) == journal


async def test_a_journal_is_read_page_by_page(place):
    await place.store.append("s", [entry(f"k{number}") for number in range(5)])
    store = await place.written()
    assert [new.seq for new in await store.journal("s", 1, 2)] == [2, 3]
    assert await store.journal("s", 5, 9) == []
    assert await store.journal("unheard-of", 0, 9) == []


async def test_the_last_entry_about_each_subject_is_found(place):
    for key, subject in (("k1", "a"), ("k2", "b"), ("k3", "a"), ("k4", "")):
        await place.store.append("s", [entry(key, subject)])
    await place.store.append("other", [entry("k5", "a")])
    store = await place.written()
    found = await store.last_entries("s", ["a", "b", "", "unheard-of"])
    assert {subject: last.key for subject, last in found.items()} == {
        "a": "k3",
        "b": "k2",
        "": "k4",
    }
    assert await store.last_entries("s", []) == {}


async def test_only_a_newer_snapshot_replaces_the_one_that_is_kept(place):
    assert await place.store.snapshot("s") is None
    for seq in (3, 7, 5):
        await place.store.save_snapshot("s", Snapshot(seq, b"\x00state %d" % seq))
    store = await place.written()
    assert await store.snapshot("s") == Snapshot(7, b"\x00state 7")
    assert await store.snapshot("other") is None


async def test_the_counts_add_up_over_the_sessions(place):
    await place.store.add_feedback([event("parked")], 2000.0)
    for session, number in (("s1", 2), ("s2", 1)):
        for name in (f"{session}-{n}" for n in range(number)):
            place.store.record_assignment(assigned(name, session))
            for turn in "ab":
                place.store.record_turn(turned(name + turn, name, session))
            await attributed(place.store, name, name + "!", rollout=name, session=session)
    await place.store.mark_reported("s1", "s1-0", 1)
    store = await place.written()
    assert await store.counts("s1") == Counts(2, 4, 4, 1, 0)
    assert await store.counts("s2") == Counts(1, 2, 2, 0, 0)
    assert await store.counts() == Counts(3, 6, 6, 1, 1)


async def test_a_store_says_whether_it_is_durable(place):
    assert place.store.durable is not isinstance(place.store, MemoryStore)
