"""The belief about the difference of two candidates, free of drift.

Rewards are compared within buckets of assignment time and the differences averaged, so that a
change of level that hits all candidates (a better upstream model, a bad day) cancels out.
"""

import math
from dataclasses import dataclass

from sidecar.engine.arm import Arm
from sidecar.engine.options import Options
from sidecar.engine.stats import phi

_MIN_VARIANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Difference:
    """A normal belief about mean(one) - mean(other)."""

    mean: float
    variance: float
    n: int
    """Rewards of the first candidate that took part."""
    observed: float = 0.0
    """The difference that was seen, before any prior; 0 if never compared."""

    @property
    def sd(self) -> float:
        """Standard deviation."""
        return math.sqrt(self.variance)

    @property
    def probability(self) -> float:
        """P(the first is better)."""
        return phi(self.mean / self.sd)


def difference(one: Arm, other: Arm, *, now: int, rate: float, options: Options) -> Difference:
    """The belief about `one` minus `other` at tick `now`.

    `rate` is rewards per assignment: with it the half-life, which is in rewards, becomes time.
    """
    if one is other:
        return Difference(0.0, _MIN_VARIANCE, one.n)
    weight = shift = spread = 0.0
    n = 0
    decay = rate / options.half_life
    for bucket, (mine, mine_sum) in one.buckets.items():
        theirs = other.buckets.get(bucket)
        if theirs is None or mine <= 0 or theirs[0] <= 0:
            continue
        age = max(0, now - bucket * options.bucket)
        w = mine * theirs[0] / (mine + theirs[0]) * 0.5 ** (age * decay)
        weight += w
        shift += w * (mine_sum / mine - theirs[1] / theirs[0])
        spread += w * w * (one.variance / mine + other.variance / theirs[0])
        n += int(mine)
    prior = options.prior_sd**2
    if weight <= 1e-9:  # noqa: PLR2004 - never compared
        return Difference(options.prior_mean, prior, n)
    noise = max(spread / (weight * weight), _MIN_VARIANCE)
    variance = 1 / (1 / prior + 1 / noise)
    mean = variance * (options.prior_mean / prior + shift / weight / noise)
    return Difference(mean, variance, n, shift / weight)
