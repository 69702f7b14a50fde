"""The grid search: the policy's promises hold on a grid, and the best cell is found."""

import random
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.ids import BASELINE
from sidecar.engine.mipro import FACTORED, GRID_OPTIONS, TPE, GridPolicy, entrant
from sidecar.engine.policy import Observation
from sidecar.engine.tpe import TpeOptions


def start(surrogate=FACTORED, shape=(4, 3), **dials):
    policy = GridPolicy(replace(GRID_OPTIONS, **dials), surrogate=surrogate)
    policy.grid = set(product(range(shape[0]), range(shape[1])))
    policy.learn(0)
    return policy


def drive(policy, seed, steps, worth, level=lambda tick: 0.0):
    """Random traffic on cells of true `worth`; entrants whenever there is room."""
    rng, moves = random.Random(seed), []
    for tick in range(steps):
        if tick == 0 or policy.stale == 0:
            while len(moves) < 10_000 and (cell := entrant(policy, tick, rng, TpeOptions())):
                moves += policy.enter(f"c{len(policy.cells)}", cell, tick)
        chosen = rng.choices(list(policy.weights), list(policy.weights.values()))[0]
        value = float(rng.random() < worth(policy.cells[chosen]) + level(tick))
        policy.observe(Observation(chosen, f"r{tick}", tick, tick, value))
        moves += policy.refresh(tick + 1) if policy.due else []
    return moves


def one_good(cell):
    return 0.8 if cell == (2, 1) else 0.4 + 0.1 * (cell[0] == 2)


@pytest.mark.parametrize("surrogate", [FACTORED, TPE])
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_shares_are_a_distribution_and_no_cell_serves_twice_at_once(surrogate, seed):
    policy = start(surrogate)
    drive(policy, seed, 400, one_good)
    assert abs(sum(policy.weights.values()) - 1) < 1e-9
    assert policy.weights[BASELINE] >= policy.options.control / 1.2
    live = [policy.cells[c] for c in policy.weights]
    assert len(live) == len(set(live))
    assert len(policy.challengers) <= policy.options.challengers + policy.options.tested


def test_the_same_rewards_lead_to_the_same_state():
    one, two = start(), start()
    assert drive(one, 3, 300, one_good) == drive(two, 3, 300, one_good)
    assert one.weights == two.weights


def test_a_clearly_better_cell_becomes_the_incumbent():
    policy = start(risk=0.05)
    drive(policy, 1, 2500, lambda cell: 0.3 + 0.25 * (cell[0] == 2) + 0.25 * (cell[1] == 1))
    assert policy.cells[policy.incumbent] == (2, 1)


def test_where_nothing_is_better_the_baseline_stays():
    policy = start()
    drive(policy, 1, 1500, lambda cell: 0.5 if cell == (0, 0) else 0.4)
    assert policy.incumbent == BASELINE


def test_neighbours_of_a_good_cell_are_believed_in_before_they_serve():
    policy = start(challengers=1)
    policy.enter("c1", (2, 1), 0)
    for tick in range(200):
        value = 1.0 if tick % 2 else float(tick % 4 == 0)
        policy.observe(Observation("c1" if tick % 2 else BASELINE, f"r{tick}", tick, tick, value))
    policy.learn(200)
    policy.cells["c2"] = (2, 2)
    policy.arms["c2"] = policy.arms["c1"].__class__("c2", BASELINE, 200)
    assert policy.belief("c2", BASELINE, 200).mean > 0.05


def test_belief_in_a_neighbour_is_no_proof_of_it():
    policy = start()
    drive(policy, 5, 900, one_good)
    for candidate in policy.certified:
        assert policy.trials[candidate].comparisons > 0
        assert policy.arms[candidate].n >= policy.options.nominate_rewards


def test_a_level_that_falls_for_all_cells_makes_no_cell_better():
    policy = start()
    drive(policy, 2, 1600, lambda _: 0.75, level=lambda tick: -0.5 * (tick > 800))
    assert policy.incumbent == BASELINE
