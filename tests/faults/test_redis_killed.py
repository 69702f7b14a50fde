"""The server is killed with `kill -9` and started again: what was acknowledged is there (P11, P12).

Several clients write as fast as they can, each noting what was acknowledged; what got no answer is
sent again, as a client would. The server forces its append-only file onto the disk before it
answers: with `appendfsync everysec` it may answer before it has written, when the disk is slow.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable

import pytest
from support.fault_proxy import NONE, Fault, FaultProxy
from support.feedback_loop import until
from support.redis_faults import answered, opened
from support.stores import assigned, entry, event, turned

from sidecar.store.base import StoreError
from sidecar.store.redis.store import RedisStore

KILLS = 5
ROLLOUTS = 10


class Clients:
    """Who writes, and what was acknowledged to them."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store
        self.journal: set[str] = set()
        self.events: set[str] = set()
        self.attributed: set[str] = set()
        self.rollouts: set[str] = set()

    async def keep_journal(self, number: int) -> None:
        keys = [f"k{number + place}" for place in range(3)]
        await self.store.append("s", [entry(key) for key in keys])
        self.journal.update(keys)

    async def keep_feedback(self, number: int) -> None:
        name = f"e{number}"
        await self.store.add_feedback([event(name)], 9e9)
        self.events.add(name)
        await self.store.attribute(name, "s", f"r{number % ROLLOUTS}")
        self.attributed.add(name)

    async def keep_rollouts(self, number: int) -> None:
        name = f"r{number}"
        self.store.record_turn(turned(f"t{number}", name))
        if not await self.store.record_assignment(assigned(name)):
            raise StoreError("not stored in time")
        self.rollouts.add(name)

    async def write(self, keep: Callable, stop: asyncio.Event) -> None:
        number = 0
        while not stop.is_set():
            try:
                await keep(number)
                number += 2
            except StoreError:
                await asyncio.sleep(0.01)


async def run_until_killed(clients: Clients, server) -> None:
    for _ in range(KILLS):
        enough = len(clients.journal) + random.randrange(1, 100)
        await until(lambda: len(clients.journal) >= enough)  # noqa: B023
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await answered(clients.store.sessions)


async def test_what_was_acknowledged_is_there_after_every_kill_of_the_server(server, redis_store):
    clients, stop = Clients(redis_store), asyncio.Event()
    keeps = (clients.keep_journal, clients.keep_feedback, clients.keep_rollouts)
    async with asyncio.TaskGroup() as tasks:
        for keep in keeps:
            tasks.create_task(clients.write(keep, stop))
        await run_until_killed(clients, server)
        stop.set()
    other = await opened(server.url)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(other.close)
        await check(clients, other)


async def check(clients: Clients, store: RedisStore) -> None:
    journal = await store.journal("s", 0, 10**6)
    assert [one.seq for one in journal] == list(range(1, len(journal) + 1))
    assert len({one.key for one in journal}) == len(journal)
    assert clients.journal <= {one.key for one in journal}
    rollouts = {one.rollout_id for one in await store.recent_assignments("s", 10**6)}
    assert clients.rollouts <= rollouts
    assert (await store.counts()).rollouts == len(rollouts)
    waiting = {one.event_id for one in await store.waiting_feedback(10**6)}
    owned = {
        rollout: {one.event_id for one in await store.events_of("s", rollout)}
        for rollout in (f"r{number}" for number in range(ROLLOUTS))
    }
    tied = set().union(*owned.values())
    assert clients.attributed <= tied
    assert clients.events <= tied | waiting
    assert not tied & waiting
    due = {one.rollout_id: one.revision for one in await store.due_rewards(9e9, 99)}
    assert due == {rollout: len(names) for rollout, names in owned.items() if names}


async def test_what_was_recorded_while_the_server_was_away_is_sent_when_it_is_back(
    server, redis_store
):
    assert await redis_store.record_assignment(assigned("before"))
    server.kill()
    with pytest.raises(StoreError):
        await redis_store.sessions()
    told = [redis_store.record_assignment(assigned(f"r{number}")) for number in range(500)]
    assert redis_store.record_turn(turned("t1", "r1"))
    assert await asyncio.gather(*told) == [None] * 500
    await asyncio.to_thread(server.start)
    await answered(lambda: redis_store.prune(0.0))
    found = await redis_store.recent_assignments("s", 9999)
    assert [one.rollout_id for one in found[:-1]] == [f"r{n}" for n in reversed(range(500))]
    assert await redis_store.turns("s", ["r1"]) == [turned("t1", "r1")]


async def test_what_was_recorded_while_something_else_answered_is_sent_when_the_server_is_back(
    server,
):
    async with FaultProxy(server.url) as between:
        store = await opened(between.url)
        between.fault = Fault(instead=b"HTTP/1.1 400 Bad Request\r\n\r\n")
        told = [store.record_assignment(assigned(f"r{number}")) for number in range(3)]
        assert await asyncio.gather(*told) == [None] * 3
        with pytest.raises(StoreError):
            await store.sessions()
        between.fault = NONE
        await answered(lambda: store.prune(0.0))
        assert len(await store.recent_assignments("s", 9)) == 3
        await store.close()


async def test_scripts_that_a_new_server_does_not_know_are_taught_to_it(server, redis_store):
    with server.client() as client:
        client.script_flush()
        assert await redis_store.record_assignment(assigned("r1"))
        client.script_flush()
        assert await redis_store.add_feedback([event("e1")], 2000.0) == [None]


async def test_a_server_that_was_away_while_nobody_asked_costs_no_failed_call(server, redis_store):
    await redis_store.sessions()
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    assert await redis_store.sessions() == []
