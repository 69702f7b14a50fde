"""Naming a winner, and what it is worth.

The most promising candidates and the baseline meet on seeds that the search never saw; who leads
then is run on others of those seeds once more, alone, with nothing left to be chosen. So what the
winner is called worth is what it is worth, and not what it was chosen for. Seeds are run again
(`repeat`) as long as that tells more and the budget allows it.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sidecar.core.ids import BASELINE
from sidecar.jobs.book import Candidate, averages
from sidecar.jobs.estimate import Estimate, alone, bounded, confirmed, contenders, pooled
from sidecar.jobs.meter import VALIDATION, Ask, LimitReached
from sidecar.jobs.policy import PolicyConfig
from sidecar.jobs.work import Work

MEETING = 30
"""Rollouts of every finalist after which there is no other round …"""
_LEAST = 12
"""… and under which one finalist less would be better …"""
CONFIRMING = 60
"""… and further ones of the leader."""
MOST_REPEATS = 5
PART = 0.35
"""Part of the budget that is kept for this, at most."""
_CHANCE = 0.05
"""Probability of being the best under which a candidate is no finalist."""
_CHOSEN = 2**0.5
"""By how much more uncertain an estimate is that somebody was chosen by."""
_SEPARABLE = 8
"""Fresh seeds from which on the leader is confirmed on seeds of its own."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who won, and what every finalist is worth."""

    winner: Candidate
    ranked: list[Candidate]
    """The finalists, the best first."""
    values: Mapping[str, Estimate]
    fresh: bool
    """Whether they met on fresh seeds; there may have been no budget left for that."""


class _Round(NamedTuple):
    """What is run, again and again."""

    seeds: Sequence[int]
    enough: int
    first_repeat: int
    most: int | None
    """Rollouts."""


def reserve(config: PolicyConfig) -> int:
    """Rollouts that the search leaves for this."""
    if config.limits.rollouts is None:
        return 0
    wanted = (config.finalists + 1) * MEETING + CONFIRMING
    return min(int(PART * config.limits.rollouts), wanted)


class Final:
    """The end of one job."""

    def __init__(self, work: Work) -> None:
        self._config = work.config
        self._meter = work.meter
        self._book = work.book
        self._journal = work.journal
        self._rng = random.Random(f"{work.seed}:fresh")

    async def decide(self) -> Verdict:
        """Name the winner. Raises `JobCancelled`, `JobFailed`."""
        meeting, confirming = self._parts()
        finalists = self._finalists()
        left = self._meter.left
        most = None if left is None else max(left // 2, min(left, len(finalists)))
        await self._rounds(finalists, "fresh", _Round(meeting, MEETING, 0, most))
        fresh = {c.candidate_id: averages(c.fresh) for c in finalists if c.fresh}
        values = confirmed(self._book.rows, fresh) if fresh else self._book.estimates()
        known = [c for c in finalists if c.candidate_id in values]
        if not known:
            nothing = {BASELINE: Estimate(0.0, 1.0)}
            return Verdict(self._book.baseline, [self._book.baseline], nothing, fresh=False)
        leader = max(known, key=lambda c: values[c.candidate_id].mean)
        apart = set(meeting).isdisjoint(confirming)
        first = 0 if apart else MOST_REPEATS
        await self._rounds([leader], "again", _Round(confirming, CONFIRMING, first, None))
        if leader.again and (apart or leader.again_differs):
            values = _corrected(values, leader)
        ranked = sorted(known, key=lambda c: -values[c.candidate_id].mean)
        return Verdict(ranked[0], ranked, values, bool(fresh))

    def _parts(self) -> tuple[list[int], list[int]]:
        """Seeds to meet on, and seeds to confirm the leader on; the same if there are few."""
        seeds = list(self._config.fresh_seeds)
        self._rng.shuffle(seeds)
        if len(seeds) < _SEPARABLE:
            return seeds, seeds
        half = len(seeds) // 2
        return seeds[:half], seeds[half:]

    def _finalists(self) -> list[Candidate]:
        """The baseline, and those that may be the best, as many as there is budget for."""
        left, most = self._meter.left, self._config.finalists
        promising = [
            c
            for c in contenders(self._book.rows, at_most=most + 1, chance=_CHANCE)
            if c != BASELINE
        ]
        room = most if left is None else min(most, max(1, left // 2 // _LEAST - 1), left - 1)
        return [self._book.baseline, *(self._book.candidates[c] for c in promising[: max(0, room)])]

    async def _rounds(self, who: Sequence[Candidate], into: str, plan: _Round) -> None:
        """The same seeds for all of them, until that tells no more."""
        ran = 0
        for turn in range(MOST_REPEATS):
            seeds = self._affordable(plan, ran * len(who), len(who))
            if not seeds:
                return
            repeat = plan.first_repeat + turn
            try:
                rows = await self._meter.evaluate(
                    [Ask(c.prompt, seeds, VALIDATION, repeat) for c in who]
                )
            except LimitReached:
                return
            news = False
            for candidate, row in zip(who, rows, strict=True):
                self._book.saw(row)
                news |= candidate.take(into, row)
            ran += len(seeds)
            await self._journal.progress(round=turn + 1)
            if ran >= plan.enough or not news:
                return

    def _affordable(self, plan: _Round, spent: int, each: int) -> list[int]:
        """As many of the seeds, in another order each time, as the budget allows for all."""
        seeds = list(plan.seeds)
        self._rng.shuffle(seeds)
        for room in (self._meter.left, None if plan.most is None else plan.most - spent):
            if room is not None:
                seeds = seeds[: max(0, room) // each]
        return seeds


def _corrected(values: Mapping[str, Estimate], leader: Candidate) -> dict[str, Estimate]:
    """The leader's worth with what came after it was chosen. The others, who had the same easy or
    hard seeds and the same luck in getting that far, move along, so the order stays."""
    before = values[leader.candidate_id]
    chosen_by = Estimate(before.mean, before.sd * _CHOSEN)
    after = pooled(chosen_by, alone(averages(leader.again)))
    shift = after.mean - before.mean
    moved = {c: Estimate(bounded(v.mean + shift), v.sd) for c, v in values.items()}
    return moved | {leader.candidate_id: after}
