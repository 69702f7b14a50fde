"""Slack: docs.slack.dev/reference/interaction-payloads/block_actions-payload (buttons),
docs.slack.dev/reference/block-kit/block-elements/feedback-buttons-element,
docs.slack.dev/reference/events/reaction_added and reaction_removed,
docs.slack.dev/reference/events/url_verification."""

import copy

import pytest
from support.webhooks import (
    REACTIONS,
    SLACK_CHALLENGE,
    SLACK_CLICK,
    SLACK_REACTION,
    form,
    parsed,
    read,
)

from sidecar.core.feedback import merge
from sidecar.errors import InvalidFeedback
from sidecar.feedback.adapters.base import Reading
from sidecar.feedback.adapters.registry import ADAPTERS

FORM = {"content_type": "application/x-www-form-urlencoded"}
BUTTON = {"actions": {"helpful": 1, "useless": 0}, "id_kind": "rollout_id"}
CHOICES = {"actions": {"helpful": {"up": 1, "down": 0}}}


def click(value="trace_1", **fields):
    body = copy.deepcopy(SLACK_CLICK)
    body["actions"][0] |= {"value": value, **fields}
    return form(body)


def reaction(kind="reaction_added", event_id="Ev123ABC456", **fields):
    body = copy.deepcopy(SLACK_REACTION)
    body["event_id"] = event_id
    body["event"] |= {"type": kind, **fields}
    return body


def test_a_click_on_a_button_that_carries_our_id():
    reading = read("slack", click(), BUTTON, **FORM)
    assert reading.events == (
        {
            "rollout_id": "trace_1",
            "score": 1.0,
            "actor": "UA8RXUSPL",
            "event_id": "slack:UA8RXUSPL/1548426417.840180/helpful/trace_1",
        },
    )
    assert (reading.reply.status, reading.reply.body) == (200, b"")


def test_a_button_without_a_value_is_about_its_message():
    [event] = read("slack", click(value=None), {"actions": {"helpful": 1}}, **FORM).events
    assert event["correlation_id"] == "slack:CBR2V3XEX:1548261231.000200"


@pytest.mark.parametrize(
    ("value", "score", "about"),
    [
        ("up:trace_1", 1.0, "trace_1"),
        ("down:slack:C:1", 0.0, "slack:C:1"),
        ("down", 0.0, "slack:CBR2V3XEX:1548261231.000200"),
    ],
)
def test_feedback_buttons_say_their_choice_in_the_value(value, score, about):
    [event] = read("slack", click(value, type="feedback_buttons"), CHOICES, **FORM).events
    assert (event["score"], event["correlation_id"]) == (score, about)


def test_a_choice_that_is_not_declared_is_refused():
    with pytest.raises(InvalidFeedback, match="'maybe'"):
        read("slack", click("maybe:trace_1"), CHOICES, **FORM)


def test_another_button_is_ignored_but_answered():
    reading = read("slack", click(action_id="menu"), BUTTON, **FORM)
    assert reading.events == ()
    assert "'menu'" in reading.ignored[0]
    assert reading.reply.status == 200


def test_a_button_in_a_view_without_an_id_is_about_nothing():
    body = copy.deepcopy(SLACK_CLICK)
    body["container"] = {"type": "view", "view_id": "V1"}
    del body["actions"][0]["value"]
    assert read("slack", form(body), BUTTON, **FORM).events == ()


def test_a_reaction_is_about_its_message():
    assert read("slack", SLACK_REACTION, REACTIONS).events == (
        {
            "correlation_id": "slack:C123ABC456:1360782400.498405",
            "actor": "U123ABC456",
            "score": 1.0,
            "event_id": "slack:T123ABC456/C123ABC456/1360782400.498405/U123ABC456/thumbsup",
        },
    )


def test_skin_tones_are_the_same_reaction():
    assert read("slack", reaction(reaction="thumbsup::skin-tone-3"), REACTIONS).events


@pytest.mark.parametrize("added_first", [True, False])
def test_taking_a_reaction_away_takes_back_that_one_in_any_order(added_first):
    up = read("slack", reaction(), REACTIONS)
    down = read("slack", reaction(event_id="Ev2", reaction="thumbsdown"), REACTIONS)
    removed = read("slack", reaction("reaction_removed", "Ev3"), REACTIONS)
    order = [up, removed, down] if added_first else [removed, down, up]
    said = parsed(Reading(tuple(event for one in order for event in one.events)))
    assert merge("s", "r", said).value == 0.0


def test_a_redelivered_reaction_is_the_same_event():
    again = reaction(event_ts="9")
    assert read("slack", again, REACTIONS) == read("slack", SLACK_REACTION, REACTIONS)


@pytest.mark.parametrize(
    "fields",
    [
        {"reaction": "eyes"},
        {"user": "U222222222"},
        {"item": {"type": "file", "file": "F123ABC456"}},
        {"kind": "message"},
    ],
)
def test_what_is_not_a_users_vote_is_ignored(fields):
    reading = read("slack", reaction(**fields), REACTIONS)
    assert reading.events == ()
    assert reading.ignored


def test_the_challenge_is_answered_with_its_own_text():
    reading = read("slack", SLACK_CHALLENGE, REACTIONS)
    assert (reading.events, reading.reply.status) == ((), 200)
    assert reading.reply.content_type == "text/plain"
    assert reading.reply.body == SLACK_CHALLENGE["challenge"].encode()


@pytest.mark.parametrize(
    "body",
    [
        b"payload=%7B",
        b"payload=%FF",
        b"payload=",
        b"payload={}&payload={}",
        b"x=1",
        b"a&" * 50,
        b"\xff",
    ],
)
def test_a_form_that_is_none_is_refused(body):
    with pytest.raises(InvalidFeedback):
        read("slack", body, BUTTON, **FORM)


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({}, "reactions"),
        ({"reactions": {"+1": 2}}, "reactions.+1"),
        ({"actions": {"a": "up"}}, "actions.a"),
        ({"actions": {"a": {"up": True}}}, "actions.a.up"),
        ({"actions": []}, "actions"),
    ],
)
def test_options_must_give_scores(options, where):
    [problem] = ADAPTERS["slack"].check(options)
    assert problem.option == where
