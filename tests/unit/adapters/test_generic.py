"""Our own grammar, as in docs/feedback-sources.md; the envelope and `webhook-id` are those of
Standard Webhooks (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md)."""

import contextlib

import pytest
from support.webhooks import GENERIC, GENERIC_ENVELOPE, read

from sidecar.errors import InvalidFeedback
from sidecar.feedback.adapters.registry import ADAPTERS


def test_an_object_of_our_grammar_is_taken_as_it_is():
    assert read("generic", GENERIC).events == (GENERIC,)


def test_the_envelope_is_opened_and_its_delivery_names_the_event():
    [event] = read("generic", GENERIC_ENVELOPE, webhook_id="msg_1").events
    assert event == {**GENERIC_ENVELOPE["data"], "event_id": "generic:msg_1"}


def test_an_events_own_id_is_kept():
    [event] = read("generic", {**GENERIC, "event_id": "mine"}, webhook_id="msg_1").events
    assert event["event_id"] == "mine"


def test_events_of_an_array_are_told_apart_within_their_delivery():
    events = read("generic", [GENERIC, GENERIC], webhook_id="msg_1").events
    assert [event["event_id"] for event in events] == ["generic:msg_1/0", "generic:msg_1/1"]


def test_an_envelope_of_another_type_is_ignored():
    reading = read("generic", {**GENERIC_ENVELOPE, "type": "user.created"})
    assert reading.events == ()
    assert "user.created" in reading.ignored[0]


def test_further_types_can_be_declared():
    options = {"types": ["rated"]}
    assert read("generic", {**GENERIC_ENVELOPE, "type": "rated"}, options).events


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"3", b'["x"]', b'{"type":"t","data":1}'])
def test_what_is_not_ours_is_refused_or_ignored(body):
    with contextlib.suppress(InvalidFeedback):
        assert read("generic", body).events == ()


def test_options_that_do_not_exist_are_named():
    [problem] = ADAPTERS["generic"].check({"type": ["x"]})
    assert problem.option == "type"
    assert "types" in problem.message
