"""The statistics kit: anytime-valid tests by betting, and normal integrals without numpy.

Sources: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting" (JRSS B
2024) for the e-process; Shin, Ramdas & Rinaldo, "E-detectors" (2023) for the detector.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

BETS = (0.03, 0.05, 0.08, 0.12, 0.17, 0.24, 0.33, 0.45, 0.60, 0.80)
"""Constant bets that the gambler mixes over: from slow and safe to fast."""

_LOG_CAP = 60.0


class EProcess:
    """Wealth of a gambler who bets against "the mean of X is at most `margin`", X in [-1, 1].

    Under that hypothesis P(sup wealth >= 1/a) <= a (Ville), however often one looks. `peak` is the
    largest wealth so far, so evidence once strong enough stays so.
    """

    __slots__ = ("log_wealth", "margin", "peak")

    def __init__(self, margin: float = 0.0) -> None:
        self.margin = margin
        self.log_wealth = [0.0] * len(BETS)
        self.peak = 1.0

    def update(self, x: float) -> None:
        """Bet on one more observation."""
        gain = (x - self.margin) / (1.0 + abs(self.margin))
        wealth = self.log_wealth
        for j, bet in enumerate(BETS):
            wealth[j] += math.log1p(bet * gain)
        self.peak = max(self.peak, self.value())

    def value(self) -> float:
        """The wealth now; capped at e**60, where more no longer matters."""
        if max(self.log_wealth) > _LOG_CAP:
            return math.exp(_LOG_CAP)
        return sum(math.exp(w) for w in self.log_wealth) / len(BETS)


class EDetector:
    """CUSUM over e-processes for the same hypothesis: forgets evidence from before a change.

    `update` returns the detector's value; alarming at 1/a keeps the mean time to a false alarm at
    1/a observations or more.
    """

    __slots__ = ("value", "wealth")

    def __init__(self) -> None:
        self.wealth = [1.0] * len(BETS)
        self.value = 1.0

    def update(self, x: float) -> float:
        """Bet on one more observation, each bet starting anew where it had lost."""
        self.wealth = [
            max(w, 1.0) * (1.0 + bet * x) for w, bet in zip(self.wealth, BETS, strict=True)
        ]
        self.value = min(sum(self.wealth) / len(BETS), math.exp(_LOG_CAP))
        return self.value


def phi(z: float) -> float:
    """P(standard normal <= z)."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def expected_shortfall(mean: float, sd: float) -> float:
    """E[max(0, -X)] of a normal X: what is lost on average where X is below zero."""
    z = mean / sd
    return sd * math.exp(-z * z / 2) / math.sqrt(2 * math.pi) - mean * phi(-z)


def expected_gain(mean: float, sd: float) -> float:
    """E[max(0, X)] of a normal X: the expected improvement of Bayesian optimisation."""
    return expected_shortfall(-mean, sd)


_POINTS = 33
_QUANTILES = tuple(NormalDist().inv_cdf((k + 0.5) / _POINTS) for k in range(_POINTS))


def probability_best(posteriors: Sequence[tuple[float, float]]) -> list[float]:
    """P(i is the largest) of independent normals given as (mean, sd), by midpoint quadrature over
    each one's own quantiles: exact to about one part in a thousand, and the same every time."""
    best = []
    for i, (mean, sd) in enumerate(posteriors):
        others = [(m, s) for j, (m, s) in enumerate(posteriors) if j != i]
        total = 0.0
        for z in _QUANTILES:
            x = mean + sd * z
            product = 1.0
            for m, s in others:
                product *= phi((x - m) / s)
                if product < 1e-9:  # noqa: PLR2004 - nothing left to multiply
                    break
            total += product
        best.append(total / _POINTS)
    scale = sum(best) or 1.0
    return [p / scale for p in best]
