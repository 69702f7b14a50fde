"""A session's state: the fold over its journal, and what it would propose next.

Pure. `apply` takes one journal entry and returns what it brought about; the same entries in the
same order give the same state, so a crash loses nothing that was appended. Ticks come with the
entries; the only other clock is the entry's own time.
"""

import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sidecar.core import ids
from sidecar.core.ids import BASELINE
from sidecar.core.prompt import Demo
from sidecar.core.session import Candidate, Entry, JournalEntry, Status
from sidecar.engine import gepa
from sidecar.engine.cluster import Clusters
from sidecar.engine.config import SessionConfig
from sidecar.engine.influence import Influences, Quarantine
from sidecar.engine.policy import Move, Observation, Policy
from sidecar.engine.sensors import Sensors
from sidecar.engine.watch import Watch

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
    tick: int = 0
    """When it was assigned."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A proposal that is due: rewrite the parent's text from these rollouts."""

    parent: Candidate
    examples: tuple[Rewarded, ...]
    wanted: int = 1
    """Texts to ask for."""
    tried: tuple[tuple[str, float], ...] = ()
    """What the model is told of earlier texts: each with its average reward."""


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
    proposed_at: float = 0.0
    """Of the last proposal, Unix seconds."""
    today: tuple[int, int] = (0, 0)
    """The day of the last proposal (days since 1970), and how many that day."""
    events: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_EVENTS))
    recent: deque[Rewarded] = field(default_factory=lambda: deque(maxlen=_RECENT))
    sensors: Sensors = field(default_factory=Sensors)
    influences: Influences = field(init=False)

    def __post_init__(self) -> None:
        self.influences = Influences(self.config.rules.influence, self.salt)

    @staticmethod
    def begin(config: SessionConfig, salt: str, created_at: float) -> "SessionState":
        """A session in which nothing has happened yet."""
        baseline = Candidate(BASELINE, config.baseline, None, "baseline", created_at)
        policy = Policy(config.options, manual=config.guards.promotion == "manual")
        return SessionState(config, salt, {BASELINE: baseline}, policy=policy)

    @property
    def texts(self) -> list[str]:
        """Every prompt that was tried or may be: a new one must be none of these."""
        return [c.text for c in self.candidates.values()]

    # -- the fold -------------------------------------------------------------------------------

    def apply(self, entry: JournalEntry) -> list[dict[str, Any]]:
        """Fold one entry in; the events it brought about."""
        if entry.seq <= self.seq:
            return []
        self.seq = entry.seq
        before = self.policy.weights, self.pinned, self.status
        moves = self._fold(entry)
        self._follow(moves)
        if (self.policy.weights, self.pinned, self.status) != before:
            self.version += 1
        news = [
            {"seq": entry.seq, "at": entry.at, "kind": m.kind, "candidate_id": m.candidate_id,
             "detail": m.detail}
            for m in moves
        ]  # fmt: skip
        self.events.extend(news)
        return news

    def _follow(self, moves: Sequence[Move]) -> None:
        """Let what is known of actors know who comes and goes."""
        for move in moves:
            if move.kind in {"proposed", "promoted"} and move.candidate_id:
                self.influences.born(move.candidate_id)
            elif move.kind == "retired":
                self.influences.left(move.candidate_id)

    def _see(self, entry: JournalEntry) -> None:
        """Let the entry's tick be the session's."""
        self.tick = max(self.tick, int(entry.payload.get("now", 0)))

    def _fold(self, entry: JournalEntry) -> list[Move]:
        self._see(entry)
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
            case Entry.ROLLBACK | Entry.APPROVE | Entry.RETIRE:
                return self._judge(entry)
            case Entry.QUARANTINE | Entry.RELEASE:
                return self._quarantine(entry)
            case _:
                return self._steer(entry)

    def _judge(self, entry: JournalEntry) -> list[Move]:
        match entry.kind:
            case Entry.APPROVE:
                return self.policy.approve(entry.subject, self.tick)
            case Entry.RETIRE:
                return self.policy.dismiss(entry.subject, self.tick)
            case _:
                return [self.policy.roll_back(self.tick, "rolled back by hand")]

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
                candidate, entry.subject, data["tick"], data["now"], value, replaces, cluster,
                random=bool(data.get("random", True)), again=bool(data.get("again")),
            )
        )  # fmt: skip
        self.influences.fold(entry, cluster)
        self._remember(entry, cluster)
        self.rewards += (value is not None) - (replaces is not None)
        self.since += replaces is None and value is not None
        if self.status is Status.STARTED and self.policy.due:
            self.policy.barred = self.influences.barred(self.policy.live)
            self.policy.shielded = self.influences.shielded(self.policy.challengers)
            return self.policy.refresh(self.tick)
        return []

    def _quarantine(self, entry: JournalEntry) -> list[Move]:
        """Newcomers are held back, or no longer. What the watch over the incumbent has seen of
        them is void; what had been proven keeps its word, but nobody in question is promoted."""
        data = entry.payload
        self.influences.quarantine = None
        if entry.kind is Entry.RELEASE:
            if not entry.subject:
                self.influences.pardon()
            return [Move("released", entry.subject, {"by": "time" if entry.subject else "hand"})]
        self.influences.quarantine = Quarantine(
            entry.subject, data["since"], data["until"], data["shift"]
        )
        if entry.subject == self.policy.incumbent:
            self.policy.watch = Watch()
        return [Move("quarantined", entry.subject, {"shift": data["shift"]})]

    def _remember(self, entry: JournalEntry, cluster: str) -> None:
        """What reflection may be shown: of each rollout only its last reward, if it has one."""
        data, value = entry.payload, entry.payload["value"]
        if data["replaces"] is not None:
            kept = [r for r in self.recent if r.rollout_id != entry.subject]
            self.recent = deque(kept, maxlen=_RECENT)
        if value is not None:
            said = bool(data.get("said"))
            self.recent.append(
                Rewarded(entry.subject, data["candidate_id"], value, cluster, said, data["tick"])
            )
            self.sensors.saw(entry.subject)
        if len(self.sensors.seen) >= self.policy.options.refresh_every:
            self.sensors.close(entry.seq, entry.at, self.version_of(self.policy.incumbent))

    def _candidate(self, entry: JournalEntry) -> list[Move]:
        """A text that was proposed begins its trial."""
        self._spend(entry.at)
        self.proposed += 1
        parent_id = entry.payload["parent_id"]
        self.candidates[entry.subject] = born(entry)
        frozen = self.status is not Status.STARTED  # it was being written when that changed
        moves = self.policy.admit(entry.subject, parent_id, self.tick, frozen=frozen)
        return [Move("proposed", entry.subject, {"parent_id": parent_id or ""}), *moves]

    def _spend(self, at: float) -> None:
        """A proposal was made, good or not."""
        self.proposed_at = at
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

    def version_of(self, candidate_id: str) -> int:
        """A candidate's number, from 0 for the baseline: the version of the prompt lever."""
        return list(self.candidates).index(candidate_id)

    def entrant(self, now: int, at: float) -> JournalEntry | None:  # noqa: ARG002 - a grid's
        """The entry of a candidate that is to begin its trial without a proposal, if there is one.
        Asked for after every entry until there is none."""
        return None

    def may_propose(self, at: float, per_day: int) -> bool:
        """Whether status, budgets and pace allow a proposal."""
        limit = self.config.max_candidates
        spent = self.today[1] if self.today[0] == int(at // _DAY) else 0
        return (
            self.status is Status.STARTED
            and not self.pinned
            and spent < per_day
            and not (limit and self.proposed >= limit)
            and self.since >= self.config.min_rollouts
        )

    def plan(self, now: int, at: float, per_day: int) -> Plan | None:
        """The proposal that is due at tick `now`, if one is."""
        if not self.may_propose(at, per_day):
            return None
        rng = random.Random(f"{self.salt}:{self.proposed}:{self.refused}")
        parent = gepa.parent(self.policy, now, rng)
        examples = gepa.examples([r for r in self.recent if r.candidate_id == parent])
        told = sum(r.value < FAILURE and r.said for r in examples)
        needed = self.config.min_rollouts
        if not examples or not gepa.due(
            self.policy, rewards=self.since, told=told, needed=needed, now=now
        ):
            return None
        return Plan(self.candidates[parent], tuple(examples))

    def proposed_entry(
        self, text: str, plan: Plan, now: int, at: float, entropy: bytes
    ) -> JournalEntry:
        """What to append for a proposed text that passed the screen."""
        candidate = ids.candidate_id(entropy)
        return JournalEntry(
            f"candidate:{candidate}", Entry.CANDIDATE, candidate, proposal(text, plan, now), at
        )

    def demonstrations(self, now: int) -> Sequence[Rewarded]:  # noqa: ARG002 - a grid's
        """The rollouts to look for demonstrations in, if it is time to."""
        return ()


def born(entry: JournalEntry) -> Candidate:
    """The candidate in a journal entry."""
    data = entry.payload
    cell = data.get("cell")
    return Candidate(
        entry.subject,
        data["text"],
        data["parent_id"],
        data["origin"],
        entry.at,
        data.get("rationale", ""),
        tuple(Demo(**demo) for demo in data.get("demos", ())),
        (cell[0], cell[1]) if cell else None,
    )


def proposal(text: str, plan: Plan, now: int) -> dict[str, Any]:
    """The payload of an entry that a proposal became."""
    failures = sum(e.value < FAILURE for e in plan.examples)
    return {
        "text": text,
        "parent_id": plan.parent.candidate_id,
        "origin": "reflection",
        "rationale": f"from {failures} failures and {len(plan.examples) - failures} successes",
        "now": now,
    }
