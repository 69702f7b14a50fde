"""The factored surrogate: strength is shared between cells, drift is not mistaken for merit."""

import random
from itertools import product

from sidecar.engine.factored import cholesky, fit, forward

GRID = list(product(range(4), range(3)))


def test_a_factor_times_its_transpose_is_the_matrix():
    matrix = [[4.0, 2.0, 0.4], [2.0, 3.0, 0.1], [0.4, 0.1, 2.0]]
    factor = cholesky(matrix)
    for i, row in enumerate(factor):
        for j, other in enumerate(factor[: i + 1]):
            product_ = sum(a * b for a, b in zip(row, other, strict=False))
            assert abs(product_ - matrix[i][j]) < 1e-12


def test_what_is_left_out_of_a_right_side_is_zero():
    factor = [[2.0], [1.0, 3.0], [0.5, 0.2, 1.5]]
    assert forward(factor, {1: 6.0}) == forward(factor, {0: 0.0, 1: 6.0, 2: 0.0})
    assert forward(factor, {}) == [0.0, 0.0, 0.0]


def test_before_any_reward_no_cell_is_better_than_another():
    effects = fit(GRID, {})
    mean, variance = effects.difference((2, 1), (0, 0))
    assert mean == 0.0
    assert abs(variance - (0.10**2 + 2 * 0.09**2 + 0.04**2)) < 1e-9


def test_with_one_cell_served_the_belief_is_the_textbook_posterior():
    baseline, cell = {0: (200_000.0, 100_000.0)}, {0: (50.0, 35.0)}
    mean, variance = fit(GRID, {(0, 0): baseline, (1, 0): cell}).difference((1, 0), (0, 0))
    prior, noise = 0.10**2 + 0.09**2 + 0.04**2, 0.25 / 50
    assert abs(mean - 0.2 * prior / (prior + noise)) < 1e-4
    assert abs(variance - prior * noise / (prior + noise)) < 1e-4


def test_what_a_row_learns_its_other_cells_know():
    counts = {(0, 0): {0: (100.0, 50.0)}, (1, 0): {0: (100.0, 80.0)}}
    effects = fit(GRID, counts)
    same_row, no_kin = (effects.difference(cell, (0, 0))[0] for cell in [(1, 2), (2, 2)])
    assert same_row > 0.2
    assert no_kin < 0.6 * same_row


def test_where_every_change_did_harm_an_untried_one_is_feared_too():
    bad = {(i, d): {0: (40.0, 12.0)} for i, d in GRID if i != 3 and (i, d) != (0, 0)}
    effects = fit(GRID, {(0, 0): {0: (200.0, 120.0)}, **bad})
    mean, variance = effects.difference((3, 1), (0, 0))
    assert mean < -0.15
    assert mean + 2 * variance**0.5 < 0.05


def test_the_gain_of_a_mix_is_that_of_its_cells():
    counts = {(0, 0): {0: (90.0, 50.0)}, (1, 1): {0: (40.0, 30.0)}, (2, 0): {0: (10.0, 2.0)}}
    effects = fit(GRID, counts)
    mean, variance = effects.gain({(1, 1): 3.0})
    one, spread = effects.difference((1, 1), (0, 0))
    assert abs(mean - 3 * one) < 1e-9
    assert abs(variance - 9 * spread) < 1e-9
    both, both_spread = effects.gain({(1, 1): 0.5, (2, 0): -0.5})
    apart, apart_spread = effects.difference((1, 1), (2, 0))
    assert abs(both - apart / 2) < 1e-9
    assert abs(both_spread - apart_spread / 4) < 1e-9
    assert effects.gain({}) == (0.0, 0.0)


def test_a_day_on_which_everything_is_better_makes_no_cell_better():
    bad, good = (100.0, 30.0), (100.0, 70.0)
    late = {(0, 0): {0: (1000.0, 300.0), 1: good}, (1, 0): {0: (2.0, 0.6), 1: (900.0, 630.0)}}
    early = {(0, 0): {0: bad, 1: good}, (1, 0): {0: bad, 1: good}}
    for counts in (late, early):
        assert abs(fit(GRID, counts).difference((1, 0), (0, 0))[0]) < 0.01


def test_a_cell_is_no_better_than_itself():
    assert fit(GRID, {}).difference((1, 1), (1, 1)) == (0.0, 0.0)


def test_votes_go_to_the_best_and_are_the_same_for_the_same_seed():
    counts = {(0, 0): {0: (200.0, 100.0)}, (1, 1): {0: (200.0, 170.0)}, (2, 1): {0: (200.0, 60.0)}}
    effects = fit(GRID, counts)
    votes = effects.votes(random.Random(1), GRID)
    assert votes == effects.votes(random.Random(1), GRID)
    assert abs(sum(votes.values()) - 1) < 1e-9
    assert max(votes, key=votes.__getitem__)[0] == 1
    assert (2, 0) not in votes
    assert (2, 2) not in votes


def test_only_the_cells_asked_for_get_votes():
    counts = {(0, 0): {0: (200.0, 100.0)}, (1, 1): {0: (200.0, 170.0)}}
    some = [(0, 0), (2, 0), (3, 2)]
    votes = fit(GRID, counts).votes(random.Random(1), some)
    assert set(votes) <= set(some)
    assert abs(sum(votes.values()) - 1) < 1e-9
