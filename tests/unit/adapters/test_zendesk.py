"""Zendesk: the envelope after developer.zendesk.com/api-reference/webhooks/event-types/
webhook-event-types, `detail` after .../event-types/ticket-events, good and bad after
.../ticketing/ticket-management/satisfaction_ratings. Of `event.satisfaction_score` only a
description of the ticket-events page by others was at hand. A trigger's body is the admin's; its
placeholders (`{{ticket.id}}`, `{{satisfaction.current_rating}}`) are Zendesk's."""

import pytest
from support.webhooks import ZENDESK_EVENT, ZENDESK_TRIGGER, parsed, read

from sidecar.errors import InvalidFeedback

POINTS = {"rating": {"min": 1, "max": 5}}


def event(**score):
    return {**ZENDESK_EVENT, "event": {"satisfaction_score": score}}


def test_a_rating_event():
    assert read("zendesk", ZENDESK_EVENT).events == (
        {
            "correlation_id": "35436",
            "comment": "Great support!",
            "score": 1.0,
            "actor": "20978392",
            "event_id": "zendesk:2b24ef10-19d4-4740-93cf-8f98ec4776c0",
        },
    )


def test_a_body_of_a_trigger():
    reading = read("zendesk", ZENDESK_TRIGGER, x_zendesk_webhook_invocation_id="01F1KRFQ")
    assert reading.events == (
        {
            "correlation_id": "35436",
            "comment": "still broken",
            "score": 0.0,
            "actor": "20978392",
            "event_id": "zendesk:01F1KRFQ",
        },
    )


def test_the_same_body_of_a_trigger_is_the_same_event_where_nothing_else_names_it():
    first, again = (read("zendesk", ZENDESK_TRIGGER).events[0]["event_id"] for _ in range(2))
    assert first == again
    better = {**ZENDESK_TRIGGER, "rating": "Good"}
    assert read("zendesk", better).events[0]["event_id"] != first


@pytest.mark.parametrize("rating", [4, "4"])
def test_points_need_their_scale(rating):
    body = {**ZENDESK_TRIGGER, "rating": rating}
    with pytest.raises(InvalidFeedback):
        read("zendesk", body)
    assert parsed(read("zendesk", body, POINTS))[0].score == 0.75


def test_a_tickets_external_id_may_be_ours():
    options = {"id_path": "@.detail.external_id", "id_kind": "rollout_id"}
    assert read("zendesk", ZENDESK_EVENT, options).events[0]["rollout_id"] == "trace_1"


@pytest.mark.parametrize(
    "body",
    [
        {**ZENDESK_EVENT, "type": "zen:event-type:ticket.status_changed", "event": {}},
        event(score="OFFERED"),
        event(score=None, comment=None),
        {"ticket_id": "1", "rating": "", "comment": ""},
        {"rating": "good"},
        {},
    ],
)
def test_what_rates_nothing_is_ignored(body):
    reading = read("zendesk", body)
    assert reading.events == ()
    assert reading.ignored


@pytest.mark.parametrize("score", ["splendid", 1, True, ["good"], {}])
def test_another_scale_is_refused(score):
    with pytest.raises(InvalidFeedback):
        read("zendesk", event(score=score))


def test_a_value_outside_the_declared_points_is_refused():
    with pytest.raises(InvalidFeedback):
        read("zendesk", {**ZENDESK_TRIGGER, "rating": "6"}, POINTS)
