"""An event is tied to the rollout that its ids name, and to none where they leave a choice."""

import pytest
from support.feedback_loop import event
from support.stores import assigned

from sidecar.errors import InvalidFeedback
from sidecar.feedback.resolve import resolve
from sidecar.store.base import LOCATED

ONE, TWO, ELSEWHERE = assigned("r1"), assigned("r2"), assigned("r1", "other")
MANY = [assigned(f"m{number}") for number in range(LOCATED - 1)]


def by_text(**about):
    return event("e", rollout_id=None, fingerprint="f", **about)


def test_a_text_of_one_rollout_names_it():
    assert resolve(by_text(), [], [], [ONE]) == ONE
    assert resolve(by_text(), [], [], []) is None


def test_a_text_of_several_is_told_apart_by_the_session_only_if_it_does():
    assert resolve(by_text(session_id="other"), [], [], [ONE, TWO, ELSEWHERE]) == ELSEWHERE
    assert resolve(by_text(session_id="third"), [], [], [ONE, TWO]) is None
    for found in ([ONE, TWO], [ONE, ELSEWHERE]):
        with pytest.raises(InvalidFeedback, match="several rollouts"):
            resolve(by_text(), [], [], found)


def test_a_text_of_very_many_names_nobody_because_not_all_of_them_are_known():
    with pytest.raises(InvalidFeedback, match="several rollouts"):
        resolve(by_text(session_id="other"), [], [], [*MANY, ELSEWHERE])


def test_an_id_that_is_not_known_yet_is_not_replaced_by_who_said_the_same():
    assert resolve(by_text(completion_id="c"), [], [], [ONE]) is None
    assert resolve(event("e", "r9", fingerprint="f"), [], [], [ONE]) is None


def test_beside_an_id_the_text_only_decides_where_that_one_leaves_a_choice():
    assert resolve(by_text(completion_id="c"), [], [ONE, TWO], [TWO]) == TWO
    assert resolve(by_text(completion_id="c"), [], [ONE], [TWO]) == ONE
    assert resolve(event("e", "r1", fingerprint="f"), [ONE, ELSEWHERE], [], [ELSEWHERE]) == (
        ELSEWHERE
    )
    with pytest.raises(InvalidFeedback, match="used in several rollouts"):
        resolve(by_text(completion_id="c"), [], [ONE, TWO], [])
    with pytest.raises(InvalidFeedback, match="used in several rollouts"):
        resolve(by_text(completion_id="c"), [], [ONE, TWO], [*MANY, TWO])
