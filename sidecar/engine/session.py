"""A session's state: the fold over its journal, and what it would propose next.

Pure. `apply` takes one journal entry and returns what it brought about; the same entries in the
same order give the same state, so a crash loses nothing that was appended. Ticks come with the
entries; the only other clock is the entry's own time.
"""

import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sidecar.core.ids import BASELINE
from sidecar.core.session import Candidate, Entry, JournalEntry, Status
from sidecar.engine import gepa
from sidecar.engine.cluster import Clusters
from sidecar.engine.config import SessionConfig
from sidecar.engine.policy import Move, Observation, Policy

_EVENTS = 500
_RECENT = 600
_DAY = 86_400
FAILURE = 0.5
"""Rewards under this are failures to learn from."""


@dataclass(frozen=True, slots=True)
class Rewarded:
    """A rollout that reflection may be shown."""

    rollout_id: str
    candidate_id: str
    value: float
    cluster: str
    said: bool
    """Whether a user wrote something about it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A proposal that is due: rewrite the parent's text from these rollouts."""

    parent: Candidate
    examples: tuple[Rewarded, ...]


@dataclass(slots=True)
class SessionState:
    """Everything a session knows."""

    config: SessionConfig
    salt: str
    candidates: dict[str, Candidate]
    status: Status = Status.STARTED
    policy: Policy = field(default_factory=Policy)
    clusters: Clusters = field(default_factory=Clusters)
    pinned: str = ""
    version: int = 1
    """Of the allocation table; grows whenever the shares may have changed."""
    seq: int = 0
    """The last journal entry that is in this state."""
    tick: int = 0
    """The highest tick an entry has told of."""
    rewards: int = 0
    """Rollouts with a reward."""
    proposed: int = 0
    refused: int = 0
    since: int = 0
    """Rewards since the last proposal."""
    today: tuple[int, int] = (0, 0)
    """The day of the last proposal (days since 1970), and how many that day."""
    events: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_EVENTS))
    recent: deque[Rewarded] = field(default_factory=lambda: deque(maxlen=_RECENT))

    @staticmethod
    def begin(config: SessionConfig, salt: str, created_at: float) -> "SessionState":
        """A session in which nothing has happened yet."""
        baseline = Candidate(BASELINE, config.baseline, None, "baseline", created_at)
        return SessionState(config, salt, {BASELINE: baseline}, policy=Policy(config.options))

    # -- the fold -------------------------------------------------------------------------------

    def apply(self, entry: JournalEntry) -> list[dict[str, Any]]:
        """Fold one entry in; the events it brought about."""
        if entry.seq <= self.seq:
            return []
        self.seq = entry.seq
        before = self.policy.weights, self.pinned, self.status
        moves = self._fold(entry)
        if (self.policy.weights, self.pinned, self.status) != before:
            self.version += 1
        news = [
            {"seq": entry.seq, "at": entry.at, "kind": m.kind, "candidate_id": m.candidate_id,
             "detail": m.detail}
            for m in moves
        ]  # fmt: skip
        self.events.extend(news)
        return news

    def _fold(self, entry: JournalEntry) -> list[Move]:
        self.tick = max(self.tick, int(entry.payload.get("now", 0)))
        match entry.kind:
            case Entry.REWARD:
                return self._reward(entry)
            case Entry.CANDIDATE:
                return self._candidate(entry)
            case Entry.REFUSED:
                self.refused += 1
                self._spend(entry.at)
                # Nothing was put to the test, so the next try need not wait for a whole round.
                self.since = self.config.min_rollouts // 2
                return [Move("refused", "", {"why": str(entry.payload.get("why", ""))})]
            case Entry.ROLLBACK:
                return [self.policy.roll_back(self.tick, "rolled back by hand")]
            case _:
                return self._steer(entry)

    def _steer(self, entry: JournalEntry) -> list[Move]:
        match entry.kind:
            case Entry.PIN:
                self.pinned = entry.subject
            case Entry.UNPIN:
                self.pinned = ""
            case Entry.PAUSE:
                self.status = Status.PAUSED
            case Entry.RESUME:
                self.status = Status.STARTED
            case Entry.CANCEL:
                self.status = Status.CANCELLED
            case _:
                self.status = Status.COMPLETED
        return [Move(str(entry.kind), entry.subject, {})]

    def _reward(self, entry: JournalEntry) -> list[Move]:
        data = entry.payload
        candidate, value, replaces = data["candidate_id"], data["value"], data["replaces"]
        cluster = data.get("cluster") or self.clusters.assign(data.get("sketch") or [])
        self.policy.observe(
            Observation(
                candidate, entry.subject, data["tick"], data["now"], value, replaces, cluster
            )
        )
        if value is not None:
            said = bool(data.get("said"))
            self.recent.append(Rewarded(entry.subject, candidate, value, cluster, said))
        self.rewards += (value is not None) - (replaces is not None)
        self.since += replaces is None and value is not None
        if self.status is Status.STARTED and self.policy.due:
            return self.policy.refresh(self.tick)
        return []

    def _candidate(self, entry: JournalEntry) -> list[Move]:
        data = entry.payload
        self._spend(entry.at)
        self.proposed += 1
        self.candidates[entry.subject] = Candidate(
            entry.subject, data["text"], data["parent_id"], data["origin"], entry.at,
            data.get("rationale", ""),
        )  # fmt: skip
        frozen = self.status is not Status.STARTED  # it was being written when that changed
        moves = self.policy.admit(entry.subject, data["parent_id"], self.tick, frozen=frozen)
        parent = {"parent_id": data["parent_id"] or ""}
        return [Move("proposed", entry.subject, parent), *moves]

    def _spend(self, at: float) -> None:
        day = int(at // _DAY)
        self.today = (day, self.today[1] + 1 if self.today[0] == day else 1)
        self.since = 0

    # -- what it wants --------------------------------------------------------------------------

    @property
    def weights(self) -> Mapping[str, float]:
        """Who is served new conversations, by share."""
        if self.status is Status.CANCELLED:
            return {BASELINE: 1.0}
        if self.pinned:
            return {self.pinned: 1.0}
        if self.status is Status.COMPLETED:
            return {self.policy.incumbent: 1.0}
        return self.policy.weights

    def plan(self, now: int, at: float, per_day: int) -> Plan | None:
        """The proposal that is due at tick `now`, if one is."""
        limit = self.config.max_candidates
        spent = self.today[1] if self.today[0] == int(at // _DAY) else 0
        if (
            self.status is not Status.STARTED
            or self.pinned
            or spent >= per_day
            or (limit and self.proposed >= limit)
        ):
            return None
        needed = self.config.min_rollouts
        if self.since < needed:
            return None
        rng = random.Random(f"{self.salt}:{self.proposed}:{self.refused}")
        parent = gepa.parent(self.policy, now, rng)
        examples = gepa.examples([r for r in self.recent if r.candidate_id == parent])
        told = sum(r.value < FAILURE and r.said for r in examples)
        if not examples or not gepa.due(
            self.policy, rewards=self.since, told=told, needed=needed, now=now
        ):
            return None
        return Plan(self.candidates[parent], tuple(examples))
