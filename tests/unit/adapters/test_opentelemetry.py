"""OpenTelemetry: the event after open-telemetry/semantic-conventions-genai, docs/gen-ai/
gen-ai-events.md, `gen_ai.evaluation.result`; the export after open-telemetry/opentelemetry-proto,
examples/logs.json, and opentelemetry.io/docs/specs/otlp (JSON Protobuf encoding, full success)."""

import copy

import pytest
from support.webhooks import OTLP, read

from sidecar.errors import InvalidFeedback

OPTIONS = {"metrics": {"Relevance": {"min": 1, "max": 5}}}


def export(**attributes):
    """The documented export; an attribute's last word replaces it, None removes it."""
    body = copy.deepcopy(OTLP)
    record = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    names = {f"gen_ai.{name.replace('__', '.')}": value for name, value in attributes.items()}
    record["attributes"] = [a for a in record["attributes"] if a["key"] not in names] + [
        {"key": key, "value": value} for key, value in names.items() if value is not None
    ]
    return body


def test_an_evaluation_result():
    reading = read("opentelemetry", OTLP, OPTIONS)
    [event] = reading.events
    assert event.pop("event_id").startswith("opentelemetry:")
    assert event == {
        "completion_id": "chatcmpl-123",
        "comment": "It answers the question.",
        "rating": {"value": 4.0, "min": 1, "max": 5},
        "details": {"metric": "Relevance"},
    }
    assert reading.ignored == ("1 records are not gen_ai.evaluation.result",)
    assert (reading.reply.status, reading.reply.body) == (200, b"{}")


def test_a_label_counts_where_labels_are_declared():
    options = {"metrics": {"Relevance": {"values": {"relevant": 1, "not_relevant": 0}}}}
    assert read("opentelemetry", OTLP, options).events[0]["score"] == 1.0


@pytest.mark.parametrize("value", [{"intValue": "4"}, {"intValue": 4}, {"doubleValue": 4}])
def test_numbers_come_in_three_spellings(value):
    [event] = read("opentelemetry", export(evaluation__score__value=value), OPTIONS).events
    assert event["rating"]["value"] == 4


def test_the_event_name_may_still_be_an_attribute():
    body = export()
    record = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    del record["eventName"]
    record["attributes"].append(
        {"key": "event.name", "value": {"stringValue": "gen_ai.evaluation.result"}}
    )
    assert read("opentelemetry", body, OPTIONS).events


def test_a_redelivery_is_the_same_event_and_another_result_is_not():
    one, two, other = (
        read("opentelemetry", body, OPTIONS).events[0]["event_id"]
        for body in (OTLP, OTLP, export(evaluation__score__value={"doubleValue": 1.0}))
    )
    assert one == two != other


def test_a_conversation_may_be_what_it_is_about():
    options = {
        **OPTIONS,
        "id_path": "@.attributes['gen_ai.conversation.id']",
        "id_kind": "correlation_id",
    }
    body = export(conversation__id={"stringValue": "conv_5j66UpCpwteGg4YSxUnt7lPY"})
    [event] = read("opentelemetry", body, options).events
    assert event["correlation_id"] == "conv_5j66UpCpwteGg4YSxUnt7lPY"


def test_the_trace_id_may_be_what_it_is_about():
    options = {**OPTIONS, "id_path": "@.traceId", "id_kind": "correlation_id"}
    [event] = read("opentelemetry", OTLP, options).events
    assert event["correlation_id"] == "5b8efff798038103d269b633813fc60c"


@pytest.mark.parametrize(
    "body",
    [
        export(response__id=None),
        export(evaluation__score__value=None),
        export(evaluation__name={"stringValue": "Other"}),
        {"resourceSpans": []},
        {},
    ],
)
def test_what_cannot_be_counted_is_ignored(body):
    assert read("opentelemetry", body, OPTIONS).events == ()


def test_a_failed_evaluation_is_not_a_result():
    body = export()
    record = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    record["attributes"].append({"key": "error.type", "value": {"stringValue": "timeout"}})
    assert "failed" in read("opentelemetry", body, OPTIONS).ignored[0]


@pytest.mark.parametrize(
    "value", [{"doubleValue": "NaN"}, {"doubleValue": 6}, {"stringValue": "4"}]
)
def test_a_value_outside_the_declared_scale_is_refused(value):
    with pytest.raises(InvalidFeedback):
        read("opentelemetry", export(evaluation__score__value=value), OPTIONS)


def test_protobuf_is_refused_with_the_setting_that_helps():
    with pytest.raises(InvalidFeedback, match="OTEL_EXPORTER_OTLP_PROTOCOL=http/json"):
        read("opentelemetry", b"\n\x00", OPTIONS, content_type="application/x-protobuf")
