"""Any order of sending, attributing, reporting, failing and reopening keeps the books (P12, P13).

A state machine plays both sides: a handful of event ids and rollouts, so that everything happens
to everything more than once, against a model of three small dictionaries.
"""

import asyncio
import shutil
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.redis_server import wipe

from sidecar.core.feedback import FeedbackEvent, Kind
from sidecar.store.base import DueReward, Store
from sidecar.store.memory import MemoryStore
from sidecar.store.redis.store import RedisStore
from sidecar.store.sqlite import SqliteStore

NAMES = st.sampled_from([f"e{number}" for number in range(8)])
ROLLOUTS = st.sampled_from([("s1", "a"), ("s1", "b"), ("s2", "a")])
TIMES = st.sampled_from([100.0, 200.0, 300.0])


@dataclass
class Owed:
    """What the model knows of a rollout."""

    revision: int = 0
    reported: int = 0
    attempts: int = 0
    until: float = 0.0
    dead: bool = False


class MemoryOutbox(RuleBasedStateMachine):
    """The rules, played against the store in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.parked: dict[str, float] = {}
        self.seen: set[str] = set()
        self.owner: dict[str, tuple[str, str]] = {}
        self.owed: dict[tuple[str, str], Owed] = {}
        self.store: Store = self.make()
        self.runner.run(self.store.open())

    def make(self) -> Store:
        return MemoryStore()

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()

    @initialize(names=st.lists(NAMES, unique=True))
    def some_events_came_before(self, names):
        self.send(names, 200.0)

    @rule(names=st.lists(NAMES, max_size=5), park_until=TIMES)
    def send(self, names, park_until):
        events = [FeedbackEvent(name, "app", Kind.THUMBS, 50.0, score=1.0) for name in names]
        known = self.runner.run(self.store.add_feedback(events, park_until))
        for name, duplicate in zip(names, known, strict=True):
            assert (duplicate is not None) == (name in self.seen)
            if name not in self.seen:
                self.seen.add(name)
                self.parked[name] = park_until

    @rule(name=NAMES, rollouts=st.lists(ROLLOUTS, min_size=1, max_size=3))
    def attribute_by_several_at_once(self, name, rollouts):
        async def race() -> list[bool]:
            return await asyncio.gather(*(self.store.attribute(name, *r) for r in rollouts))

        tied = self.runner.run(race())
        assert sum(tied) == (name in self.parked)
        if self.parked.pop(name, None) is not None:
            self.owner[name] = rollouts[tied.index(True)]
            owed = self.owed.setdefault(self.owner[name], Owed())
            owed.revision += 1
            owed.attempts, owed.until, owed.dead = 0, 0.0, False

    @rule(now=TIMES)
    def expire(self, now):
        gone = [name for name, until in self.parked.items() if until <= now]
        assert self.runner.run(self.store.expire_feedback(now)) == len(gone)
        for name in gone:
            del self.parked[name]

    @rule(rollout=ROLLOUTS, behind=st.sampled_from([0, 0, 1, 2]))
    def report(self, rollout, behind):
        owed = self.owed.get(rollout, Owed())
        revision = max(owed.revision - behind, 0)
        self.runner.run(self.store.mark_reported(*rollout, revision))
        owed.reported = max(owed.reported, revision)
        owed.attempts, owed.dead = 0, False
        if behind == 0:
            assert rollout not in self.due(9e9)

    @rule(rollout=ROLLOUTS, until=TIMES, dead=st.booleans())
    def fail(self, rollout, until, dead):
        self.runner.run(self.store.put_off(*rollout, until, "refused", dead=dead))
        owed = self.owed.get(rollout, Owed())
        if owed.revision > owed.reported:
            owed.attempts += 1
            owed.until, owed.dead = until, dead

    @rule(rollout=ROLLOUTS)
    def replay(self, rollout):
        owed = self.owed.get(rollout, Owed())
        assert self.runner.run(self.store.replay(*rollout)) == owed.dead
        if owed.dead:
            owed.attempts, owed.until, owed.dead = 0, 0.0, False

    @invariant()
    def an_event_is_where_it_was_put_and_nowhere_else(self):
        for rollout in {*self.owed, ("s1", "a")}:
            events = self.runner.run(self.store.events_of(*rollout))
            mine = sorted(name for name, owner in self.owner.items() if owner == rollout)
            assert sorted(event.event_id for event in events) == mine
        waiting = self.runner.run(self.store.waiting_feedback(99))
        assert [event.event_id for event in waiting] == sorted(self.parked)

    @invariant()
    def a_revision_is_the_number_of_events(self):
        tied = list(self.owner.values())
        assert all(owed.revision == tied.count(rollout) for rollout, owed in self.owed.items())
        counts = self.runner.run(self.store.counts())
        assert counts.feedback == len(tied)
        assert counts.rewards == sum(owed.reported > 0 for owed in self.owed.values())
        assert counts.waiting == len(self.parked)

    @invariant()
    def what_is_owed_is_due_and_nothing_else(self):
        for now in (0.0, 150.0, 9e9):
            assert self.due(now) == {
                rollout: DueReward(*rollout, owed.revision, owed.reported, owed.attempts)
                for rollout, owed in self.owed.items()
                if owed.revision > owed.reported and not owed.dead and owed.until <= now
            }
        dead = self.runner.run(self.store.dead_letters(99))
        assert {(letter.session_id, letter.rollout_id): letter.revision for letter in dead} == {
            rollout: owed.revision for rollout, owed in self.owed.items() if owed.dead
        }

    def due(self, now: float) -> dict[tuple[str, str], DueReward]:
        rewards = self.runner.run(self.store.due_rewards(now, 99))
        return {(due.session_id, due.rollout_id): due for due in rewards}


class SqliteOutbox(MemoryOutbox):
    """The same rules on a file, which may be closed and reopened at any time."""

    def make(self) -> Store:
        self.folder = Path(tempfile.mkdtemp())
        return SqliteStore(self.folder / "store.db")

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)

    @rule()
    def reopen(self):
        self.runner.run(self.store.close())
        self.store = SqliteStore(self.folder / "store.db")
        self.runner.run(self.store.open())


class RedisOutbox(MemoryOutbox):
    """The same rules on a server that two replicas share; either may go on at any time."""

    url = ""

    def make(self) -> Store:
        self.prefix = f"test-{uuid.uuid4().hex}"
        self.other = RedisStore(self.url, prefix=self.prefix)
        self.runner.run(self.other.open())
        return RedisStore(self.url, prefix=self.prefix)

    def teardown(self) -> None:
        self.runner.run(self.other.close())
        super().teardown()
        wipe(self.url, self.prefix)

    @rule()
    def the_other_goes_on(self):
        self.store, self.other = self.other, self.store


@pytest.fixture(autouse=True, scope="module")
def server(redis_url):
    RedisOutbox.url = redis_url


TestMemoryOutbox = MemoryOutbox.TestCase
TestMemoryOutbox.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestSqliteOutbox = SqliteOutbox.TestCase
TestSqliteOutbox.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestRedisOutbox = RedisOutbox.TestCase
TestRedisOutbox.settings = TestSqliteOutbox.settings
