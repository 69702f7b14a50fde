"""A feedback body says something usable, or is refused by the name of what is wrong with it."""

import itertools

import orjson
import pytest

from sidecar.core.feedback import FeedbackEvent, Kind
from sidecar.errors import InvalidFeedback
from sidecar.feedback.parse import MAX_EVENTS, MAX_TEXT, parse


def parsed(body):
    ids = (f"minted{n}" for n in itertools.count())
    return parse(body, source="api", received_at=7.0, new_id=lambda: next(ids))


def one(**fields) -> FeedbackEvent:
    [event] = parsed({"rollout_id": "r1", **fields})
    return event


@pytest.mark.parametrize(
    ("thumbs", "score"),
    [("up", 1.0), (True, 1.0), (1, 1.0), ("down", 0.0), (False, 0.0), (-1, 0.0)],
)
def test_thumbs_come_in_three_spellings(thumbs, score):
    event = one(thumbs=thumbs)
    assert (event.kind, event.score) == (Kind.THUMBS, score)


@pytest.mark.parametrize(
    ("value", "low", "high", "score"),
    [(1, 1, 5, 0.0), (4, 1, 5, 0.75), (5, 1, 5, 1.0), (0, -1, 1, 0.5), (8.5, 0, 10, 0.85)],
)
def test_a_rating_becomes_its_place_on_its_own_scale(value, low, high, score):
    event = one(rating={"value": value, "min": low, "max": high})
    assert event.kind is Kind.RATING
    assert event.score == pytest.approx(score)


@pytest.mark.parametrize("score", [0, 0.25, 1])
def test_a_score_is_taken_as_it_is(score):
    assert one(score=score).score == score


def test_words_may_stand_beside_a_number():
    event = one(thumbs="down", comment="too long", correction="Yes.")
    assert (event.kind, event.score) == (Kind.THUMBS, 0.0)
    assert (event.comment, event.correction) == ("too long", "Yes.")


def test_words_alone_carry_no_number():
    assert (one(correction="Yes.").kind, one(correction="Yes.").score) == (Kind.CORRECTION, None)
    assert (one(comment="hm").kind, one(comment="hm").score) == (Kind.COMMENT, None)


def test_a_retraction_names_an_event_or_all_of_an_actor():
    assert one(retracts="e9").retracts == "e9"
    everything = one(retract=True, actor="ann")
    assert (everything.kind, everything.retracts) == (Kind.RETRACTION, None)
    assert everything.actor == "ann"


def test_an_event_keeps_its_own_id_and_gets_one_otherwise():
    assert one(event_id="mine", thumbs="up").event_id == "mine"
    assert one(id="mine", thumbs="up").event_id == "mine"
    assert one(thumbs="up").event_id == "minted0"


def test_null_and_blank_text_are_absent():
    event = one(event_id=None, thumbs="up", comment="  ", rating=None, actor=None)
    assert (event.event_id, event.comment) == ("minted0", None)


def test_later_in_an_array_is_later():
    events = parsed([{"rollout_id": "r", "thumbs": "up"}] * 3)
    assert len({event.received_at for event in events}) == 3
    assert events == sorted(events, key=lambda event: event.received_at)


def test_details_are_ignored_within_their_size():
    assert one(thumbs="up", details={"anything": [{"goes": None}]}).score == 1.0


DEEP = orjson.loads("[" * 500 + "]" * 500)

REFUSED = [
    ({}, "rollout_id", "is missing"),
    ({"thumbs": "up"}, "rollout_id", "is missing"),
    ({"session_id": "s", "thumbs": "up"}, "rollout_id", "is missing"),
    ({"rollout_id": "r"}, "thumbs", "is missing"),
    ({"rollout_id": "r", "comment": ""}, "thumbs", "is missing"),
    ({"rollout_id": "r", "retract": False}, "thumbs", "is missing"),
    ({"rollout_id": "a/b", "thumbs": "up"}, "rollout_id", "possible id"),
    ({"rollout_id": "..", "thumbs": "up"}, "rollout_id", "possible id"),
    ({"rollout_id": "x" * 129, "thumbs": "up"}, "rollout_id", "possible id"),
    ({"rollout_id": 7, "thumbs": "up"}, "rollout_id", "possible id"),
    ({"rollout_id": "", "thumbs": "up"}, "rollout_id", "possible id"),
    ({"completion_id": "chat cmpl", "thumbs": "up"}, "completion_id", "possible id"),
    ({"correlation_id": ["r"], "thumbs": "up"}, "correlation_id", "possible id"),
    ({"rollout_id": "r", "session_id": "a:b", "thumbs": "up"}, "session_id", "possible id"),
    ({"rollout_id": "r", "correlation_id": "q", "thumbs": "up"}, "correlation_id", "another"),
    ({"rollout_id": "r", "event_id": "é", "thumbs": "up"}, "event_id", "possible id"),
    ({"rollout_id": "r", "event_id": "a", "id": "b", "thumbs": "up"}, "id", "another name"),
    ({"rollout_id": "r", "thumb": "up"}, "thumb", "not a known field"),
    ({"rollout_id": "r", "thumbs": "UP"}, "thumbs", '"up" or "down"'),
    ({"rollout_id": "r", "thumbs": 0}, "thumbs", '"up" or "down"'),
    ({"rollout_id": "r", "thumbs": {}}, "thumbs", '"up" or "down"'),
    ({"rollout_id": "r", "score": "0.5"}, "score", "not text"),
    ({"rollout_id": "r", "score": "nan"}, "score", "not text"),
    ({"rollout_id": "r", "score": True}, "score", "not a boolean"),
    ({"rollout_id": "r", "score": float("nan")}, "score", "finite"),
    ({"rollout_id": "r", "score": float("inf")}, "score", "finite"),
    ({"rollout_id": "r", "score": 1.01}, "score", "0..1"),
    ({"rollout_id": "r", "score": -0.01}, "score", "0..1"),
    ({"rollout_id": "r", "rating": 4}, "rating", "its scale"),
    ({"rollout_id": "r", "rating": {"value": 4}}, "rating.min", "missing"),
    ({"rollout_id": "r", "rating": {"value": 4, "min": 1}}, "rating.max", "missing"),
    ({"rollout_id": "r", "rating": {"min": 1, "max": 5}}, "rating.value", "missing"),
    ({"rollout_id": "r", "rating": {"value": 6, "min": 1, "max": 5}}, "rating.value", "between"),
    ({"rollout_id": "r", "rating": {"value": 0, "min": 1, "max": 5}}, "rating.value", "between"),
    ({"rollout_id": "r", "rating": {"value": 1, "min": 1, "max": 1}}, "rating.min", "below"),
    ({"rollout_id": "r", "rating": {"value": 1, "min": 5, "max": 1}}, "rating.min", "below"),
    ({"rollout_id": "r", "rating": {"value": True, "min": 0, "max": 1}}, "rating.value", "number"),
    ({"rollout_id": "r", "rating": {"value": "4", "min": 1, "max": 5}}, "rating.value", "number"),
    (
        {"rollout_id": "r", "rating": {"value": 0, "min": -1e308, "max": 1e308}},
        "rating.min",
        "below",
    ),
    (
        {"rollout_id": "r", "rating": {"value": 1, "min": 0, "max": 5, "scale": 5}},
        "rating.scale",
        "not a known field",
    ),
    ({"rollout_id": "r", "thumbs": "up", "score": 1}, "score", "one number"),
    ({"rollout_id": "r", "retract": True, "thumbs": "up"}, "retract", "alone"),
    ({"rollout_id": "r", "retracts": "e", "comment": "no"}, "retract", "alone"),
    ({"rollout_id": "r", "retract": "yes"}, "retract", "true or false"),
    ({"rollout_id": "r", "retracts": 3}, "retracts", "possible id"),
    ({"rollout_id": "r", "comment": 3}, "comment", "text"),
    ({"rollout_id": "r", "comment": "x" * (MAX_TEXT + 1)}, "comment", "longer"),
    ({"rollout_id": "r", "correction": "x" * (MAX_TEXT + 1)}, "correction", "longer"),
    ({"rollout_id": "r", "thumbs": "up", "actor": "x" * 129}, "actor", "printable"),
    ({"rollout_id": "r", "thumbs": "up", "actor": "a\nb"}, "actor", "printable"),
    ({"rollout_id": "r", "thumbs": "up", "actor": ""}, "actor", "printable"),
    ({"rollout_id": "r", "thumbs": "up", "details": "x"}, "details", "object"),
    ({"rollout_id": "r", "thumbs": "up", "details": {"x": "y" * 20_000}}, "details", "larger"),
    ({"rollout_id": "r", "thumbs": "up", "details": {"x": DEEP}}, "details", "deeply"),
]


@pytest.mark.parametrize(("body", "param", "says"), REFUSED)
def test_what_is_wrong_is_named(body, param, says):
    with pytest.raises(InvalidFeedback) as refused:
        parsed(body)
    assert refused.value.param == param
    assert says in str(refused.value)
    assert param in str(refused.value)


@pytest.mark.parametrize(("body", "param", "says"), REFUSED)
def test_in_an_array_its_place_is_named_too(body, param, says):
    good = {"rollout_id": "r1", "thumbs": "up"}
    with pytest.raises(InvalidFeedback) as refused:
        parsed([good, good, body])
    assert refused.value.param == f"[2].{param}"
    assert says in str(refused.value)


@pytest.mark.parametrize("body", [None, 3, "up", True, [], [None], [[]], ["up"]])
def test_only_an_object_or_an_array_of_objects_is_feedback(body):
    with pytest.raises(InvalidFeedback):
        parsed(body)


def test_an_array_is_bounded():
    good = {"rollout_id": "r1", "thumbs": "up"}
    assert len(parsed([good] * MAX_EVENTS)) == MAX_EVENTS
    with pytest.raises(InvalidFeedback, match="1 to 1000"):
        parsed([good] * (MAX_EVENTS + 1))
