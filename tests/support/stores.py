"""Every store, and records to put into them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sidecar.core.feedback import FeedbackEvent, Kind
from sidecar.core.job import JobEvent, JobKind, JobRecord
from sidecar.core.rollout import Assignment, Outcome, Turn
from sidecar.core.session import Entry, JournalEntry, SessionRecord
from sidecar.store.base import Store
from sidecar.store.memory import MemoryStore
from sidecar.store.redis.store import RedisStore
from sidecar.store.sqlite import SqliteStore


@dataclass
class Place:
    """A store under test."""

    store: Store
    reopened: Callable[[Store], Awaitable[Store]] | None = None

    async def written(self) -> Store:
        """The store to read from, once all that was recorded is in it."""
        await self.store.prune(before=0.0)
        if self.reopened:
            self.store = await self.reopened(self.store)
        return self.store


def memory(_: Path) -> Place:
    return Place(MemoryStore())


def sqlite(folder: Path) -> Place:
    return Place(SqliteStore(folder / "store.db"))


def sqlite_reopened(folder: Path) -> Place:
    async def reopened(store: Store) -> Store:
        await store.close()
        again = SqliteStore(folder / "store.db")
        await again.open()
        return again

    return Place(SqliteStore(folder / "store.db"), reopened)


def redis(url: str, prefix: str) -> Place:
    return Place(RedisStore(url, prefix=prefix))


def redis_reopened(url: str, prefix: str) -> Place:
    """Each time a replica that has nothing in memory."""

    async def reopened(store: Store) -> Store:
        await store.close()
        again = RedisStore(url, prefix=prefix)
        await again.open()
        return again

    return Place(RedisStore(url, prefix=prefix), reopened)


def assigned(rollout: str, session: str = "s", **changes) -> Assignment:
    base = Assignment(session, rollout, "baseline", 0.1 + 0.2, 3, 7, 1732262400.123457)
    return replace(base, **changes)


def turned(turn: str, rollout: str = "r1", session: str = "s", **changes) -> Turn:
    at = 1732262400.1 + sum(turn.encode())
    base = Turn(turn, session, rollout, at, 0.7, Outcome.DONE, 200, None, None)
    return replace(base, **changes)


def event(name: str, **changes) -> FeedbackEvent:
    return replace(FeedbackEvent(name, "app", Kind.THUMBS, 1000.0, score=1.0), **changes)


def entry(key: str, subject: str = "", **payload) -> JournalEntry:
    return JournalEntry(key, Entry.REWARD, subject, payload, 5.25)


def record(session: str, created_at: float) -> SessionRecord:
    config = {"weights": [0.1, {"deep": None}], "name": "größer"}
    return SessionRecord(session, "gepa", config, created_at, "salt", {"team": "x"}, "pl_1")


def job(job_id: str, created_at: float = 1.5, **changes) -> JobRecord:
    config = {"seeds": [1, 2], "prompt": 'größer "\ud83d"', "rate": 0.1 + 0.2}
    base = JobRecord(job_id, JobKind.POLICY, "gepa", config, created_at, {"team": "x"})
    return replace(base, **changes)


def happened(key: str, what: str = "progress", **data) -> JobEvent:
    return JobEvent(key, f"learning.policy.gepa.{what}", f"{what}!", data, 5.25)


async def attributed(store: Store, *names: str, rollout: str = "r1", session: str = "s") -> None:
    """Events sent for a rollout, and tied to it."""
    await store.add_feedback([event(name) for name in names], park_until=2000.0)
    for name in names:
        assert await store.attribute(name, session, rollout)
