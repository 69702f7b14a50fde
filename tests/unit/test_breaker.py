"""When a breaker opens, what it lets through, and when it closes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.gateway.breaker import Breaker, State


def breaker(**given):
    return Breaker(**{"streak": 3, "window": 10, "least": 6, "cooldown": 5.0, "probes": 2, **given})


def after(outcomes, **given):
    """A breaker that has seen these calls, at time 0."""
    own = breaker(**given)
    for fine in outcomes:
        if own.allows(0.0):
            own.succeeded() if fine else own.failed(0.0)
    return own


def test_it_is_closed_until_something_is_wrong():
    own = after([True] * 50)
    assert own.state is State.CLOSED
    assert own.allows(0.0)
    assert own.allows(0.0), "closed, it lets calls through side by side"


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([False, False], State.CLOSED),
        ([False, False, True, False, False], State.CLOSED),
        ([False, False, False], State.OPEN),
        ([True] * 20 + [False] * 3, State.OPEN),
    ],
)
def test_a_streak_of_failures_opens_it(outcomes, state):
    assert after(outcomes).state is state


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([True, False] * 2, State.CLOSED),
        ([True, False] * 3, State.OPEN),
        ([True, True, False] * 10, State.CLOSED),
        ([True] * 10 + [True, False] * 4, State.CLOSED),
        ([True] * 10 + [True, False] * 5, State.OPEN),
    ],
)
def test_a_share_of_failures_opens_it_once_there_are_enough_calls(outcomes, state):
    assert after(outcomes).state is state


def test_open_it_lets_nothing_through_until_it_has_cooled_down():
    own = after([False] * 3)
    assert not own.allows(4.9)
    assert own.state is State.OPEN
    assert own.allows(5.0)
    assert own.state is State.HALF_OPEN


def test_half_open_it_lets_one_call_through_at_a_time():
    own = after([False] * 3)
    assert own.allows(5.0)
    assert not own.allows(5.0)
    own.succeeded()
    assert own.allows(5.0)
    assert not own.allows(5.0)
    own.succeeded()
    assert own.state is State.CLOSED


def test_a_failed_probe_opens_it_again_for_as_long():
    own = after([False] * 3)
    assert own.allows(5.0)
    own.succeeded()
    assert own.allows(6.0)
    own.failed(6.0)
    assert not own.allows(10.9)
    assert own.allows(11.0)


def test_a_probe_that_was_given_up_makes_room_for_the_next():
    own = after([False] * 3)
    assert own.allows(5.0)
    own.gave_up()
    assert own.state is State.HALF_OPEN
    assert own.allows(5.0)


def test_it_can_be_opened_and_cooled_from_outside():
    own = breaker()
    own.cool()
    assert own.state is State.CLOSED
    own.trip(0.0)
    own.trip(4.0)
    assert not own.allows(8.9), "each word that it is down counts anew"
    own.cool()
    assert own.allows(8.9)


def test_what_was_before_it_closed_does_not_count_afterwards():
    own = after([True, False] * 3)
    for now in (5.0, 6.0):
        assert own.allows(now)
        own.succeeded()
    own.failed(7.0)
    assert own.state is State.CLOSED


@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["ok", "bad", "left", "trip", "cool"]))))
def test_whatever_happens_it_recovers_once_calls_go_well(steps):
    own, now = breaker(), 0.0
    for pause, what in steps:
        now += pause
        if what == "trip":
            own.trip(now)
        elif what == "cool":
            own.cool()
        elif own.allows(now):
            {"ok": own.succeeded, "left": own.gave_up, "bad": lambda: own.failed(now)}[what]()  # noqa: B023
    now += 5.0
    for _ in range(2):
        assert own.allows(now)
        own.succeeded()
    assert own.state is State.CLOSED
