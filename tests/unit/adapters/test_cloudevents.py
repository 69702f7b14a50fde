"""CloudEvents 1.0: the attributes after cloudevents/spec, cloudevents/spec.md, JSON after
formats/json-format.md, and the three modes after bindings/http-protocol-binding.md."""

import base64
import json

import pytest
from support.webhooks import CLOUDEVENT, read

from sidecar.errors import InvalidFeedback

STRUCTURED = {"content_type": "application/cloudevents+json; charset=UTF-8"}
BATCH = {"content_type": "application/cloudevents-batch+json"}
BINARY = {
    "content_type": "application/json; charset=utf-8",
    "ce_specversion": "1.0",
    "ce_type": "com.example.feedback",
    "ce_time": "2026-10-01T17:31:00Z",
    "ce_id": "A234-1234-1234",
    "ce_source": "/shop/chat",
    "ce_subject": "trace_1",
}
EVENT = {
    "correlation_id": "trace_1",
    "thumbs": "down",
    "comment": "too long",
    "event_id": "cloudevents:%2Fshop%2Fchat/A234-1234-1234",
}


def test_structured_mode():
    assert read("cloudevents", CLOUDEVENT, **STRUCTURED).events == (EVENT,)


def test_binary_mode_gives_the_same_event():
    assert read("cloudevents", CLOUDEVENT["data"], **BINARY).events == (EVENT,)


def test_batch_mode_which_may_be_empty():
    second = {**CLOUDEVENT, "id": "2"}
    events = read("cloudevents", [CLOUDEVENT, second], **BATCH).events
    assert events == (EVENT, {**EVENT, "event_id": "cloudevents:%2Fshop%2Fchat/2"})
    assert read("cloudevents", [], **BATCH).events == ()


def test_data_may_be_base64():
    data = base64.b64encode(json.dumps(CLOUDEVENT["data"]).encode()).decode()
    body = {**CLOUDEVENT, "data": None, "data_base64": data}
    assert read("cloudevents", body, **STRUCTURED).events == (EVENT,)


@pytest.mark.parametrize(
    ("header", "subject"),
    [("a%3Ab", "a:b"), ('"a\\:b"', "a:b"), ('"a%3Ab"', "a:b"), ("a%253Ab", "a%3Ab")],
)
def test_header_values_are_unquoted_and_decoded_once(header, subject):
    headers = {**BINARY, "ce_subject": header}
    options = {"subject_kind": "completion_id"}
    [event] = read("cloudevents", {"thumbs": "up"}, options, **headers).events
    assert event["completion_id"] == subject


def test_a_header_that_is_not_utf_8_is_refused():
    with pytest.raises(InvalidFeedback, match="UTF-8"):
        read("cloudevents", CLOUDEVENT["data"], **{**BINARY, "ce_subject": "%C0%A0"})


def test_the_id_in_data_comes_before_the_subject():
    body = {**CLOUDEVENT, "data": {"completion_id": "c1", "thumbs": "up"}}
    [event] = read("cloudevents", body, **STRUCTURED).events
    assert "correlation_id" not in event
    assert event["completion_id"] == "c1"


def test_the_subject_may_be_declared_to_be_something_else():
    [event] = read(
        "cloudevents", CLOUDEVENT, {"subject_kind": "completion_id"}, **STRUCTURED
    ).events
    assert event["completion_id"] == "trace_1"


def test_other_types_are_ignored_when_types_are_declared():
    reading = read("cloudevents", CLOUDEVENT, {"types": ["other"]}, **STRUCTURED)
    assert reading.events == ()
    assert "com.example.feedback" in reading.ignored[0]


def test_two_sources_may_use_the_same_id():
    other = {**CLOUDEVENT, "source": "/shop", "id": "chat/A234-1234-1234"}
    one, two = read("cloudevents", [CLOUDEVENT, other], **BATCH).events
    assert one["event_id"] != two["event_id"]


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_a_required_attribute_must_be_there(name):
    body = {key: value for key, value in CLOUDEVENT.items() if key != name}
    with pytest.raises(InvalidFeedback, match=name):
        read("cloudevents", body, **STRUCTURED)


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        (CLOUDEVENT["data"], {}, "not a CloudEvent"),
        (CLOUDEVENT, {"content_type": "application/cloudevents+avro"}, "JSON"),
        (b"<x/>", {**BINARY, "content_type": "application/xml"}, "JSON"),
        ({**CLOUDEVENT, "specversion": "0.3"}, STRUCTURED, "specversion"),
        ({**CLOUDEVENT, "data": "text"}, STRUCTURED, "data"),
        ({**CLOUDEVENT, "data_base64": "e30="}, STRUCTURED, "data_base64"),
        ({**CLOUDEVENT, "data": None, "data_base64": "%"}, STRUCTURED, "base64"),
        ({**CLOUDEVENT, "data": {"event_id": "x", "thumbs": "up"}}, STRUCTURED, "own"),
        (CLOUDEVENT, BATCH, "array"),
    ],
)
def test_what_is_not_a_cloudevent_is_refused(body, headers, words):
    with pytest.raises(InvalidFeedback, match=words):
        read("cloudevents", body, **headers)
