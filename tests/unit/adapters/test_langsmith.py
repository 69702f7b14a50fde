"""LangSmith feedback: the fields after docs.langchain.com/langsmith/feedback-data-format and the
create call, docs.langchain.com/langsmith/smith-api/feedback/create-feedback. Rule webhooks after
docs.langchain.com/langsmith/webhooks."""

import pytest
from support.webhooks import HELPFUL, LANGSMITH, read

from sidecar.errors import InvalidFeedback


def feedback(**fields):
    return {**LANGSMITH, **fields}


def test_a_feedback_with_a_score():
    assert read("langsmith", LANGSMITH, HELPFUL).events == (
        {
            "rollout_id": "cafe0000-0000-0000-0000-00000000aaaa",
            "comment": "right",
            "rating": {"value": 1.0, "min": 0, "max": 1},
            "actor": "u7",
            "details": {"metric": "helpful"},
            "event_id": "langsmith:a36092d2-4ad5-4fb4-9c0d-0dba9a2ed836/2026-10-02T00:00:00.000000",
        },
    )


def test_without_a_trace_the_run_is_what_it_is_about():
    [event] = read("langsmith", feedback(trace_id=None), HELPFUL).events
    assert event["rollout_id"] == LANGSMITH["run_id"]


def test_a_boolean_score():
    options = {"metrics": {"helpful": {"boolean": True}}}
    assert read("langsmith", feedback(score=True), options).events[0]["score"] == 1.0


def test_a_categorical_value_comes_before_its_number():
    options = {"metrics": {"helpful": {"values": {"good": 1, "bad": 0}}}}
    body = feedback(score=0, value="good")
    assert read("langsmith", body, options).events[0]["score"] == 1.0


def test_a_correction_is_kept_as_text_or_as_json():
    body = feedback(score=None, comment=None, correction={"answer": "Yes."})
    [event] = read("langsmith", body, HELPFUL).events
    assert event["correction"] == '{"answer":"Yes."}'
    [event] = read("langsmith", feedback(correction="Yes."), HELPFUL).events
    assert event["correction"] == "Yes."


@pytest.mark.parametrize("correction", [True, 1, -0.5])
def test_a_correction_is_text_or_an_object(correction):
    with pytest.raises(InvalidFeedback, match="correction must be text or an object"):
        read("langsmith", feedback(correction=correction), HELPFUL)


def test_an_update_is_a_new_event():
    first = read("langsmith", LANGSMITH, HELPFUL).events[0]["event_id"]
    later = feedback(score=0, modified_at="2026-10-03T00:00:00")
    assert read("langsmith", later, HELPFUL).events[0]["event_id"] != first
    bare = feedback(modified_at=None, created_at=None)
    assert (
        read("langsmith", bare, HELPFUL).events[0]["event_id"]
        != read("langsmith", {**bare, "score": 0}, HELPFUL).events[0]["event_id"]
    )


def test_a_rules_webhook_brings_averages_only():
    body = {"rule_id": "r", "start_time": "t", "end_time": "t", "runs": [], "feedback_stats": {}}
    reading = read("langsmith", body, HELPFUL)
    assert reading.events == ()
    assert "averages" in reading.ignored[0]


def test_what_says_nothing_or_is_not_declared_is_ignored():
    silent = feedback(score=None, comment=None)
    reading = read("langsmith", [silent, feedback(key="toxicity"), LANGSMITH], HELPFUL)
    assert len(reading.events) == 1
    assert len(reading.ignored) == 2


def test_feedback_on_a_project_is_about_no_rollout():
    reading = read("langsmith", feedback(run_id=None, trace_id=None), HELPFUL)
    assert "@.trace_id or @.run_id" in reading.ignored[0]


@pytest.mark.parametrize("score", [2, "1", True])
def test_a_score_outside_the_declared_scale_is_refused(score):
    with pytest.raises(InvalidFeedback):
        read("langsmith", feedback(score=score), HELPFUL)
