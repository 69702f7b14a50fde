"""One reward from the set of a rollout's events, whatever their order and repetition."""

import random

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.feedback import FeedbackEvent, Kind, merge

IDS = st.sampled_from([f"e{n}" for n in range(8)])
ACTORS = st.sampled_from([None, "ann", "bob"])
TIMES = st.sampled_from([1.0, 2.0, 3.0])
SCORES = st.floats(0, 1)


@st.composite
def events(draw) -> FeedbackEvent:
    kind = draw(st.sampled_from([Kind.SCORE, Kind.COMMENT, Kind.RETRACTION]))
    return FeedbackEvent(
        event_id=draw(IDS),
        source="api",
        kind=kind,
        received_at=draw(TIMES),
        score=draw(SCORES) if kind is Kind.SCORE else None,
        comment=draw(st.sampled_from([None, "hm"])) if kind is not Kind.RETRACTION else None,
        actor=draw(ACTORS),
        retracts=draw(st.none() | IDS) if kind is Kind.RETRACTION else None,
    )


SETS = st.lists(events(), max_size=8, unique_by=lambda event: event.event_id)


def reward(events):
    return merge("s", "r", events)


@given(SETS, st.integers(0, 99))
def test_order_and_duplicates_do_not_matter(of, seed):
    shuffled = of + of[: seed % 5]
    random.Random(seed).shuffle(shuffled)
    assert reward(shuffled) == reward(of)


@given(SETS)
def test_the_reward_is_a_score_or_nothing(of):
    value = reward(of).value
    assert value is None or 0.0 <= value <= 1.0


@given(SETS)
def test_the_revision_counts_the_events(of):
    assert reward(of).revision == len(of)


@given(SETS, SETS)
def test_more_events_are_a_higher_revision(some, more):
    known = {event.event_id for event in some}
    new = [event for event in more if event.event_id not in known]
    assert reward(some + new).revision == reward(some).revision + len(new)


def said(event_id, at, score=None, actor=None, **fields):
    kind = Kind.SCORE if score is not None else fields.pop("kind", Kind.COMMENT)
    return FeedbackEvent(event_id, "api", kind, at, score=score, actor=actor, **fields)


def test_each_actor_counts_once_with_their_last_word():
    assert reward([said("a", 1, 1.0, "ann"), said("b", 2, 0.0, "ann")]).value == 0.0
    two = [said("a", 1, 1.0, "ann"), said("b", 2, 0.0, "bob"), said("c", 3, 0.0, "bob")]
    assert reward(two).value == 0.5


def test_a_retracted_event_was_never_said():
    events = [
        said("a", 1, 1.0, "ann"),
        said("b", 2, 0.0, "ann", comment="awful"),
        said("c", 3, actor="ann", kind=Kind.RETRACTION, retracts="b"),
    ]
    assert (reward(events).value, reward(events).comments) == (1.0, ())


def test_a_retraction_of_everything_takes_back_what_came_before_and_the_words_too():
    events = [
        said("a", 1, 1.0, "ann", comment="lovely"),
        said("b", 2, actor="ann", kind=Kind.RETRACTION),
    ]
    assert (reward(events).value, reward(events).comments) == (None, ())
    assert reward([*events, said("c", 3, 0.25, "ann")]).value == 0.25


def test_one_user_cannot_take_back_what_another_said():
    vote = said("a", 1, 0.0, "ann")
    for retracts in ("a", None):
        theirs = said("b", 2, actor="bob", kind=Kind.RETRACTION, retracts=retracts)
        assert reward([vote, theirs]).value == 0.0
    application = said("b", 2, kind=Kind.RETRACTION, retracts="a")
    assert reward([vote, application]).value is None


def test_words_come_oldest_first():
    events = [said("b", 2, comment="second"), said("a", 1, comment="first", correction="Yes.")]
    assert reward(events).comments == ("first Yes.", "second")
