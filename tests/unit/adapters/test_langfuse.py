"""Langfuse scores: the fields after langfuse.com/docs/evaluation/scores/data-model and the API
definition fern/apis/server/definition/score.yml and ingestion.yml of langfuse/langfuse. There is no
outgoing webhook for scores (github.com/orgs/langfuse/discussions/11217)."""

import json

import pytest
from support.webhooks import HELPFUL, LANGFUSE_BATCH, LANGFUSE_SCORE, parsed, read

from sidecar.errors import InvalidFeedback
from sidecar.feedback.adapters.registry import ADAPTERS


def score(**fields):
    return {**LANGFUSE_SCORE, **fields}


def test_a_numeric_score():
    [event] = read("langfuse", score(updatedAt="2026-10-01T12:00:00.000Z"), HELPFUL).events
    assert event == {
        "rollout_id": "cdef-1234-5678-90ab",
        "comment": "to the point",
        "rating": {"value": 0.9, "min": 0, "max": 1},
        "details": {"metric": "helpful"},
        "event_id": "langfuse:score-1/2026-10-01T12:00:00.000Z",
    }


def test_the_sdks_batch_is_answered_as_the_sdk_expects():
    reading = read("langfuse", LANGFUSE_BATCH, HELPFUL)
    assert [event["event_id"] for event in reading.events] == ["langfuse:score-1/7c1c1b0e-0001"]
    assert reading.ignored == ("'trace-create' is not a score",)
    assert reading.reply.status == 207
    assert json.loads(reading.reply.body) == {
        "successes": [
            {"id": "7c1c1b0e-0001", "status": 201},
            {"id": "7c1c1b0e-0002", "status": 201},
        ],
        "errors": [],
    }


def test_a_page_of_the_api_may_be_passed_on():
    page = {"data": [score(), score(id="score-2")], "meta": {"page": 1, "limit": 50}}
    assert len(read("langfuse", page, HELPFUL).events) == 2


def test_a_single_score_is_answered_with_its_id():
    assert json.loads(read("langfuse", score(), HELPFUL).reply.body) == {"id": "score-1"}
    assert json.loads(read("langfuse", score(id=None), HELPFUL).reply.body)["id"]


@pytest.mark.parametrize(("value", "expected"), [(1, 1.0), (0, 0.0)])
def test_a_boolean_score_is_1_or_0(value, expected):
    options = {"metrics": {"helpful": {"boolean": True}}}
    body = score(dataType="BOOLEAN", value=value, stringValue="True" if value else "False")
    assert read("langfuse", body, options).events[0]["score"] == expected


def test_a_boolean_score_may_be_a_bad_sign():
    options = {"metrics": {"helpful": {"boolean": True, "optimize": "min"}}}
    assert read("langfuse", score(dataType="BOOLEAN", value=1), options).events[0]["score"] == 0.0


@pytest.mark.parametrize("fields", [{"value": "partly"}, {"value": 2, "stringValue": "partly"}])
def test_a_category_as_it_is_sent_and_as_it_is_given(fields):
    options = {"metrics": {"helpful": {"values": {"partly": 0.5, "fully": 1}}}}
    body = score(dataType="CATEGORICAL", **fields)
    assert read("langfuse", body, options).events[0]["score"] == 0.5


def test_text_and_correction_scores_are_words():
    options = {"metrics": {"note": {"text": "comment"}, "fix": {"text": "correction"}}}
    note = score(name="note", dataType="TEXT", value="so so", comment=None)
    assert read("langfuse", note, options).events[0]["comment"] == "so so"
    fix = score(name="fix", dataType="CORRECTION", value=0, stringValue="Yes.")
    assert read("langfuse", fix, options).events[0]["correction"] == "Yes."


def test_an_update_is_a_new_event_and_a_redelivery_is_not():
    first, again, changed = (
        read("langfuse", body, HELPFUL).events[0]["event_id"]
        for body in (score(), score(), score(value=0.1))
    )
    assert first == again
    assert first != changed


def test_a_score_without_an_id_has_none_here():
    assert "event_id" not in read("langfuse", score(id=None), HELPFUL).events[0]


def test_a_score_of_a_session_needs_its_path():
    body = score(traceId=None, sessionId="chat-7")
    reading = read("langfuse", body, HELPFUL)
    assert reading.events == ()
    assert "@.traceId" in reading.ignored[0]
    options = {**HELPFUL, "id_path": "@.sessionId", "id_kind": "correlation_id"}
    assert read("langfuse", body, options).events[0]["correlation_id"] == "chat-7"


def test_the_id_may_be_in_the_metadata_and_the_author_is_the_actor():
    body = score(metadata={"rollout": "trace_1"}, authorUserId="ann")
    [event] = read("langfuse", body, {**HELPFUL, "id_path": "@.metadata.rollout"}).events
    assert (event["rollout_id"], event["actor"]) == ("trace_1", "ann")


def test_a_name_that_is_not_declared_is_ignored():
    reading = read("langfuse", score(name="toxicity"), HELPFUL)
    assert reading.events == ()
    assert "'toxicity' is not declared; declared are helpful" in reading.ignored[0]


@pytest.mark.parametrize("value", [1.2, -1, "0.9", True, None])
def test_a_value_outside_the_declared_scale_is_refused(value):
    with pytest.raises(InvalidFeedback):
        read("langfuse", score(value=value), HELPFUL)


def test_a_source_may_leave_out_what_a_model_judged():
    options = {**HELPFUL, "where": {"path": "@.source", "in": ["API", "ANNOTATION"]}}
    assert read("langfuse", score(source="EVAL"), options).events == ()
    assert read("langfuse", score(source="API"), options).events


def test_the_scale_must_be_declared():
    [problem] = ADAPTERS["langfuse"].check({})
    assert (problem.option, problem.message) == ("metrics", "is missing")


def test_the_score_is_its_place_on_the_scale():
    options = {"metrics": {"helpful": {"min": 0, "max": 10, "optimize": "min"}}}
    [event] = parsed(read("langfuse", score(value=9), options))
    assert event.score == pytest.approx(0.1)
