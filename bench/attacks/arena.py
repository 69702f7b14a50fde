"""A session under attack: the engine's own fold, entry by entry, without a server.

Honest users are regulars or guests; each is content as often as the prompt that served deserves. A
brigade holds some of the conversations: it sees which prompt served each and votes accordingly.
Prompts are given, the brigade's too: its worst case for us is that an injected comment has become a
candidate already.
"""

import random
from dataclasses import dataclass, field

from sidecar.core.feedback import FeedbackEvent, Kind, merge
from sidecar.core.ids import BASELINE
from sidecar.core.rollout import Assignment
from sidecar.core.session import Entry, JournalEntry
from sidecar.engine import ledger
from sidecar.engine.config import parse
from sidecar.engine.session import SessionState
from sidecar.engine.table import Table

RATES = {BASELINE: 0.50, "bad": 0.40, "best": 0.65}
"""How often a user is content."""
SECONDS = 60.0
"""Between conversations."""
HISTORY = 1000
"""Conversations before there is anything to attack."""
REGULARS = 300
DELAY = 40
"""A reward comes at most so many conversations later."""
OFF = {"cap": 0, "min_actors": 0, "quarantine": 0, "winsorise": 0}
SALT = "5a" * 16


@dataclass(frozen=True)
class Attack:
    """What a brigade does."""

    goal: str
    """`push` the bad one up, `block` the best one, `topple` the best one once it serves."""
    share: float
    """Of all feedback of the run."""
    identities: int
    burst: bool = False
    """All of it within an eighth of the run instead of steadily."""

    @property
    def target(self) -> str:
        """The candidate it is about."""
        return "bad" if self.goal == "push" else "best"


@dataclass
class Arena:
    """One run."""

    attack: Attack | None
    seed: int
    conversations: int = 5000
    influence: dict = field(default_factory=dict)
    regular: float = 0.6
    """Part of the honest conversations that is had by regulars; guests come once."""

    def __post_init__(self) -> None:
        section = {
            "algorithm": "gepa",
            "initial_prompt": {"messages": [{"role": "system", "pattern": "Help."}]},
            "influence": self.influence,
        }
        self.rng = random.Random(f"arena:{self.seed}")
        self.state = SessionState.begin(parse({"prompt_learning": section}), SALT, 0.0)
        self.journal: list[JournalEntry] = []
        self.events: list[dict] = []
        self.due: dict[int, list[tuple[Assignment, str, float]]] = {}
        self.guests = 0
        self.votes = 0
        """Of the brigade."""
        self.lost = 0.0
        """Contentment against always serving the baseline, per conversation; a gain is negative."""
        self.from_ = None

    def run(self) -> "Arena":
        """All of it."""
        for tick in range(self.conversations):
            if tick == HISTORY:
                self._admit(tick)
            self._begin_attack(tick)
            self._converse(tick)
            for assignment, actor, score in self.due.pop(tick, ()):
                self._reward(tick, assignment, actor, score)
        return self

    def happened(self, kind: str, candidate: str) -> bool:
        """Whether something was done to a candidate."""
        return any(e["kind"] == kind and e["candidate_id"] == candidate for e in self.events)

    @property
    def succeeded(self) -> bool:
        """Whether the brigade got what it wanted: the bad prompt became the incumbent, or the best
        one was thrown out, which without a brigade is bad luck."""
        if self.attack and self.attack.goal == "push":
            return self.happened("promoted", "bad")
        return self.happened("retired", "best") or self.happened("rolled_back", "best")

    # -- what happens ---------------------------------------------------------------------------

    def _admit(self, tick: int) -> None:
        names = ["bad"] if self.attack and self.attack.goal == "push" else ["best"]
        for name in names:
            payload = {"text": name, "parent_id": BASELINE, "origin": "reflection", "now": tick}
            self._append([JournalEntry(name, Entry.CANDIDATE, name, payload, tick * SECONDS)])

    def _begin_attack(self, tick: int) -> None:
        if self.attack is None or self.from_ is not None or tick < HISTORY:
            return
        if self.attack.goal != "topple" or self.state.policy.incumbent == "best":
            self.from_ = tick

    def _converse(self, tick: int) -> None:
        table = Table.of(self.state.version, self.state.weights)
        rollout = f"r{self.seed}:{tick}"
        candidate, share = table.draw(rollout, bytes.fromhex(SALT))
        self.lost += (RATES[BASELINE] - RATES[candidate]) / self.conversations
        assignment = Assignment("s", rollout, candidate, share, table.version, tick, tick * SECONDS)
        if self.attack is not None and self._attacked(tick):
            self.votes += 1
            actor = f"sybil{self.votes % self.attack.identities}"
            up = (candidate == self.attack.target) == (self.attack.goal == "push")
            score = float(up)
        else:
            if self.rng.random() < self.regular:
                actor = f"regular{self.rng.randrange(REGULARS)}"
            else:
                self.guests += 1
                actor = f"guest{self.guests}"
            score = float(self.rng.random() < RATES[candidate])
        at = tick + 1 + self.rng.randrange(DELAY)
        self.due.setdefault(at, []).append((assignment, actor, score))

    def _attacked(self, tick: int) -> bool:
        if self.from_ is None:
            return False
        share, length = self.attack.share, self.conversations
        if self.attack.burst:
            length //= 8
            share *= 8
        return tick < self.from_ + length and self.rng.random() < min(share, 0.6)

    def _reward(self, tick: int, assignment: Assignment, actor: str, score: float) -> None:
        event = FeedbackEvent(
            assignment.rollout_id, "api", Kind.THUMBS, tick * SECONDS, score=score, actor=actor
        )
        reward = merge("s", assignment.rollout_id, [event])
        entry = ledger.reward_entry(
            self.state, self.state.influences, reward, assignment, prior=None, turns=(),
            sketch=(), now=tick, at=tick * SECONDS,
        )  # fmt: skip
        self._append([entry])

    def _append(self, entries: list[JournalEntry]) -> None:
        while entries:
            for entry in entries:
                numbered = JournalEntry(
                    entry.key, entry.kind, entry.subject, entry.payload, entry.at,
                    self.state.seq + 1,
                )  # fmt: skip
                self.journal.append(numbered)
                self.events += self.state.apply(numbered)
            entries = ledger.review(self.state, self.state.tick, entries[-1].at)
