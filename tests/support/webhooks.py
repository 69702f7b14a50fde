"""Payloads of other products, each written anew, field by field, after that product's public
documentation; the page is named in the tests that are about it. With the options to read them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from sidecar.feedback.adapters.base import Reading, Webhook
from sidecar.feedback.adapters.registry import ADAPTERS
from sidecar.feedback.parse import parse


def read(kind: str, body: Any, options: Mapping[str, Any] | None = None, **headers: str) -> Reading:
    """Reads as the route will: checked options, then `read`, then every event through `parse`."""
    options = options or {}
    source = ADAPTERS[kind]
    assert source.check(options) == []
    named = {"content-type": "application/json"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    reading = source.read(Webhook(named, raw), options)
    parsed(reading, kind)
    return reading


def parsed(reading: Reading, kind: str = "x"):
    """The events as they would be stored."""
    events = list(reading.events)
    return parse(events, source=kind, received_at=0.0, new_id=lambda: "new") if events else []


def form(payload: Any) -> bytes:
    """As Slack sends an interaction."""
    return urlencode({"payload": json.dumps(payload)}).encode()


@dataclass(frozen=True)
class Sample:
    """One documented payload."""

    kind: str
    body: Any
    options: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    is_form: bool = False

    def webhook(self, body: Any = ...) -> Webhook:
        """The delivery, with another body if one is given."""
        value = self.body if body is ... else body
        raw = form(value) if self.is_form else json.dumps(value).encode()
        media = "application/x-www-form-urlencoded" if self.is_form else "application/json"
        return Webhook({"content-type": media, **self.headers}, raw)


HELPFUL = {"metrics": {"helpful": {"min": 0, "max": 1}}}

GENERIC = {"rollout_id": "trace_1", "rating": {"value": 4, "min": 1, "max": 5}, "actor": "u1"}
GENERIC_ENVELOPE = {
    "type": "feedback.created",
    "timestamp": "2026-10-01T12:00:00Z",
    "data": {"rollout_id": "trace_1", "thumbs": "up", "comment": "thanks"},
}
CLOUDEVENT = {
    "specversion": "1.0",
    "type": "com.example.feedback",
    "source": "/shop/chat",
    "id": "A234-1234-1234",
    "time": "2026-10-01T17:31:00Z",
    "subject": "trace_1",
    "datacontenttype": "application/json",
    "data": {"thumbs": "down", "comment": "too long"},
}
LANGFUSE_SCORE = {
    "id": "score-1",
    "traceId": "cdef-1234-5678-90ab",
    "name": "helpful",
    "value": 0.9,
    "dataType": "NUMERIC",
    "comment": "to the point",
}
LANGFUSE_BATCH = {
    "batch": [
        {
            "id": "7c1c1b0e-0001",
            "type": "score-create",
            "timestamp": "2026-10-01T12:00:00.000Z",
            "body": LANGFUSE_SCORE,
        },
        {"id": "7c1c1b0e-0002", "type": "trace-create", "timestamp": "x", "body": {"id": "t"}},
    ],
    "metadata": {"sdk_name": "python"},
}
LANGSMITH = {
    "id": "a36092d2-4ad5-4fb4-9c0d-0dba9a2ed836",
    "created_at": "2026-10-01T23:30:00.000000",
    "modified_at": "2026-10-02T00:00:00.000000",
    "run_id": "bbab0000-0000-0000-0000-00000000aaaa",
    "trace_id": "cafe0000-0000-0000-0000-00000000aaaa",
    "key": "helpful",
    "score": 1,
    "value": None,
    "comment": "right",
    "correction": None,
    "feedback_source": {"type": "app", "metadata": {}, "user_id": "u7"},
}
TENSORZERO = {
    "inference_id": "00000000-0000-0000-0000-000000000000",
    "metric_name": "draft_accepted",
    "value": True,
    "tags": {"user_id": "123"},
}
OTLP = {
    "resourceLogs": [
        {
            "resource": {
                "attributes": [{"key": "service.name", "value": {"stringValue": "judge"}}]
            },
            "scopeLogs": [
                {
                    "scope": {"name": "my.library", "version": "1.0.0"},
                    "logRecords": [
                        {
                            "timeUnixNano": "1544712660300000000",
                            "observedTimeUnixNano": "1544712660300000000",
                            "severityNumber": 9,
                            "eventName": "gen_ai.evaluation.result",
                            "traceId": "5b8efff798038103d269b633813fc60c",
                            "spanId": "eee19b7ec3c1b174",
                            "attributes": [
                                {
                                    "key": "gen_ai.evaluation.name",
                                    "value": {"stringValue": "Relevance"},
                                },
                                {
                                    "key": "gen_ai.evaluation.score.value",
                                    "value": {"doubleValue": 4.0},
                                },
                                {
                                    "key": "gen_ai.evaluation.score.label",
                                    "value": {"stringValue": "relevant"},
                                },
                                {
                                    "key": "gen_ai.evaluation.explanation",
                                    "value": {"stringValue": "It answers the question."},
                                },
                                {
                                    "key": "gen_ai.response.id",
                                    "value": {"stringValue": "chatcmpl-123"},
                                },
                            ],
                        },
                        {"timeUnixNano": "1", "body": {"stringValue": "Example log record"}},
                    ],
                }
            ],
        }
    ]
}
SLACK_CLICK = {
    "type": "block_actions",
    "team": {"id": "T9TK3CUKW", "domain": "example"},
    "user": {"id": "UA8RXUSPL", "username": "jtorrance", "team_id": "T9TK3CUKW"},
    "api_app_id": "AABA1ABCD",
    "trigger_id": "12321423423.333649436676.d8c1bb837935619ccad0f624c448ffb3",
    "container": {
        "type": "message",
        "message_ts": "1548261231.000200",
        "channel_id": "CBR2V3XEX",
        "is_ephemeral": False,
    },
    "channel": {"id": "CBR2V3XEX", "name": "review-updates"},
    "message": {"type": "message", "user": "UAAAAAAAA", "ts": "1548261231.000200"},
    "response_url": "https://hooks.slack.example/actions/AABA1ABCD/1232321423432/D0000",
    "actions": [
        {
            "type": "button",
            "action_id": "helpful",
            "block_id": "=qXel",
            "text": {"type": "plain_text", "text": "Helpful", "emoji": True},
            "value": "trace_1",
            "action_ts": "1548426417.840180",
        }
    ],
}
SLACK_REACTION = {
    "token": "XXYYZZ",
    "team_id": "T123ABC456",
    "api_app_id": "A123ABC456",
    "event": {
        "type": "reaction_added",
        "user": "U123ABC456",
        "reaction": "thumbsup",
        "item_user": "U222222222",
        "item": {"type": "message", "channel": "C123ABC456", "ts": "1360782400.498405"},
        "event_ts": "1360782804.083113",
    },
    "type": "event_callback",
    "event_id": "Ev123ABC456",
    "event_time": 123456789,
}
SLACK_CHALLENGE = {
    "token": "Jhj5dZrVaK7ZwHHjRyZWjbDl",
    "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
    "type": "url_verification",
}
INTERCOM = {
    "type": "notification_event",
    "app_id": "d90noo0b",
    "id": "notif_4e3504a3-ba3f-46dc-ab48-8e4d5bdfdf4e",
    "topic": "conversation.rating.added",
    "created_at": 1571080403,
    "delivery_attempts": 1,
    "first_sent_at": 1571080403,
    "data": {
        "type": "notification_event_data",
        "item": {
            "type": "conversation",
            "id": "1911149811",
            "created_at": 1539897198,
            "updated_at": 1540393270,
            "custom_attributes": {"rollout": "trace_1"},
            "conversation_rating": {
                "rating": 4,
                "remark": "quick",
                "created_at": 1540393000,
                "contact": {"type": "lead", "id": "5bc8f7ae2d96695c18a"},
                "teammate": {"type": "admin", "id": "814860"},
            },
        },
    },
}
ZENDESK_EVENT = {
    "type": "zen:event-type:ticket.csat_received",
    "account_id": 12514403,
    "id": "2b24ef10-19d4-4740-93cf-8f98ec4776c0",
    "time": "2026-07-04T05:33:18Z",
    "zendesk_event_version": "2022-11-06",
    "subject": "zen:ticket:35436",
    "detail": {"id": "35436", "requester_id": "20978392", "external_id": "trace_1"},
    "event": {"satisfaction_score": {"score": "GOOD", "comment": "Great support!"}},
}
ZENDESK_TRIGGER = {
    "ticket_id": "35436",
    "rating": "Bad",
    "comment": "still broken",
    "requester_id": "20978392",
}
HELP_SCOUT = {
    "id": 5434,
    "customer": {"id": 449379, "firstName": "Ada"},
    "ticketId": 1560011,
    "threadId": 3002084,
    "rating": "Great",
    "comments": "she was really helpful",
    "createdAt": "2015-04-13T12:34:12Z",
    "modifiedAt": "2015-04-14T20:18:33Z",
}
HELP_SCOUT_OPTIONS = {
    "event_prefix": "helpscout",
    "event_id": ["@.id", "@.modifiedAt"],
    "id_path": "@.ticketId",
    "id_kind": "correlation_id",
    "actor_path": "@.customer.id",
    "score": {"path": "@.rating", "values": {"Great": 1, "Okay": 0.5, "Bad": 0}},
    "comment": "@.comments",
}
MANY = {
    "data": {
        "items": [
            {"ref": "trace_1", "n": 7, "what": "vote", "by": "u1", "v": "e1", "note": "good"},
            {"ref": "trace_2", "what": "unvote", "by": "u1", "v": "e2", "of": "e0"},
            {"ref": "trace_3", "what": "view", "v": "e3"},
        ]
    }
}
MANY_OPTIONS = {
    "event_prefix": "app",
    "events": "$.data.items[*]",
    "event_id": "@.v",
    "id_path": "@.ref",
    "id_kind": "rollout_id",
    "actor_path": "@['by']",
    "where": {"path": "@.what", "in": ["vote", "unvote"]},
    "score": {"path": "@.n", "min": 0, "max": 10},
    "comment": "@.note",
    "retract": {"path": "@.what", "equals": "unvote"},
    "retracts": "@.of",
}
REACTIONS = {"reactions": {"thumbsup": 1, "thumbsdown": 0}}

SAMPLES = (
    Sample("generic", GENERIC, {}),
    Sample("generic", GENERIC_ENVELOPE, {}, {"webhook-id": "msg_1"}),
    Sample("cloudevents", CLOUDEVENT, {}, {"content-type": "application/cloudevents+json"}),
    Sample("cloudevents", [CLOUDEVENT], {}, {"content-type": "application/cloudevents-batch+json"}),
    Sample(
        "cloudevents",
        {"thumbs": "up"},
        {},
        {
            "ce-specversion": "1.0",
            "ce-id": "1",
            "ce-source": "/a",
            "ce-type": "t",
            "ce-subject": "r",
        },
    ),
    Sample("langfuse", LANGFUSE_SCORE, HELPFUL),
    Sample("langfuse", LANGFUSE_BATCH, HELPFUL),
    Sample("langsmith", LANGSMITH, HELPFUL),
    Sample("tensorzero", TENSORZERO, {"metrics": {"draft_accepted": {"boolean": True}}}),
    Sample("opentelemetry", OTLP, {"metrics": {"Relevance": {"min": 1, "max": 5}}}),
    Sample("slack", SLACK_CLICK, {"actions": {"helpful": 1}}, is_form=True),
    Sample("slack", SLACK_REACTION, REACTIONS),
    Sample("slack", SLACK_CHALLENGE, REACTIONS),
    Sample("intercom", INTERCOM, {}),
    Sample("zendesk", ZENDESK_EVENT, {}),
    Sample("zendesk", ZENDESK_TRIGGER, {}),
    Sample("declared", HELP_SCOUT, HELP_SCOUT_OPTIONS),
    Sample("declared", MANY, MANY_OPTIONS),
)
