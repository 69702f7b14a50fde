"""Signals, turns and actors: how what was said becomes one reward."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.feedback import FeedbackEvent, Kind, Vote, merge
from sidecar.core.rollout import Outcome, Turn
from sidecar.engine import credit
from sidecar.engine.rules import Influence, Objective, Rules, read_rules
from sidecar.engine.weighing import weigh
from sidecar.errors import InvalidRequest


def turn(name, duration=1.0, tokens=0):
    return Turn(
        f"turn_{name}", "s", "r", 0.0, duration, Outcome.DONE, 200, name, None,
        completion_tokens=tokens,
    )  # fmt: skip


TURNS = [turn("c0"), turn("c1"), turn("c2")]


def vote(score, about=None, actor="ann", signal="thumbs"):
    return Vote(signal, score, actor, about)


def rules(credit="last", **objectives):
    read = {"objectives": {k.replace("__", ":"): v for k, v in objectives.items()}}
    return read_rules({}, read | {"credit": credit}, "config")


RATED = [vote(0.0, "c1"), vote(0.6, "c2"), vote(0.8, "c0")]


@pytest.mark.parametrize(
    ("rule", "value", "shown"),
    [
        ("last", 0.8, 0),
        ("all", 1.4 / 3, 2),
        ("discounted", (0.6 + 0.49 * 0.8) / (1 + 0.7 + 0.49), 2),
        ("decisive", 0.0, 1),
    ],
)
def test_the_credit_rule_says_what_turns_come_to_and_which_is_the_cause(rule, value, shown):
    assert weigh(rules(rule), RATED, TURNS) == pytest.approx(value)
    assert credit.cause(rule, RATED, TURNS) == shown


def test_what_is_about_no_turn_comes_after_the_last():
    whole = [vote(1.0), vote(0.0, "c2")]
    assert weigh(rules("discounted"), whole, TURNS) == pytest.approx(1 / 1.7)
    assert credit.cause("decisive", [vote(0.0)], TURNS) == 2
    assert credit.cause("last", [vote(0.0, "unknown")], []) == 0


SIGNALS = {"thumbs": 1.0, "score__tone": 3.0}


def test_signals_are_weighed_and_missing_ones_are_missing():
    both = [vote(1.0), vote(0.2, signal="score:tone")]
    assert weigh(rules(**SIGNALS), both, TURNS) == pytest.approx((1.0 + 3 * 0.2) / 4)
    assert weigh(rules(**SIGNALS), both[:1], TURNS) == 1.0
    assert weigh(rules(**SIGNALS), [vote(0.3, signal="rating")], TURNS) is None


def test_what_is_measured_adds_to_what_is_said_and_does_not_stand_for_it():
    measured = rules(
        thumbs=1, latency={"weight": 1, "best": 1, "worst": 3}, cost={"weight": 2, "best": 0,
        "worst": 100},
    )  # fmt: skip
    turns = [turn("c0", 1.0, 20), turn("c1", 3.0, 30)]
    assert weigh(measured, [vote(1.0)], turns) == pytest.approx((1 + 0.5 + 2 * 0.5) / 4)
    assert weigh(measured, [], turns) is None
    assert weigh(measured, [vote(1.0)], []) == 1.0


def test_extreme_actors_of_a_crowd_count_as_the_next_one():
    crowd = [vote(0.5, actor=f"user{n}") for n in range(8)]
    crowd += [vote(0.0, actor="foe"), vote(0.9, actor="friend")]
    assert weigh(Rules(), crowd, TURNS) == 0.5
    assert weigh(Rules(influence=Influence(winsorise=0.0)), crowd, TURNS) == pytest.approx(0.49)


SAID = st.builds(
    FeedbackEvent,
    event_id=st.sampled_from([f"e{n}" for n in range(12)]),
    source=st.just("api"),
    kind=st.sampled_from([Kind.THUMBS, Kind.SCORE, Kind.RATING]),
    received_at=st.sampled_from([1.0, 2.0, 3.0]),
    completion_id=st.sampled_from([None, "c0", "c1", "gone"]),
    score=st.floats(0, 1),
    actor=st.sampled_from([None, "ann", "bob"]),
    metric=st.sampled_from([None, "tone", "resolved"]),
)
EVENTS = st.lists(SAID, min_size=1, max_size=9, unique_by=lambda event: event.event_id)
RULES = st.builds(
    Rules,
    objectives=st.sampled_from(
        [(), (Objective("thumbs", 1), Objective("resolved", 2), Objective("score:tone", 0.5))]
    ),
    credit=st.sampled_from(credit.RULES),
)


@given(EVENTS, RULES, st.integers(0, 99))
def test_order_and_duplicates_do_not_matter_under_any_rules(events, own, seed):
    shuffled = events + events[: seed % 4]
    random.Random(seed).shuffle(shuffled)
    votes = merge("s", "r", shuffled).votes
    assert votes == merge("s", "r", events).votes
    value = weigh(own, votes, TURNS)
    assert value is None or 0.0 <= value <= 1.0


@given(EVENTS)
def test_without_rules_of_its_own_a_session_counts_what_merge_says(events):
    reward = merge("s", "r", events)
    assert weigh(Rules(credit="last"), reward.votes, TURNS) == reward.value


BAD = [
    ({"objectives": {"applause": 1}}, "objectives.applause"),
    ({"objectives": {"thumbs": 0}}, "objectives.thumbs"),
    ({"objectives": {"thumbs": "much"}}, "objectives.thumbs"),
    ({"objectives": {"latency": 1}}, "objectives.latency"),
    ({"objectives": {"cost": {"weight": 1, "best": 5, "worst": 5}}}, "objectives.cost.best"),
    ({"credit": "first"}, "credit"),
    ({"influence": {"cpa": 1}}, "influence.cpa"),
    ({"influence": {"cap": -1}}, "influence.cap"),
    ({"influence": {"winsorise": 0.5}}, "influence.winsorise"),
    ({"influence": {"min_actors": 2.5}}, "influence.min_actors"),
    ({"influence": {"anonymous": "none"}}, "influence.anonymous"),
    ({"influence": {"trusted": "me"}}, "influence.trusted"),
]


@pytest.mark.parametrize(("given_", "param"), BAD)
def test_wrong_rules_are_refused_by_name(given_, param):
    with pytest.raises(InvalidRequest) as refused:
        read_rules(given_, {}, "config")
    assert refused.value.param == f"config.{param}"
