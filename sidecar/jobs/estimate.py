"""What candidates are worth, without the winner's curse.

The best of many noisy averages is too high on average: it was chosen for its luck. So averages are
drawn together as far as their spread is noise (empirical Bayes), and what a winner is called worth
rests on rollouts that had no part in choosing it. Everything is compared on the same seeds, so that
easy and hard seeds cancel out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from sidecar.engine.stats import phi

_SPREAD = 0.1
"""Usual standard deviation of true values around their mean …"""
_SPREAD_WEIGHT = 2.0
"""… worth as much as so many candidates."""
_SPREAD_LEAST = 0.02
_NOISE_WEIGHT = 4.0
"""Observations' worth of the belief that rewards are as noisy as coin tosses."""
_EFFECT = 0.15
"""Usual size of the effect of one edit."""

Rows = Mapping[str, Mapping[int, float]]
"""Candidate → seed → reward, for all candidates on the same seeds."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a candidate is worth, and how sure that is (standard deviation)."""

    mean: float
    sd: float


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of candidates by seeds, taken apart."""

    means: dict[str, float]
    centre: float
    noise: float
    """Variance of a candidate's mean around its true distance to the others'."""
    level: float
    """Variance of the centre, as an average over seeds."""


def _take_apart(rows: Rows) -> _Table:
    means = {c: fmean(row.values()) for c, row in rows.items()}
    seeds = list(next(iter(rows.values())))
    centre = fmean(means.values())
    easy = {s: fmean(row[s] for row in rows.values()) for s in seeds}
    rest = sum(
        (row[s] - means[c] - easy[s] + centre) ** 2 for c, row in rows.items() for s in seeds
    )
    tosses = _tosses(centre, len(seeds))
    freedom = (len(rows) - 1) * (len(seeds) - 1)
    noise = (rest + _NOISE_WEIGHT * tosses) / (freedom + _NOISE_WEIGHT)
    spread = sum((x - centre) ** 2 for x in easy.values())
    level = (spread + _NOISE_WEIGHT * tosses) / (len(seeds) - 1 + _NOISE_WEIGHT)
    return _Table(means, centre, noise / len(seeds), level / len(seeds))


def _tosses(mean: float, n: int) -> float:
    """The variance of a coin that comes up as often; never quite 0."""
    p = (mean * n + 1) / (n + 2)
    return p * (1 - p)


def shrunk(rows: Rows) -> dict[str, Estimate]:
    """Every candidate's worth, drawn towards the average of all by as much as is noise."""
    table = _take_apart(rows)
    others = len(rows) - 1
    seen = sum((x - table.centre) ** 2 for x in table.means.values()) - others * table.noise
    spread = max(_SPREAD_LEAST**2, (_SPREAD_WEIGHT * _SPREAD**2 + seen) / (_SPREAD_WEIGHT + others))
    keep = spread / (spread + table.noise)
    sd = math.sqrt(keep * table.noise + table.level)
    return {
        c: Estimate(table.centre + keep * (x - table.centre), sd) for c, x in table.means.items()
    }


def _signal(table: _Table) -> float:
    """The part of the means' distances that is no noise."""
    others = len(table.means) - 1
    seen = sum((x - table.centre) ** 2 for x in table.means.values()) - others * table.noise
    spread = max(_SPREAD_LEAST**2, (_SPREAD_WEIGHT * _SPREAD**2 + seen) / (_SPREAD_WEIGHT + others))
    return spread / (spread + table.noise)


def contenders(rows: Rows, *, at_most: int, chance: float) -> list[str]:
    """Who may be the best, the most promising first: those that are better than the leader with
    probability `chance` or more."""
    if not rows:
        return []
    table, values = _take_apart(rows), shrunk(rows)
    ranked = sorted(values, key=lambda c: -values[c].mean)
    top = values[ranked[0]].mean
    sd = math.sqrt(2 * table.noise)
    kept = [c for c in ranked if phi((values[c].mean - top) / sd) >= chance]
    return kept[:at_most]


def confirmed(search: Rows, fresh: Rows) -> dict[str, Estimate]:
    """What the finalists are worth: their common level is that of the fresh rollouts alone, their
    distances are those of the fresh rollouts, weighed against what the search made of them."""
    if len(fresh) == 1:
        return {c: alone(row) for c, row in fresh.items()}
    table, before = _take_apart(fresh), shrunk(search)
    prior = {c: before[c].mean for c in fresh}
    middle = fmean(prior.values())
    searched = _take_apart(search)
    unsure = _signal(searched) * searched.noise
    weight = unsure / (unsure + table.noise)
    var = weight * table.noise + table.level
    return {
        c: Estimate(
            bounded(
                table.centre
                + weight * (table.means[c] - table.centre)
                + (1 - weight) * (prior[c] - middle)
            ),
            math.sqrt(var),
        )
        for c in fresh
    }


def alone(row: Mapping[int, float]) -> Estimate:
    """What a single candidate is worth by these rollouts alone."""
    table = _take_apart({"": row})
    return Estimate(table.centre, math.sqrt(table.level))


def pooled(one: Estimate, other: Estimate) -> Estimate:
    """Two independent estimates of the same, each by its precision."""
    first, second = one.sd**-2, other.sd**-2
    mean = (first * one.mean + second * other.mean) / (first + second)
    return Estimate(mean, (first + second) ** -0.5)


def better(before: Sequence[float], after: Sequence[float]) -> float:
    """Probability that `after` comes from a better prompt than `before`, pair by pair on the same
    seeds; an edit's effect is believed to be small until seen otherwise."""
    gains = [b - a for a, b in zip(before, after, strict=True)]
    n, mean = len(gains), fmean(gains)
    tosses = 2 * _tosses(fmean([*before, *after]), 2 * n)
    var = (sum((g - mean) ** 2 for g in gains) + _NOISE_WEIGHT * tosses) / (n - 1 + _NOISE_WEIGHT)
    prior = _EFFECT**2
    keep = prior / (prior + var / n)
    return phi(keep * mean / math.sqrt(keep * var / n))


def bounded(value: float) -> float:
    """A value as a reward: in 0..1."""
    return min(1.0, max(0.0, value))
