"""Every rollout of a policy job goes through here: it is counted, and no limit is passed.

What is counted does not depend on what is remembered from an earlier run: the same program asks the
same questions and stops at the same place. Only time is different, so where it ran out is an event.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sidecar.jobs.base import Control, Evaluator, JobLog, Prompt, Score
from sidecar.jobs.policy import Limits
from sidecar.jobs.together import all_of

TRAIN, VALIDATION = "train", "validation"
_TIME = "limit:seconds"


class LimitReached(Exception):
    """The phase has spent what it may; the text names the limit."""


class Ask(NamedTuple):
    """A prompt on seeds."""

    prompt: Prompt
    seeds: Sequence[int]
    split: str = TRAIN
    repeat: int = 0


class Meter:
    """An evaluator within limits."""

    def __init__(
        self,
        evaluator: Evaluator,
        limits: Limits,
        log: JobLog,
        control: Control,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` counts seconds from anywhere."""
        self._evaluator = evaluator
        self._limits = limits
        self._log = log
        self._control = control
        self._clock = clock
        self._seen: set[tuple[str, str, int, int]] = set()
        self._since = clock()
        self._before = 0.0
        self.held_back = 0
        """Rollouts that the phase leaves to the next one."""
        self.share = 1.0
        """Part of the other limits that the phase may spend."""
        self.rollouts = 0
        self.failed = 0
        self.cost = 0.0
        self.tokens = 0
        self._dearest = 0.0

    @property
    def left(self) -> int | None:
        """Rollouts that the phase may still run; None without a limit."""
        if self._limits.rollouts is None:
            return None
        return max(0, self._limits.rollouts - self.held_back - self.rollouts)

    @property
    def seconds(self) -> float:
        """How long the job has run, earlier runs included."""
        return self._before + self._clock() - self._since

    def new(self, asks: Sequence[Ask]) -> int:
        """How many rollouts these would cost."""
        return len({key for ask in asks for key in _keys(ask)} - self._seen)

    async def evaluate(self, asks: Sequence[Ask]) -> list[list[Score]]:
        """Scores for each, in order of its seeds; all or none of them are run. Raises
        `LimitReached`, and what an evaluator raises."""
        await self._control.gate()
        new = self.new(asks)
        if new:
            await self._allow(new)
        fresh = {key for ask in asks for key in _keys(ask)} - self._seen
        self._seen |= fresh
        self.rollouts += new
        out = await self._run(asks)
        self._count(asks, out, fresh)
        if new:
            await self._note_time()
        return out

    async def _run(self, asks: Sequence[Ask]) -> list[list[Score]]:
        """Questions on the same split and repeat may run side by side; the same seed of the same
        prompt is asked once."""
        unique: dict[tuple[Prompt, str, int], dict[int, None]] = {}
        for ask in asks:
            wanted = unique.setdefault((ask.prompt, ask.split, ask.repeat), {})
            wanted.update(dict.fromkeys(ask.seeds))
        scores = await all_of(
            self._evaluator.evaluate(prompt, list(seeds), split=split, repeat=repeat)
            for (prompt, split, repeat), seeds in unique.items()
        )
        found = {
            (key, score.seed): score
            for key, row in zip(unique, scores, strict=True)
            for score in row
        }
        return [[found[(a.prompt, a.split, a.repeat), s] for s in a.seeds] for a in asks]

    def _count(
        self,
        asks: Sequence[Ask],
        out: Sequence[Sequence[Score]],
        fresh: set[tuple[str, str, int, int]],
    ) -> None:
        for ask, row in zip(asks, out, strict=True):
            for key, score in zip(_keys(ask), row, strict=True):
                if key in fresh:
                    fresh.remove(key)
                    self.cost += score.cost_usd
                    self.tokens += score.tokens
                    self.failed += bool(score.error)
                    self._dearest = max(self._dearest, score.cost_usd)

    async def _allow(self, new: int) -> None:
        if self.left is not None and new > self.left:
            raise LimitReached("rollouts")
        spent = self.rollouts or 1
        each = self._dearest if self._limits.pessimistic else self.cost / spent
        if _over(self.cost, each * new, self._limits.cost_usd, self.share):
            raise LimitReached("cost")
        if _over(self.tokens, self.tokens / spent * new, self._limits.tokens, self.share):
            raise LimitReached("tokens")
        if self._limits.seconds is not None:
            await self._allow_time(self._limits.seconds * self.share)

    async def _allow_time(self, limit: float) -> None:
        key = f"{_TIME}:{self.share:g}"
        known = self._log.known(key)
        if known is None and self.seconds >= limit:
            known = await self._log.add(
                "limit.reached",
                f"{limit:g} seconds are over",
                {"limit": "seconds", "rollouts": self.rollouts},
                key=key,
            )
        if known is not None and self.rollouts >= known.data["rollouts"]:
            raise LimitReached("seconds")

    async def _note_time(self) -> None:
        """Remember how long the job has run; found again, earlier runs count and this one's replay
        does not."""
        if self._limits.seconds is None:
            return
        key = f"clock:{self.rollouts}"
        known = self._log.known(key)
        if known is not None:
            self._before, self._since = known.data["seconds"], self._clock()
        else:
            await self._log.add("clock", "", {"seconds": round(self.seconds, 3)}, key=key)


def _keys(ask: Ask) -> list[tuple[str, str, int, int]]:
    digest = ask.prompt.digest
    return [(digest, ask.split, seed, ask.repeat) for seed in ask.seeds]


def _over(spent: float, more: float, limit: float | None, share: float) -> bool:
    """Whether spending `more` would pass the limit; with nothing known of what things cost, only
    once it is spent."""
    return limit is not None and (spent >= limit * share or spent + more > limit * share)
