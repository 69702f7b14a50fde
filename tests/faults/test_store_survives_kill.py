"""What was acknowledged is there after `kill -9` (P6, P11, P12).

A child process writes as fast as it can and prints a line for each acknowledgement. It is killed at
a random line, several times on the same file; each new child repeats the end of what the last one
did, as a client that got no answer would. Lines still in the pipe at death count as acknowledged.
"""

import asyncio
import contextlib
import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

from sidecar.core.feedback import FeedbackEvent, Kind
from sidecar.core.rollout import Assignment, Outcome, Turn
from sidecar.core.session import Entry, JournalEntry
from sidecar.store.sqlite import SqliteStore

ROUNDS = 6
REPEATED = 20
ROLLOUTS = 10


def say(what: str, name: object) -> None:
    """One whole line in one write: the pipe keeps it even if we die in the next instant."""
    os.write(1, f"{what} {name}\n".encode())


async def keep_journal(store: SqliteStore, number: int) -> None:
    while True:
        keys = [f"k{number + place}" for place in range(3)]
        await store.append("s", [JournalEntry(key, Entry.REWARD, "r", {}, 1.0) for key in keys])
        for key in keys:
            say("journal", key)
        number += 2


async def keep_feedback(store: SqliteStore, number: int) -> None:
    while True:
        name = f"e{number}"
        await store.add_feedback([FeedbackEvent(name, "app", Kind.THUMBS, 1.0, score=1.0)], 9e9)
        say("event", name)
        await store.attribute(name, "s", f"r{number % ROLLOUTS}")
        say("attributed", name)
        number += 1


async def keep_rollouts(store: SqliteStore, number: int) -> None:
    while True:
        name = f"r{number}"
        turn = Turn(f"t{number}", "s", name, 1.0, 1.0, Outcome.DONE, 200, f"c{number}", None)
        taken = store.record_turn(turn)
        if await store.record_assignment(Assignment("s", name, "baseline", 1.0, 1, number, 1.0)):
            say("assigned", name)
            if taken:  # queued before the assignment, so stored before it or with it
                say("turn", name)
        number += 1


async def child(path: Path, number: int) -> None:
    store = SqliteStore(path)
    await store.open()
    await asyncio.gather(
        *(keep(store, number) for keep in (keep_journal, keep_feedback, keep_rollouts))
    )


def write_until_killed(path: Path, number: int, lines: int) -> list[str]:
    """The acknowledgements of a child that is killed once it has given this many."""
    command = [sys.executable, "-W", "error", __file__, str(path), str(number)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        said = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        said += process.stdout.readlines()
    assert all(said), "the child died by itself"
    return said


async def missing_from(store: SqliteStore, said: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """The acknowledgements that the store does not know of."""
    journal = {("journal", entry.key) for entry in await store.journal("s", 0, 10**6)}
    assignments = await store.recent_assignments("s", 10**6)
    rollouts = [assignment.rollout_id for assignment in assignments]
    turns = {("turn", turn.rollout_id) for turn in await store.turns("s", rollouts)}
    waiting = {event.event_id for event in await store.waiting_feedback(10**6)}
    tied = {name for r in range(ROLLOUTS) for name in await events_of(store, r)}
    assert not waiting & tied
    known = journal | turns | {("assigned", rollout) for rollout in rollouts}
    known |= {("event", name) for name in waiting | tied} | {("attributed", name) for name in tied}
    return sorted(said - known)


async def events_of(store: SqliteStore, rollout: int) -> list[str]:
    return [event.event_id for event in await store.events_of("s", f"r{rollout}")]


async def check(path: Path, said: set[tuple[str, str]]) -> None:
    store = SqliteStore(path)
    await store.open()
    assert await missing_from(store, said) == []
    journal = await store.journal("s", 0, 10**6)
    assert [entry.seq for entry in journal] == list(range(1, len(journal) + 1))
    assert len({entry.key for entry in journal}) == len(journal)
    due = {due.rollout_id: due.revision for due in await store.due_rewards(9e9, 99)}
    owned = {f"r{rollout}": len(await events_of(store, rollout)) for rollout in range(ROLLOUTS)}
    assert due == {rollout: events for rollout, events in owned.items() if events}
    await store.close()


async def test_every_acknowledgement_survives_kill_9_at_any_moment(tmp_path):
    path, said, number = tmp_path / "store.db", set(), 0
    chance = random.Random()
    for _ in range(ROUNDS):
        lines = await asyncio.to_thread(write_until_killed, path, number, chance.randrange(1, 1500))
        said |= {tuple(line.split()) for line in lines}
        await check(path, said)
        events = [int(name[1:]) for what, name in said if what == "event"]
        number = max([REPEATED, *events]) - REPEATED
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert len(said) > ROUNDS


if __name__ == "__main__":
    asyncio.run(child(Path(sys.argv[1]), int(sys.argv[2])))
