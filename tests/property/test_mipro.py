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
    unproven = sum(policy.weights[c] for c in policy.challengers)
    assert unproven <= policy.options.share_challengers + 1e-9
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


def deficit(policy, seed, steps, worth):
    """The most that was given up at any time against always serving the baseline, and the moves."""
    rng, lost, most, moves = random.Random(seed), 0.0, 0.0, []
    for tick in range(steps):
        if policy.stale == 0:
            while cell := entrant(policy, tick, rng, TpeOptions()):
                moves += policy.enter(f"c{len(policy.cells)}", cell, tick)
        chosen = rng.choices(list(policy.weights), list(policy.weights.values()))[0]
        rate = worth(policy.cells[chosen])
        lost += worth((0, 0)) - rate
        most = max(most, lost)
        value = float(rng.random() < rate)
        policy.observe(Observation(chosen, f"r{tick}", tick, tick, value))
        moves += policy.refresh(tick + 1) if policy.due else []
    return most, moves


@pytest.mark.parametrize("surrogate", [FACTORED, TPE])
@pytest.mark.parametrize("harm", [0.1, 0.25])
def test_a_grid_of_worse_cells_stays_within_the_risk_and_promotes_nothing(surrogate, harm):
    runs = [
        deficit(start(surrogate, (8, 6)), s, 1000, lambda cell: 0.55 - harm * (cell != (0, 0)))
        for s in range(4)
    ]
    allowed = GRID_OPTIONS.risk * 1000 + GRID_OPTIONS.risk_slack
    assert sum(most for most, _ in runs) / 4 < allowed
    assert not any(move.kind == "certified" for _, moves in runs for move in moves)


def test_cells_that_are_merely_equal_are_rarely_certified():
    runs = [deficit(start(), seed, 1000, lambda _: 0.5)[1] for seed in range(12)]
    assert sum(any(m.kind == "certified" for m in moves) for moves in runs) <= 2  # delta .05 of 12


def test_a_smaller_risk_gives_unproven_cells_less():
    def unproven(risk):
        policy = start(risk=risk, risk_slack=100 * risk)
        drive(policy, 4, 200, lambda _: 0.5)
        return 1 - policy.arms[BASELINE].n / 200

    assert unproven(0.002) < 0.5 * unproven(0.05)


def test_what_unproven_cells_lost_makes_their_share_smaller():
    bad, good = start(), start()
    drive(bad, 1, 300, lambda cell: 0.3 if cell != (0, 0) else 0.7)
    drive(good, 1, 300, lambda cell: 0.7 if cell != (0, 0) else 0.3)
    assert bad.weights[BASELINE] > 0.8
    assert good.weights[BASELINE] < 0.2
    assert bad.spent(300) > 0 > good.spent(300)


def test_what_was_learnt_is_found_again_in_the_rewards():
    policy = start()
    drive(policy, 6, 330, one_good)
    shared = start()
    for name in ("arms", "cells", "challengers", "certified", "incumbent", "seen", "lost"):
        setattr(shared, name, getattr(policy, name))
    for one in (policy, shared):
        one.learn(330)
        one.share(330)
    assert shared.weights == policy.weights
    assert shared.spent(330) == policy.spent(330)


def test_a_rollback_forgets_the_cells_and_remembers_what_they_cost():
    policy = start()
    drive(policy, 1, 300, lambda cell: 0.3 if cell != (0, 0) else 0.7)
    cost = policy.spent(300)
    policy.roll_back(300, "by hand")
    assert policy.spent(300) == pytest.approx(cost)
    assert policy.belief(policy.challengers[0], BASELINE, 300).mean == pytest.approx(0)
    assert policy.incumbent == BASELINE


def test_of_a_cell_that_left_the_grid_its_own_rewards_still_speak():
    policy = start(challengers=1)
    policy.enter("c1", (2, 1), 0)
    for tick in range(200):
        who = "c1" if tick % 2 else BASELINE
        policy.observe(Observation(who, f"r{tick}", tick, tick, float(tick % 2)))
    policy.refresh(200)
    policy.challengers.clear()
    policy.certified.clear()
    policy.grid = {(0, 0), (1, 0)}
    policy.options = replace(policy.options, half_life=1e-6)
    policy.learn(100_000)
    assert policy.belief("c1", BASELINE, 200).n == 100
    assert (2, 1) not in policy.effects.cells
