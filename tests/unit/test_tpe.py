"""The discrete TPE: random at first, then where the good trials were."""

import random
from itertools import product

from sidecar.engine.tpe import TpeOptions, Tried, suggest

GRID = list(product(range(4), range(3)))
GREEDY = TpeOptions(epsilon=0.0, n_startup_trials=4)


def history():
    return [Tried((i, d), 0.9 if (i, d) == (2, 1) else 0.3 + 0.01 * i) for i, d in GRID]


def test_until_it_has_its_startup_trials_every_cell_may_come():
    rng = random.Random(1)
    drawn = {suggest(GRID, history()[:3], GREEDY, rng) for _ in range(300)}
    assert drawn == set(GRID)


def test_it_looks_where_the_good_trials_were():
    rng = random.Random(1)
    tried = [*history(), *[Tried((2, 1), 0.9)] * 4]
    drawn = [suggest(GRID, tried, GREEDY, rng) for _ in range(50)]
    assert all(cell[0] in {2, 3} for cell in drawn)
    assert drawn.count((2, 1)) > 40


def test_epsilon_of_one_is_uniform():
    rng = random.Random(1)
    options = TpeOptions(epsilon=1.0)
    assert {suggest(GRID, history() * 3, options, rng) for _ in range(300)} == set(GRID)


def test_only_cells_that_may_be_tried_are_suggested():
    rng = random.Random(1)
    left = [(0, 2), (3, 0)]
    assert {suggest(left, history() * 3, GREEDY, rng) for _ in range(50)} <= set(left)


def test_equal_scores_and_few_trials_are_no_trouble():
    options = TpeOptions(gamma=1.0, epsilon=0.0, n_startup_trials=2, n_candidates=1)
    assert suggest(GRID, [Tried((0, 0), 0.5)] * 2, options, random.Random(1)) in GRID
