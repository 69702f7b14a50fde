"""What candidates are worth: no winner's curse, and comparisons that do not fool themselves."""

import random
from statistics import fmean

import pytest

from sidecar.jobs.estimate import Estimate, alone, better, confirmed, contenders, pooled, shrunk


def dice(rng, chance, seeds):
    return {seed: float(rng.random() < chance) for seed in seeds}


def test_the_best_of_equals_is_not_called_better():
    rng = random.Random(1)
    plain, drawn = [], []
    for _ in range(300):
        rows = {str(k): dice(rng, 0.5, range(30)) for k in range(8)}
        values = shrunk(rows)
        best = max(values, key=lambda c: values[c].mean)
        plain.append(fmean(rows[best].values()) - 0.5)
        drawn.append(values[best].mean - 0.5)
    assert fmean(plain) > 0.1
    assert fmean(drawn) < 0.05


def test_a_difference_that_is_no_noise_is_kept():
    rows = {"good": dict.fromkeys(range(40), 1.0), "bad": dict.fromkeys(range(40), 0.0)}
    values = shrunk(rows)
    assert values["good"].mean - values["bad"].mean > 0.8


def test_seeds_that_are_easy_for_all_count_for_nobody():
    rows = {
        c: {seed: float(seed % 2) - (0.1 if c == "b" else 0) for seed in range(20)} for c in "ab"
    }
    values = shrunk(rows)
    assert values["a"].mean > values["b"].mean


def test_only_those_that_may_be_the_best_are_finalists():
    rng = random.Random(2)
    rows = {"a": dice(rng, 0.8, range(60)), "b": dice(rng, 0.8, range(60)),
            "c": dice(rng, 0.1, range(60))}  # fmt: skip
    assert set(contenders(rows, at_most=3, chance=0.05)) == {"a", "b"}
    assert len(contenders(rows, at_most=1, chance=0.05)) == 1
    assert contenders({}, at_most=3, chance=0.05) == []


def test_finalists_level_is_that_of_the_fresh_rollouts():
    search = {c: dict.fromkeys(range(20), 0.9) for c in "ab"}
    fresh = {c: dict.fromkeys(range(50, 70), 0.4) for c in "ab"}
    values = confirmed(search, fresh)
    assert values["a"].mean == pytest.approx(0.4)


def test_two_estimates_are_weighed_by_their_precision():
    both = pooled(Estimate(0.0, 0.1), Estimate(1.0, 0.2))
    assert both.mean == pytest.approx(0.2)
    assert both.sd < 0.1


def test_a_single_rollout_is_no_certainty():
    assert alone({1: 1.0}).sd > 0.2


@pytest.mark.parametrize(("effect", "least", "most"), [(0.0, 0.3, 0.7), (0.3, 0.85, 1.0)])
def test_a_child_is_judged_seed_by_seed(effect, least, most):
    rng = random.Random(3)
    chances = []
    for _ in range(200):
        before = [float(rng.random() < 0.4) for _ in range(24)]
        after = [float(rng.random() < 0.4 + effect) for _ in range(24)]
        chances.append(better(before, after))
    assert least < fmean(chances) < most


def test_one_lucky_seed_proves_little():
    assert 0.5 < better([0.0], [1.0]) < 0.75
    assert better([0.0] * 20, [1.0] * 20) > 0.999
