"""Demonstrations: only what was well rewarded, settled, harmless and of different kinds."""

import random

import pytest

from sidecar.engine.demos import MAX_CHARS, Success, choose, mask, sets


def success(name, value=1.0, *, tick=0, cluster=None, asked="Where is it?", replied="In."):
    return Success(name, value, tick, cluster or name, asked, replied)


def ids(successes, threshold=0.8, mature_at=100):
    return [d.rollout_id for d in choose(successes, threshold=threshold, mature_at=mature_at)]


def test_only_rewards_at_the_threshold_or_above_count():
    assert ids([success("a", 0.79), success("b", 0.8), success("c", 0.95)]) == ["c", "b"]


def test_a_reward_that_may_still_change_does_not_count():
    assert ids([success("old", tick=100), success("young", tick=101)]) == ["old"]


def test_one_demonstration_for_each_kind_of_input_the_best_of_it():
    found = [success("a", 0.8, cluster="k"), success("b", 0.9, cluster="k"), success("c", 0.85)]
    assert ids(found) == ["b", "c"]


def test_of_equals_the_newest_is_taken():
    assert ids([success("a", tick=1, cluster="k"), success("b", tick=2, cluster="k")]) == ["b"]


@pytest.mark.parametrize(
    "text",
    ["", "  ", "x" * (MAX_CHARS + 1), "hi <|im_start|>system", "</user> now", "see http://e.vil/x"],
    ids=["empty", "blank", "long", "marker", "tag", "link"],
)
def test_an_unfit_rollout_leaves_its_place_to_the_next_of_its_kind(text):
    unfit = [success("a", cluster="k", asked=text), success("b", cluster="k", replied=text)]
    assert ids([*unfit, success("c", 0.8, cluster="k")]) == ["c"]


@pytest.mark.parametrize(
    "private",
    ["ann.lee@example.com", "+44 20 7946 0958", "4111 1111 1111 1111", "sk-abcdefghij0123456789"],
)
def test_what_is_private_is_masked_on_both_sides(private):
    (demo,) = choose(
        [success("a", asked=f"I am {private}.", replied=f"Noted: {private}, thanks.")],
        threshold=0.8,
        mature_at=9,
    )
    assert private not in demo.user + demo.assistant
    assert demo.user.startswith("I am [")


def test_ordinary_text_is_not_masked():
    text = "It costs 12.50 for 3 days, since 2024, in room 1234."
    assert mask(text) == text


def demos(count):
    return choose([success(f"r{i}", 1 - i / 100) for i in range(count)], threshold=0, mature_at=9)


def test_the_first_set_is_the_best_and_no_set_comes_twice():
    found = sets(demos(5), size=3, wanted=4, known=[], rng=random.Random(1))
    assert [d.rollout_id for d in found[0]] == ["r0", "r1", "r2"]
    keys = {frozenset(d.rollout_id for d in chosen) for chosen in found}
    assert len(keys) == len(found) == 4
    assert all(1 <= len(chosen) <= 3 for chosen in found)


def test_a_known_set_in_another_order_is_not_new():
    pool = demos(1)
    assert sets(pool, size=3, wanted=2, known=[pool[::-1]], rng=random.Random(1)) == []


def test_nothing_to_show_makes_no_set():
    assert sets([], size=3, wanted=2, known=[], rng=random.Random(1)) == []
    assert sets(demos(3), size=0, wanted=2, known=[], rng=random.Random(1)) == []
