"""What the users know for certain: what they were served, and which of their thumbs were taken."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from support.process import Process

OK, FAILED, LEFT, CUT = "ok", "failed", "left", "cut"
"""How a call ended: whole; with an error or cut short; the user left; the sidecar was killed."""


@dataclass(eq=False)
class Life:
    """A sidecar process from its start to its end, and the calls that were made to it."""

    replica: int
    process: Process
    calls: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[float, int]] = field(default_factory=list)
    """Seconds since the beginning, and bytes."""
    killed: bool = False


@dataclass
class Ledger:
    """Of all users together."""

    candidates: dict[str, str] = field(default_factory=dict)
    """Rollout -> candidate, as answers said."""
    thumbs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Event id -> event, of all that were given."""
    acknowledged: set[str] = field(default_factory=set)
    posts: Counter[str] = field(default_factory=Counter)
    """Requests with thumbs, by what they were answered."""
    changed: list[str] = field(default_factory=list)
    """Conversations that went from one candidate to another."""

    def served(self, rollout: str, candidate: str) -> None:
        """An answer said so."""
        if self.candidates.setdefault(rollout, candidate) != candidate:
            self.changed.append(rollout)

    def rewards(self) -> dict[str, float]:
        """Rollout -> what its acknowledged thumbs make it worth."""
        scores: dict[str, list[float]] = defaultdict(list)
        for name in self.acknowledged:
            event = self.thumbs[name]
            scores[event["correlation_id"]].append(1.0 if event["thumbs"] == "up" else 0.0)
        return {rollout: sum(of) / len(of) for rollout, of in scores.items()}
