"""Intercom: the notification after developers.intercom.com/docs/webhooks/webhook-notifications, the
topic after developers.intercom.com/docs/references/webhooks/webhook-models, the rating after the
conversation model of the same reference (`conversation_rating`: 1 to 5, remark, contact)."""

import copy

import pytest
from support.webhooks import INTERCOM, parsed, read

from sidecar.errors import InvalidFeedback


def notified(**rating):
    body = copy.deepcopy(INTERCOM)
    body["data"]["item"]["conversation_rating"] |= rating
    return body


def test_a_rating_with_a_remark():
    reading = read("intercom", INTERCOM)
    assert reading.events == (
        {
            "correlation_id": "1911149811",
            "comment": "quick",
            "rating": {"value": 4, "min": 1, "max": 5},
            "actor": "5bc8f7ae2d96695c18a",
            "event_id": "intercom:notif_4e3504a3-ba3f-46dc-ab48-8e4d5bdfdf4e",
        },
    )
    assert parsed(reading)[0].score == 0.75


def test_the_id_may_be_prefixed_or_be_a_custom_attribute():
    [event] = read("intercom", INTERCOM, {"id_prefix": "intercom:"}).events
    assert event["correlation_id"] == "intercom:1911149811"
    options = {"id_path": "@.custom_attributes.rollout", "id_kind": "rollout_id"}
    [event] = read("intercom", INTERCOM, options).events
    assert event["rollout_id"] == "trace_1"


def test_ratings_of_one_teammate_only():
    options = {"where": {"path": "@.conversation_rating.teammate.id", "equals": "814860"}}
    assert read("intercom", INTERCOM, options).events
    assert read("intercom", notified(teammate={"id": "1"}), options).events == ()


def test_a_remark_alone_is_a_comment():
    [event] = read("intercom", notified(rating=None)).events
    assert "rating" not in event
    assert event["comment"] == "quick"


def test_without_a_notification_id_its_content_names_it():
    body = {**INTERCOM, "id": None}
    one, two, other = (
        read("intercom", b).events[0]["event_id"]
        for b in (body, body, {**notified(rating=1), "id": None})
    )
    assert one == two != other


@pytest.mark.parametrize(
    "body",
    [
        {**INTERCOM, "topic": "ping", "data": {"item": {"type": "ping", "message": "x"}}},
        {**INTERCOM, "topic": "conversation.user.replied"},
        notified(rating=None, remark=None),
    ],
)
def test_what_is_not_a_rating_is_ignored(body):
    reading = read("intercom", body)
    assert reading.events == ()
    assert reading.ignored


@pytest.mark.parametrize("rating", [0, 6, "4", True])
def test_a_rating_that_intercom_cannot_have_sent_is_refused(rating):
    with pytest.raises(InvalidFeedback):
        read("intercom", notified(rating=rating))
