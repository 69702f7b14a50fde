"""Several replicas on one server: what one of them does holds for all (P12, P21)."""

import asyncio
import contextlib
import re

import pytest
from support.redis_faults import answered, opened
from support.stores import assigned, attributed, entry, event, turned

from sidecar.core.rollout import Turn
from sidecar.store.base import StoreError

REPLICAS = 3


@pytest.fixture
async def replicas(server):
    async with contextlib.AsyncExitStack() as stack:
        stores = [await opened(server.url) for _ in range(REPLICAS)]
        for store in stores:
            stack.push_async_callback(store.close)
        yield stores


async def test_all_append_to_one_journal_without_gaps_and_each_entry_has_one_author(replicas):
    batches = [
        (replicas[number % REPLICAS], [entry(f"k{number}"), entry(f"k{number + 1}")])
        for number in range(200)
    ]
    appended = await asyncio.gather(*(store.append("s", batch) for store, batch in batches))
    journal = await replicas[0].journal("s", 0, 999)
    assert [one.seq for one in journal] == list(range(1, 202))
    assert len({one.key for one in journal}) == 201
    assert sorted((one for batch in appended for one in batch), key=lambda e: e.seq) == journal


async def test_an_assignment_has_one_winner_whoever_asks(replicas):
    for number in range(50):
        told = [
            store.record_assignment(assigned(f"r{number}", candidate_id=f"cand_{place}"))
            for place, store in enumerate(replicas)
        ]
        (winner,) = {*await asyncio.gather(*told)}
        assert winner == await replicas[0].assignment("s", f"r{number}")
    seen = [[await store.assignment("s", f"r{n}") for n in range(50)] for store in replicas]
    assert seen == [seen[0]] * REPLICAS
    tally = await replicas[0].tally("s")
    assert sum(tally.values()) == 50
    assert len(await replicas[1].recent_assignments("s", 999)) == 50


async def test_an_event_belongs_to_one_rollout_whoever_attributes_it(replicas):
    names = [f"e{number}" for number in range(50)]
    for store in replicas:
        await store.add_feedback([event(name) for name in names], 2000.0)
    tries = [
        store.attribute(name, "s", f"r{place}")
        for name in names
        for place, store in enumerate(replicas)
    ]
    assert sum(await asyncio.gather(*tries)) == len(names)
    owned = [await replicas[0].events_of("s", f"r{place}") for place in range(REPLICAS)]
    assert sorted(one.event_id for events in owned for one in events) == sorted(names)
    assert (await replicas[0].counts()).feedback == len(names)


async def test_a_lease_has_one_holder_among_the_replicas(replicas):
    asked = [store.lease("engine", f"replica-{n}", 60.0) for n, store in enumerate(replicas)]
    tokens = await asyncio.gather(*asked)
    assert sum(token is not None for token in tokens) == 1


async def test_what_is_pruned_by_several_at_once_is_counted_once(replicas):
    for number in range(700):
        replicas[0].record_turn(turned(f"t{number}", started_at=float(number), reply="text"))
    await replicas[0].prune(0.0)
    assert sum(await asyncio.gather(*(store.prune(600.0) for store in replicas))) == 600
    assert sum(bool(turn.reply) for turn in await replicas[1].turns("s", ["r1"])) == 100


# What is kept, and for how long


async def test_what_can_expire_expires_and_what_is_still_owed_does_not(server):
    store = await opened(server.url, retention_days=1.0, prefix="p")
    store.record_assignment(assigned("r1"))
    store.record_turn(turned("t1", completion_id="c", chain_key="k", reply="text"))
    await attributed(store, "e1", "e2")
    await store.append("s", [entry("k1", "r1")])
    await store.mark_reported("s", "r1", 1)
    day = 86_400
    with server.client() as client:

        def lives(pattern: str) -> list[int]:
            keys = [key for key in client.scan_iter() if re.search(pattern, key.decode())]
            assert keys, pattern
            return [client.ttl(key) for key in keys]

        bounded = ":rollout:r1", ":recent", ":chains", ":where:", ":answer:", ":event:"
        for pattern in bounded:
            assert all(day - 60 <= life <= day for life in lives(pattern)), pattern
        assert lives(":(of|row):s/r1") == [-1, -1]
        assert lives(":journal") == [-1]
        await store.mark_reported("s", "r1", 2)
        assert all(day - 60 <= life <= day for life in lives(":(of|row):s/r1"))
        await attributed(store, "e3")
        assert lives(":(of|row):s/r1") == [-1, -1]
    await store.close()


async def test_lists_of_the_newest_are_bounded(server):
    store = await opened(server.url, remember=100)
    for number in range(150):
        store.record_assignment(assigned(f"r{number}"))
        store.record_turn(turned(f"t{number}", f"r{number}", chain_key=f"k{number}"))
    await store.prune(0.0)
    newest = [f"r{number}" for number in reversed(range(50, 150))]
    assert [one.rollout_id for one in await store.recent_assignments("s", 999)] == newest
    assert [rollout for _, rollout in await store.recent_chains("s", 999)] == newest
    assert await store.tally("s") == {"baseline": 150}
    await store.close()


async def test_deployments_with_other_prefixes_do_not_meet(server):
    one, other = await opened(server.url, prefix="one"), await opened(server.url, prefix="other")
    await one.append("s", [entry("k1")])
    assert await one.lease("engine", "a", 60.0)
    assert await other.journal("s", 0, 9) == []
    assert await other.lease("engine", "b", 60.0)
    await one.close()
    await other.close()


# A server that refuses


async def test_a_server_without_append_only_file_is_used_and_not_called_durable(server):
    store = await opened(server.url)
    assert store.durable
    with server.client() as client:
        client.config_set("appendonly", "no")
    plain = await opened(server.url)
    assert not plain.durable
    assert await plain.add_feedback([event("e1")], 2000.0) == [None]
    await store.close()
    await plain.close()


async def test_a_server_that_is_full_refuses_writes_and_still_answers_reads(server, replicas):
    store = replicas[0]
    assert await store.record_assignment(assigned("r1"))
    with server.client() as client:
        client.config_set("maxmemory", "1mb")
        with pytest.raises(StoreError, match="OutOfMemory"):
            await store.add_feedback([event("e1")], 2000.0)
        assert not await store.record_assignment(assigned("r2"))
        assert await store.assignment("s", "r1") == assigned("r1")
        client.config_set("maxmemory", "0")
    assert await store.add_feedback([event("e1")], 2000.0) == [None]
    assert await store.record_assignment(assigned("r2"))


async def test_a_step_on_a_full_server_happens_as_a_whole_or_not_at_all(server, replicas):
    store = replicas[0]
    await attributed(store, "e0", rollout="dead")
    await store.put_off("s", "dead", 1200.0, "gone", dead=True)
    await store.add_feedback([event("e1")], 2000.0)
    with server.client() as client:
        client.config_set("maxmemory", "1mb")
        steps = await asyncio.gather(
            store.attribute("e1", "s", "r1"), store.replay("s", "dead"), return_exceptions=True
        )
        client.config_set("maxmemory", "0")
    waiting = [one.event_id for one in await store.waiting_feedback(9)]
    due = {one.rollout_id for one in await store.due_rewards(2000.0, 9)}
    dead = [one.rollout_id for one in await store.dead_letters(9)]
    assert (waiting == ["e1"]) == ("r1" not in due) == (steps[0] is not True)
    assert (dead == ["dead"]) == ("dead" not in due) == (steps[1] is not True)


async def test_a_server_that_becomes_a_copy_of_another_is_as_good_as_gone(server, replicas):
    store = replicas[0]
    assert await store.record_assignment(assigned("r1"))
    with server.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        late = store.record_assignment(assigned("r2"))
        with pytest.raises(StoreError):
            await store.add_feedback([event("e1")], 2000.0)
        with pytest.raises(StoreError, match="copy of another server"):
            await opened(server.url)
        assert not await late
        client.execute_command("REPLICAOF", "NO", "ONE")
    await answered(lambda: store.prune(0.0))
    assert await store.assignment("s", "r2") == assigned("r2")


async def test_data_of_a_newer_sidecar_is_refused_and_left_alone(server, replicas):
    with server.client() as client:
        client.set("sidecar:{:meta}:schema", 99)
        with pytest.raises(StoreError, match="version 99"):
            await opened(server.url)
        assert client.get("sidecar:{:meta}:schema") == b"99"


async def test_what_cannot_be_stored_takes_nothing_else_with_it(replicas):
    store = replicas[0]
    kept = [store.record_assignment(assigned(f"r{number}")) for number in range(3)]
    lost = store.record_assignment(assigned("r9", candidate_id=object()))
    assert not store.record_turn(turned("t9", reply=object()))
    strange = turned("t1", request=(("user", "half a pair \ud83d"),))
    assert store.record_turn(strange)
    assert await asyncio.gather(*kept, lost) == [*(assigned(f"r{n}") for n in range(3)), None]
    await store.prune(0.0)
    found: list[Turn] = await store.turns("s", ["r1"])
    assert found == [strange]


async def test_who_is_told_to_stop_while_asking_stops(replicas):
    async def ask_for_ever(store) -> None:
        while True:
            await store.session_count()

    for round_ in range(60):
        asking = [asyncio.create_task(ask_for_ever(store)) for store in replicas]
        for _ in range(1 + round_ % 20):  # so that the word comes at every step of a question
            await asyncio.sleep(0)
        for task in asking:
            task.cancel()
        _, deaf = await asyncio.wait(asking, timeout=5)
        assert not deaf
