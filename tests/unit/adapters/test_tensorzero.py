"""TensorZero feedback: `POST /feedback` after tensorzero.com/docs/gateway/api-reference/feedback
(docs/gateway/api-reference/feedback.mdx of tensorzero/tensorzero). TensorZero sends no webhooks."""

import json
from uuid import UUID

import pytest
from support.webhooks import TENSORZERO, read

from sidecar.errors import InvalidFeedback
from sidecar.feedback.adapters.registry import ADAPTERS

OPTIONS = {"metrics": {"draft_accepted": {"boolean": True}, "user_rating": {"min": 1, "max": 10}}}
NIL = "00000000-0000-0000-0000-000000000000"


def test_a_boolean_metric_of_an_inference():
    assert read("tensorzero", TENSORZERO, OPTIONS).events == (
        {
            "completion_id": NIL,
            "score": 1.0,
            "actor": "123",
            "details": {"metric": "draft_accepted"},
        },
    )


def test_a_float_metric_of_an_episode():
    body = {"episode_id": NIL, "metric_name": "user_rating", "value": 10}
    [event] = read("tensorzero", body, OPTIONS).events
    assert event["correlation_id"] == NIL
    assert event["rating"] == {"value": 10, "min": 1, "max": 10}


def test_a_comment_needs_no_declaration():
    body = {"episode_id": NIL, "metric_name": "comment", "value": "too long"}
    assert read("tensorzero", body).events[0]["comment"] == "too long"


@pytest.mark.parametrize(
    ("value", "correction"),
    [
        ("Yes.", "Yes."),
        ([{"type": "text", "text": "Yes."}, {"type": "text", "text": "No."}], "Yes.\nNo."),
        ({"answer": 1}, '{"answer":1}'),
        ([{"type": "tool_call", "name": "f"}], '[{"name":"f","type":"tool_call"}]'),
    ],
)
def test_a_demonstration_is_a_correction(value, correction):
    body = {"inference_id": NIL, "metric_name": "demonstration", "value": value}
    assert read("tensorzero", body).events[0]["correction"] == correction


def test_the_answer_is_an_id_that_its_client_can_read():
    reading = read("tensorzero", TENSORZERO, OPTIONS)
    assert reading.reply.status == 200
    assert UUID(json.loads(reading.reply.body)["feedback_id"])
    assert reading == read("tensorzero", TENSORZERO, OPTIONS)


def test_a_call_with_an_idempotency_key_is_known_by_it():
    [event] = read("tensorzero", TENSORZERO, OPTIONS, idempotency_key="k1").events
    assert event["event_id"] == "tensorzero:k1"


def test_the_id_may_be_in_a_tag():
    body = {**TENSORZERO, "tags": {"rollout": "trace_1"}}
    options = {**OPTIONS, "id_path": "@.tags.rollout", "id_kind": "rollout_id"}
    assert read("tensorzero", body, options).events[0]["rollout_id"] == "trace_1"


def test_a_dry_run_and_other_metrics_are_ignored():
    assert read("tensorzero", {**TENSORZERO, "dryrun": True}, OPTIONS).events == ()
    assert read("tensorzero", {**TENSORZERO, "metric_name": "x"}, OPTIONS).events == ()


@pytest.mark.parametrize(
    "fields", [{"value": 0.5}, {"value": 2}, {"value": "true"}, {"value": None},
               {"inference_id": None}, {"episode_id": NIL}, {"metric_name": 3}]
)  # fmt: skip
def test_what_tensorzero_would_refuse_is_refused(fields):
    with pytest.raises(InvalidFeedback):
        read("tensorzero", {**TENSORZERO, **fields}, OPTIONS)


def test_the_reserved_metrics_cannot_be_declared():
    [problem] = ADAPTERS["tensorzero"].check({"metrics": {"comment": {"text": "comment"}}})
    assert problem.option == "metrics.comment"
