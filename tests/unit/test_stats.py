"""The statistics keep their word: levels hold, beliefs are normalised, detectors detect."""

import random

import pytest

from sidecar.engine.evidence import Trial, level, pairs
from sidecar.engine.stats import EDetector, EProcess, expected_shortfall, probability_best


def coin(rng, p):
    return 1.0 if rng.random() < p else 0.0


def crosses(rng, p_test, p_control, alpha, steps):
    test = EProcess()
    for _ in range(steps):
        test.update(coin(rng, p_test) - coin(rng, p_control))
        if test.peak >= 1 / alpha:
            return True
    return False


def test_equal_candidates_are_rarely_certified_however_often_one_looks():
    rng = random.Random(1)
    false_alarms = sum(crosses(rng, 0.5, 0.5, 0.05, 600) for _ in range(400))
    assert false_alarms / 400 <= 0.05 + 0.015


def test_a_clearly_better_candidate_is_certified_soon():
    rng = random.Random(2)
    assert all(crosses(rng, 0.75, 0.5, 0.05, 400) for _ in range(50))


def test_the_detector_notices_a_change_after_a_long_good_time():
    rng = random.Random(3)
    detector = EDetector()
    for _ in range(2000):
        detector.update(coin(rng, 0.4) - coin(rng, 0.6))
    steps = 0
    while detector.value < 200 and steps < 2000:
        detector.update(coin(rng, 0.6) - coin(rng, 0.4))
        steps += 1
    assert steps < 300


def test_probability_best_agrees_with_simulation():
    rng = random.Random(4)
    beliefs = [(0.0, 0.001), (0.02, 0.05), (-0.03, 0.12), (0.05, 0.02)]
    wins = [0] * len(beliefs)
    for _ in range(40_000):
        draw = [rng.gauss(m, s) for m, s in beliefs]
        wins[draw.index(max(draw))] += 1
    for exact, simulated in zip(probability_best(beliefs), wins, strict=True):
        assert exact == pytest.approx(simulated / 40_000, abs=0.01)


def test_probability_best_of_one_is_certain():
    assert probability_best([(0.3, 0.1)]) == [1.0]


def test_expected_shortfall_is_what_is_lost_below_zero():
    rng = random.Random(5)
    lost = sum(max(0.0, -rng.gauss(0.02, 0.1)) for _ in range(100_000)) / 100_000
    assert expected_shortfall(0.02, 0.1) == pytest.approx(lost, abs=0.002)


def test_the_error_budgets_of_all_candidates_together_stay_within_delta():
    assert sum(level(k, 0.05) for k in range(1, 100_000)) < 0.05


def test_a_lead_is_proven_only_after_every_smaller_one():
    trial = Trial()
    trial.weigh([0.5] * 60, 0.0)
    assert trial.lead(0.05) == 0.25
    weak = Trial()
    weak.weigh([0.05] * 10, 0.0)
    assert weak.lead(0.05) is None


def test_pairs_use_every_reward_of_the_scarcer_side_once():
    test = [(1, 1.0), (5, 0.0)]
    control = [(0, 0.0), (2, 1.0), (4, 1.0), (6, 1.0)]
    assert pairs(test, control) == [0.5, -1.0]
    assert pairs(control, test) == [-0.5, 1.0]
    assert pairs([], control) == []
