"""What the demo measures: the truth of what was served, and what the session said it did.

Truth is taken where it cannot be embellished: the system prompt that the provider was sent for a
conversation, valued by the world. The session's own numbers are only counted.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from sidecar.simulation.provider import SimulatedProvider
from sidecar.simulation.users import Visit
from sidecar.simulation.world import BASELINE

Json = Mapping[str, Any]
_WINDOW = 300
"""Conversations in "now"."""


@dataclass(frozen=True, slots=True)
class Happening:
    """An event of the session, as a person would tell it."""

    kind: str
    candidate_id: str
    detail: Json
    truth: float | None
    change: str = ""
    """For a new candidate, the lines that it adds to its parent, or else drops."""


@dataclass
class Scoreboard:
    """Fed with finished conversations and with status answers."""

    provider: SimulatedProvider
    served: dict[int, float] = field(default_factory=dict)
    """By conversation number, the success rate of the prompt that served it."""
    happenings: list[Happening] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    """Candidates' prompts by id."""
    status: Json = field(default_factory=dict)
    _seen: int = -1

    @property
    def baseline(self) -> float:
        """Success rate of what the shop runs today."""
        return self.provider.world.success_rate(BASELINE)

    def visited(self, visit: Visit) -> None:
        """Count a conversation."""
        prompt = self.provider.prompt_of(visit.completion_id)
        if prompt is not None:
            self.served[visit.number] = self.provider.world.success_rate(prompt)

    def now(self) -> float:
        """Success rate of what was served lately."""
        recent = list(self.served.values())[-_WINDOW:]
        return fmean(recent) if recent else self.baseline

    def told(self, status: Json) -> list[Happening]:
        """Take in a status answer; what it tells that earlier ones did not."""
        self.status = status
        for candidate in _maps(status.get("candidates")):
            if isinstance(text := candidate.get("text"), str):
                self.texts[str(candidate.get("candidate_id"))] = text
        fresh = [self._happening(event) for event in self._unseen(status)]
        self.happenings += fresh
        return fresh

    def result(self, seed: int, feedback: int) -> dict[str, Any]:
        """The demo's last line."""
        ordered = [rate for _, rate in sorted(self.served.items())]
        last_fifth = ordered[-max(1, len(ordered) // 5) :]
        promoted = self._of_kind("promoted")
        return {
            "seed": seed,
            "baseline": round(self.baseline, 4),
            "served_last_fifth": round(fmean(last_fifth), 4) if last_fifth else None,
            "proposed": len(self._of_kind("proposed")),
            "promoted": len(promoted),
            "promoted_below_baseline": sum(
                (one.truth or math.inf) < self.baseline for one in promoted
            ),
            "rolled_back": len(self._of_kind("rolled_back")),
            "rollouts": int(self.status.get("rollout_count", len(self.served))),
            "feedback": feedback,
            "rewards": int(self.status.get("reward_count", 0)),
        }

    def best(self) -> tuple[str, str]:
        """Id and text of what the session holds for best, else of the baseline."""
        identity = str(self.status.get("best_candidate_id") or "baseline")
        return identity, self.texts.get(identity, BASELINE)

    def truth_of(self, candidate_id: str) -> float | None:
        """Success rate of a candidate, if its text is known."""
        text = self.texts.get(candidate_id)
        return None if text is None else self.provider.world.success_rate(text)

    def _of_kind(self, kind: str) -> list[Happening]:
        return [one for one in self.happenings if one.kind == kind]

    def _unseen(self, status: Json) -> Iterator[Json]:
        safety = status.get("safety")
        events = _maps(safety.get("events")) if isinstance(safety, Mapping) else []
        newest = self._seen
        for event in events:
            if int(event.get("seq", 0)) > self._seen:
                newest = max(newest, int(event.get("seq", 0)))
                yield event
        self._seen = newest

    def _happening(self, event: Json) -> Happening:
        identity = str(event.get("candidate_id") or "")
        detail = event.get("detail")
        if not isinstance(detail, Mapping):
            detail = {"": detail} if detail else {}
        kind = str(event.get("kind", ""))
        parent = self.texts.get(str(detail.get("parent_id") or "baseline"), BASELINE)
        change = _change(parent, self.texts.get(identity, "")) if kind == "proposed" else ""
        return Happening(kind, identity, detail, self.truth_of(identity), change)


def _change(parent: str, child: str) -> str:
    before, after = parent.splitlines(), child.splitlines()
    added = [f"+ {line.removeprefix('- ')}" for line in after if line not in before]
    dropped = [f"- {line.removeprefix('- ')}" for line in before if line not in after]
    return "; ".join([*added, *dropped]) if child else ""


def _maps(items: Any) -> list[Json]:
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []
