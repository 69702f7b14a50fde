"""The next cell by a discrete tree-structured Parzen estimator.

Bergstra et al. (2011), over two categorical choices: trials are split into the best `gamma` and the
rest, each side gives a smoothed histogram per choice, and of the cells drawn from the good side the
one with the largest likelihood ratio is tried. The published `tpe` keys are its dials.
"""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sidecar.engine.factored import Cell


@dataclass(frozen=True, slots=True)
class TpeOptions:
    """The estimator's dials, named as in the published config."""

    gamma: float = 0.25
    """Part of the trials that counts as good."""
    n_candidates: int = 24
    """Cells drawn from the good side."""
    n_startup_trials: int = 10
    """Trials before the estimator is asked."""
    epsilon: float = 0.1
    """Part of the suggestions that is random all the same."""
    alpha: float = 1.0
    """Pseudo-count of every choice."""


class Tried(NamedTuple):
    """One trial: a cell and the average reward it had."""

    cell: Cell
    score: float


def suggest(
    cells: Sequence[Cell], tried: Sequence[Tried], options: TpeOptions, rng: random.Random
) -> Cell:
    """One of `cells` to try next."""
    if len(tried) < options.n_startup_trials or rng.random() < options.epsilon:
        return rng.choice(cells)
    best = sorted(tried, key=lambda t: -t.score)
    cut = max(1, min(len(best) - 1, math.ceil(options.gamma * len(best))))
    good, rest = _odds(best[:cut], cells, options), _odds(best[cut:], cells, options)
    drawn = rng.choices(cells, [good[c] for c in cells], k=options.n_candidates)
    return max(drawn, key=lambda c: good[c] / rest[c])


def _odds(trials: Sequence[Tried], cells: Sequence[Cell], options: TpeOptions) -> dict[Cell, float]:
    """Smoothed frequencies of the cells, the two choices taken as independent."""
    first, second = (_histogram(trials, cells, j, options.alpha) for j in (0, 1))
    return {c: first[c[0]] * second[c[1]] for c in cells}


def _histogram(
    trials: Sequence[Tried], cells: Sequence[Cell], choice: int, alpha: float
) -> dict[int, float]:
    counts = Counter(t.cell[choice] for t in trials)
    values = {c[choice] for c in cells}
    total = sum(counts[v] for v in values) + alpha * len(values)
    return {v: (counts[v] + alpha) / total for v in values}
