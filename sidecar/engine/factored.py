"""What every cell of a grid is worth, learnt from the few that were served.

A cell is (instruction, demonstration set); (0, 0) is the baseline and the origin of all effects:

    reward = level of the time + u [not the baseline] + a[instruction] + b[demonstrations]
             + c[instruction, demonstrations]

with normal priors around 0 and normal noise. The level is a coefficient of each stratum of time, so
that drift which hits all cells cancels out, as in `posterior`. What all changes have in common is
`u`: without it a grid on which everything is worse than the baseline would seem improbable, and be
believed late. The interactions `c` are eliminated exactly, cell by cell, which leaves a system of
strata + 1 + instructions + demonstration sets.
"""

import math
import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from operator import mul

Cell = tuple[int, int]
Counts = Mapping[Cell, Mapping[int, tuple[float, float]]]
"""Cell → stratum of time → (rewards, their sum); both may be discounted by age."""

ORIGIN: Cell = (0, 0)
TEMPERATURE = 0.5
"""Of posterior draws: half the spread explores less and gains more (engine.md 4.6)."""
PAIRS = 32
"""Draws from the posterior, each with its mirror image."""
_SD = {"t": 1.0, "u": 0.10, "a": 0.09, "b": 0.09}
"""Of the priors: levels of the strata, what all changes share, instructions, demonstration sets."""
_CELL_SD = 0.04
_PRECISION = 4.0
"""Of one reward: a noise of half a point."""
_MIDDLE = 0.5
_OUT_OF_REACH = 3.0
"""Tempered standard deviations behind the best after which a cell gets no votes."""

Vector = dict[int, float]
Matrix = list[list[float]]


@dataclass(frozen=True, slots=True)
class Effect:
    """A cell's worth as a linear form: `weights` of the shared coefficients, plus an own part."""

    weights: Vector
    offset: float
    variance: float
    """Of the own part."""


@dataclass(frozen=True, slots=True)
class Worth:
    """The belief about a cell: its worth is mean + spread . z + sd * own, where the standard normal
    vector z is shared by all cells and `own` is not."""

    mean: float
    spread: list[float]
    sd: float


@dataclass(frozen=True, slots=True)
class Effects:
    """The posterior. `factor` is the lower Cholesky factor of its precision."""

    cells: Mapping[Cell, Effect]
    mean: list[float]
    factor: Matrix
    _worths: dict[Cell, Worth] = field(default_factory=dict, repr=False, compare=False)
    """What has been asked for so far."""

    def worth(self, cell: Cell) -> Worth:
        """The belief about one cell."""
        found = self._worths.get(cell)
        if found is None:
            effect = self.cells[cell]
            mean = sum(w * self.mean[k] for k, w in effect.weights.items()) + effect.offset
            spread = forward(self.factor, effect.weights)
            found = self._worths[cell] = Worth(mean, spread, math.sqrt(effect.variance))
        return found

    def difference(self, one: Cell, other: Cell) -> tuple[float, float]:
        """Mean and variance of the worth of cell `one` minus that of cell `other`."""
        if one == other:
            return 0.0, 0.0
        mine, theirs = self.worth(one), self.worth(other)
        shared = math.dist(mine.spread, theirs.spread) ** 2
        return mine.mean - theirs.mean, shared + mine.sd**2 + theirs.sd**2

    def gain(self, weights: Mapping[Cell, float]) -> tuple[float, float]:
        """Mean and variance of a weighted sum of cells, each minus the origin."""
        origin = self.worth(ORIGIN)
        total = sum(weights.values())
        mean, own = -total * origin.mean, 0.0
        shared = [-total * x for x in origin.spread]
        for cell, w in weights.items():
            worth = self.worth(cell)
            mean += w * worth.mean
            own += (w * worth.sd) ** 2
            shared = [s + w * x for s, x in zip(shared, worth.spread, strict=True)]
        return mean, own + sum(x * x for x in shared)

    def votes(self, rng: random.Random, among: Collection[Cell]) -> dict[Cell, float]:
        """How often each cell is the best among some in tempered draws from the posterior:
        Thompson's shares. They sum to 1; cells without a vote are left out."""
        hopeful = self._hopeful(among)
        won: Counter[Cell] = Counter()
        for _ in range(PAIRS):
            z = [rng.gauss(0, TEMPERATURE) for _ in self.mean]
            up = down = -math.inf
            highest = lowest = ORIGIN
            for cell, worth in hopeful:
                shift = sum(map(mul, worth.spread, z)) + rng.gauss(0, TEMPERATURE) * worth.sd
                if worth.mean + shift > up:
                    up, highest = worth.mean + shift, cell
                if worth.mean - shift > down:
                    down, lowest = worth.mean - shift, cell
            won[highest] += 1
            won[lowest] += 1
        return {cell: n / (2 * PAIRS) for cell, n in won.items()}

    def _hopeful(self, among: Collection[Cell]) -> list[tuple[Cell, Worth]]:
        """The cells that may win a vote."""
        best = max(among, key=lambda cell: self.worth(cell).mean)
        behind = {cell: self.difference(cell, best) for cell in among}
        return [
            (cell, self.worth(cell))
            for cell, (mean, variance) in behind.items()
            if mean + _OUT_OF_REACH * TEMPERATURE * math.sqrt(variance) >= 0
        ]


def fit(cells: Iterable[Cell], counts: Counts) -> Effects:
    """The posterior of all `cells` given what was seen of some."""
    every = sorted({ORIGIN, *cells, *counts})
    strata = sorted({s for seen in counts.values() for s in seen})
    index = _layout(every, strata)
    precision = [[0.0] * len(index) for _ in index]
    right = [0.0] * len(index)
    for (kind, _), k in index.items():
        precision[k][k] = _SD[kind] ** -2
    effects = {cell: _count(cell, counts.get(cell, {}), index, precision, right) for cell in every}
    factor = cholesky(precision)
    mean = backward(factor, forward(factor, dict(enumerate(right))))
    return Effects(effects, mean, factor)


def _layout(cells: list[Cell], strata: list[int]) -> dict[tuple[str, int], int]:
    """The coefficients' places; strata first, because most cells have none (see `forward`)."""
    keys = [("t", s) for s in strata]
    keys += [("u", 1)]
    keys += [("a", i) for i in sorted({i for i, _ in cells if i})]
    keys += [("b", d) for d in sorted({d for _, d in cells if d})]
    return {key: k for k, key in enumerate(keys)}


def _count(
    cell: Cell,
    seen: Mapping[int, tuple[float, float]],
    index: Mapping[tuple[str, int], int],
    precision: Matrix,
    right: list[float],
) -> Effect:
    """Add a cell's rewards to the normal equations and eliminate its interaction."""
    mains = [
        index[key] for key in (("u", cell != ORIGIN), ("a", cell[0]), ("b", cell[1])) if key[1]
    ]
    n = sum(c for c, _ in seen.values())
    total = sum(t - _MIDDLE * c for c, t in seen.values())
    touched: Vector = dict.fromkeys(mains, n)
    for stratum, (c, t) in seen.items():
        k = index["t", stratum]
        touched[k] = c
        precision[k][k] += _PRECISION * c
        right[k] += _PRECISION * (t - _MIDDLE * c)
        for m in mains:
            precision[k][m] += _PRECISION * c
            precision[m][k] += _PRECISION * c
    for m in mains:
        right[m] += _PRECISION * total
        for other in mains:
            precision[m][other] += _PRECISION * n
    if cell == ORIGIN:
        return Effect({}, 0.0, 0.0)
    own = 1 / (_CELL_SD**-2 + _PRECISION * n)
    pull = _PRECISION * own
    for k, x in touched.items():
        right[k] -= pull * _PRECISION * x * total
        for j, y in touched.items():
            precision[k][j] -= pull * _PRECISION * x * y
    weights = {k: -pull * x for k, x in touched.items()} if n else {}
    for m in mains:
        weights[m] = weights.get(m, 0.0) + 1.0
    return Effect(weights, pull * total, own)


def cholesky(matrix: Matrix) -> Matrix:
    """The lower factor of a symmetric positive definite matrix."""
    out: Matrix = []
    for i, row in enumerate(matrix):
        line: list[float] = []
        for j in range(i):
            other = out[j]
            done = sum(map(mul, line, other))
            line.append((row[j] - done) / other[j])
        line.append(math.sqrt(row[i] - sum(x * x for x in line)))
        out.append(line)
    return out


def forward(factor: Matrix, right: Vector) -> list[float]:
    """Solve L x = right for a lower triangular L; `right` may leave out zeros."""
    first = min(right, default=len(factor))
    out = [0.0] * first
    for k in range(first, len(factor)):
        row = factor[k]
        out.append((right.get(k, 0.0) - sum(map(mul, row, out))) / row[k])
    return out


def backward(factor: Matrix, right: list[float]) -> list[float]:
    """Solve L' x = right for a lower triangular L."""
    out = list(right)
    for k in range(len(out) - 1, -1, -1):
        row = factor[k]
        out[k] /= row[k]
        for j in range(k):
            out[j] -= row[j] * out[k]
    return out
