"""What a policy job has tried, and what came of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from sidecar.core.ids import BASELINE
from sidecar.core.prompt import Demo
from sidecar.jobs.base import Prompt, Score
from sidecar.jobs.estimate import Estimate, shrunk

_FRAMES = 50


@dataclass(slots=True)
class Candidate:
    """One prompt that was tried."""

    candidate_id: str
    prompt: Prompt
    parents: tuple[str, ...]
    kind: str
    """How it came to be: `baseline`, `mutation`, `crossover`, `instruction` and so on."""
    generation: int
    trial: float | None = None
    """Average reward of its first trial, on a few seeds."""
    search: dict[int, float] = field(default_factory=dict)
    """Reward on every seed of the full evaluation; empty until it had one."""
    fresh: dict[int, list[float]] = field(default_factory=dict)
    """Rewards on the fresh seeds where the finalists met."""
    again: dict[int, list[float]] = field(default_factory=dict)
    """Rewards on those where the leader was confirmed."""

    @property
    def search_mean(self) -> float | None:
        """The plain average of its full evaluation."""
        return fmean(self.search.values()) if self.search else None

    @property
    def fresh_mean(self) -> float | None:
        """The plain average of its fresh rollouts."""
        return fmean(self._fresh) if self._fresh else None

    @property
    def fresh_rollouts(self) -> int:
        """How many that are."""
        return len(self._fresh)

    @property
    def _fresh(self) -> list[float]:
        return [r for part in (self.fresh, self.again) for own in part.values() for r in own]

    @property
    def again_differs(self) -> bool:
        """Whether a seed that was run again brought another reward."""
        return any(set(self.again.get(s, ())) - set(own) for s, own in self.fresh.items())

    def take(self, into: str, scores: Sequence[Score]) -> bool:
        """Add fresh rollouts to `fresh` or `again`; whether a seed had a reward it never had."""
        seen: dict[int, list[float]] = getattr(self, into)
        news = False
        for score in scores:
            own = seen.setdefault(score.seed, [])
            news |= score.reward not in own
            own.append(score.reward)
        return news


def averages(rewards: Mapping[int, Sequence[float]]) -> dict[int, float]:
    """The average of every seed."""
    return {seed: fmean(own) for seed, own in rewards.items()}


@dataclass(slots=True)
class Frame:
    """The rollouts of one generation or iteration, as the published API's sensors show them."""

    number: int
    at: float
    traces: tuple[str, ...]
    best: str


class Book:
    """All candidates of a job in order of birth; the first is the baseline."""

    def __init__(self, baseline: Prompt) -> None:
        self.candidates: dict[str, Candidate] = {}
        self.frames: list[Frame] = []
        self.history: list[dict[str, float]] = []
        self.trials = 0
        """Candidates (or, for MIPRO, combinations) that were tried, whatever came of it."""
        self.idle = 0
        """Trials since the last that brought a new best."""
        self.best_id = BASELINE
        self._traces: list[str] = []
        self.add(baseline, (), "baseline", 0)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates.values())

    @property
    def baseline(self) -> Candidate:
        """What was used before."""
        return self.candidates[BASELINE]

    @property
    def best(self) -> Candidate:
        """The most promising so far."""
        return self.candidates[self.best_id]

    def add(
        self, prompt: Prompt, parents: tuple[str, ...], kind: str, generation: int
    ) -> Candidate:
        """The candidate of this prompt, a new one unless it was tried already."""
        own = f"cand_{prompt.digest}" if self.candidates else BASELINE
        if self.candidates and prompt == self.baseline.prompt:
            return self.baseline
        return self.candidates.setdefault(own, Candidate(own, prompt, parents, kind, generation))

    def of(self, text: str, demos: tuple[Demo, ...] = ()) -> Candidate | None:
        """The candidate with this prompt."""
        return next((c for c in self if c.prompt == Prompt(text, demos)), None)

    def saw(self, scores: Sequence[Score]) -> None:
        """Rollouts were run; their traces belong to the open frame."""
        self._traces += [s.correlation_id for s in scores if s.correlation_id]

    def close_frame(self, number: int, at: float) -> None:
        """End the open frame."""
        self.frames = [*self.frames, Frame(number, at, tuple(self._traces), self.best_id)][
            -_FRAMES:
        ]
        self._traces = []

    @property
    def rows(self) -> dict[str, dict[int, float]]:
        """The full evaluations."""
        return {c.candidate_id: c.search for c in self if c.search}

    def estimates(self) -> dict[str, Estimate]:
        """What the fully evaluated candidates are worth, as far as the search can tell."""
        return shrunk(self.rows) if self.rows else {}

    def crown(self) -> Estimate | None:
        """Find the best anew; its estimate if it is another one than before."""
        values = self.estimates()
        best = max(values, key=lambda c: values[c].mean, default=self.best_id)
        if best == self.best_id:
            return None
        self.best_id = best
        self.idle = 0
        return values[best]
