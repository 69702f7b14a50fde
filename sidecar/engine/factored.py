"""What every cell of a grid is worth, learnt from the few that were served.

A cell is (instruction, demonstration set); (0, 0) is the baseline and the origin of all effects:

    reward = level of the time + a[instruction] + b[demonstrations] + c[instruction, demonstrations]

with normal priors around 0 and normal noise. The level is a coefficient of each stratum of time, so
that drift which hits all cells cancels out, as in `posterior`. The interactions `c` are eliminated
exactly, cell by cell, which leaves a system of strata + instructions + demonstration sets.
"""

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Cell = tuple[int, int]
Counts = Mapping[Cell, Mapping[int, tuple[float, float]]]
"""Cell → stratum of time → (rewards, their sum); both may be discounted by age."""

ORIGIN: Cell = (0, 0)
TEMPERATURE = 0.5
"""Of posterior draws: half the spread explores less and gains more (engine.md 4.6)."""
DRAWS = 64
_LEVEL_SD = 1.0
_MAIN_SD = 0.09
_CELL_SD = 0.04
_PRECISION = 4.0
"""Of one reward: a noise of half a point."""
_MIDDLE = 0.5

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
class Effects:
    """The posterior. `factor` is the lower Cholesky factor of its precision."""

    cells: Mapping[Cell, Effect]
    mean: list[float]
    factor: Matrix

    def difference(self, one: Cell, other: Cell) -> tuple[float, float]:
        """Mean and variance of the worth of cell `one` minus that of cell `other`."""
        if one == other:
            return 0.0, 0.0
        mine, theirs = self.cells[one], self.cells[other]
        contrast = dict(mine.weights)
        for k, w in theirs.weights.items():
            contrast[k] = contrast.get(k, 0.0) - w
        spread = forward(self.factor, contrast)
        mean = _dot(contrast, self.mean) + mine.offset - theirs.offset
        return mean, sum(x * x for x in spread) + mine.variance + theirs.variance

    def votes(self, rng: random.Random, *, draws: int = DRAWS) -> Counter[Cell]:
        """How often each cell is the best in tempered draws from the posterior (Thompson)."""
        out: Counter[Cell] = Counter()
        for _ in range(draws):
            noise = [rng.gauss(0, TEMPERATURE) for _ in self.mean]
            shift = backward(self.factor, noise)
            point = [m + s for m, s in zip(self.mean, shift, strict=True)]
            out[max(self.cells, key=self._worths(point, rng).__getitem__)] += 1
        return out

    def _worths(self, point: list[float], rng: random.Random) -> dict[Cell, float]:
        return {
            cell: _dot(e.weights, point)
            + e.offset
            + rng.gauss(0, TEMPERATURE) * math.sqrt(e.variance)
            for cell, e in self.cells.items()
        }


def fit(cells: Iterable[Cell], counts: Counts) -> Effects:
    """The posterior of all `cells` given what was seen of some."""
    every = sorted({ORIGIN, *cells, *counts})
    strata = sorted({s for seen in counts.values() for s in seen})
    index = _layout(every, strata)
    precision = [[0.0] * len(index) for _ in index]
    right = [0.0] * len(index)
    for key, k in index.items():
        precision[k][k] = (_LEVEL_SD if key[0] == "t" else _MAIN_SD) ** -2
    effects = {}
    for cell in every:
        seen = counts.get(cell, {})
        effects[cell] = _count(cell, seen, index, precision, right)
    factor = cholesky(precision)
    start = dict(enumerate(right))
    return Effects(effects, backward(factor, forward(factor, start)), factor)


def _layout(cells: list[Cell], strata: list[int]) -> dict[tuple[str, int], int]:
    keys = [("t", s) for s in strata]
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
    mains = [index[key] for key in (("a", cell[0]), ("b", cell[1])) if key[1]]
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
            done = sum(map(float.__mul__, line, other))
            line.append((row[j] - done) / other[j])
        line.append(math.sqrt(row[i] - sum(x * x for x in line)))
        out.append(line)
    return out


def forward(factor: Matrix, right: Vector) -> list[float]:
    """Solve L x = right for a lower triangular L."""
    out: list[float] = []
    for k, row in enumerate(factor):
        out.append((right.get(k, 0.0) - sum(map(float.__mul__, row, out))) / row[k])
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


def _dot(weights: Vector, point: list[float]) -> float:
    return sum(w * point[k] for k, w in weights.items())
