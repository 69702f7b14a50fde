"""`sidecar feedback try`: what a payload would become, or one line that says why not."""

import io
import json
import sys
from types import SimpleNamespace

import pytest
from support.webhooks import CLOUDEVENT, SLACK_CHALLENGE, SLACK_CLICK, TENSORZERO, form

from sidecar.cli import main


@pytest.fixture
def tried(tmp_path, capsys):
    """Runs the command on a body: exit code, output, errors."""

    def run(body, *arguments):
        file = tmp_path / "payload"
        file.write_bytes(body if isinstance(body, bytes) else json.dumps(body).encode())
        code = main(["feedback", "try", str(file), *arguments])
        written = capsys.readouterr()
        return code, written.out, written.err

    return run


RATED = {"episode_id": "e1", "metric_name": "rating", "value": 4, "tags": {"user_id": "u1"}}
SCALE = ("--option", "metrics.rating.min=1", "--option", "metrics.rating.max=5")


def test_a_configured_source_is_tried_with_its_own_options(tried, tmp_path):
    config = tmp_path / "sidecar.toml"
    config.write_text(
        """
        [[sources]]
        name = "stars"
        kind = "tensorzero"
        signature = "bearer"
        secrets = ["0123456789abcdef0123456789abcdef"]
        options = { metrics = { rating = { min = 1, max = 5 } } }
        """
    )
    code, out, _ = tried(RATED, "--source", "stars", "--config", str(config))
    assert code == 0
    assert "0.750" in out
    code, _, said = tried(RATED, "--source", "unheard-of", "--config", str(config))
    assert code == 1
    assert "unheard-of" in said


def test_people_see_what_it_is_about_what_it_says_and_who_said_it(tried):
    code, out, _ = tried(RATED, "--source", "tensorzero", *SCALE)
    assert code == 0
    assert out.splitlines()[:2] == [
        "event  about           says    score  actor",
        "(new)  correlation e1  rating  0.750  u1",
    ]
    assert "answers: 200 application/json" in out


def test_programs_get_the_events_what_was_ignored_and_the_reply(tried):
    code, out, _ = tried(RATED, "--source", "tensorzero", "--json", *SCALE)
    shown = json.loads(out)
    assert code == 0
    assert shown["events"][0]["rating"] == {"value": 4.0, "min": 1, "max": 5}
    assert shown["events"][0]["score_in_0_1"] == 0.75
    assert shown["ignored"] == []
    assert shown["reply"]["status"] == 200


def test_what_is_ignored_is_shown_with_its_reason(tried):
    code, out, _ = tried(TENSORZERO, "--source", "tensorzero")
    assert code == 0
    assert "ignored: metric 'draft_accepted' is not declared" in out


def test_options_may_come_from_a_file(tried, tmp_path):
    file = tmp_path / "options.toml"
    file.write_text('[actions]\nhelpful = 1\n[reactions]\n"+1" = 1\n')
    code, out, _ = tried(form(SLACK_CLICK), "--source", "slack", "--options", str(file))
    assert code == 0
    assert "trace_1" in out


def test_a_header_may_be_given_and_a_value_that_is_not_toml_is_text(tried):
    code, out, _ = tried(
        CLOUDEVENT,
        *("--source", "cloudevents", "--header", "Content-Type: application/cloudevents+json"),
        *("--option", "subject_kind=rollout_id", "--option", 'types=["com.example.feedback"]'),
    )
    assert code == 0
    assert "rollout trace_1" in out
    assert "comment: too long" in out


def test_the_answer_to_a_challenge_is_shown(tried):
    _, out, _ = tried(SLACK_CHALLENGE, "--source", "slack", "--option", "reactions={ok=1}")
    assert out == f"answers: 200 text/plain {SLACK_CHALLENGE['challenge']}\n"


def test_the_body_may_come_from_standard_input(monkeypatch, capsys):
    body = io.BytesIO(b'{"rollout_id": "r", "comment": "a\\u001b[2Jb"}')
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=body))
    assert main(["feedback", "try", "-", "--source", "generic"]) == 0
    assert "comment: a [2Jb" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "arguments", "words"),
    [
        (b"{", ["--source", "generic"], "not valid JSON"),
        ({**RATED, "value": 6}, ["--source", "tensorzero", *SCALE], "between min and max"),
        ({"rollout_id": "r"}, ["--source", "generic"], "thumbs is missing"),
        (RATED, ["--source", "tensor"], "'tensor' is not a kind of source"),
        (RATED, ["--source", "slack"], "reactions is missing"),
        (RATED, ["--source", "langfuse"], "the options of langfuse: metrics is missing"),
        (RATED, ["--source", "generic", "--option", "types"], "must be K=V"),
        (RATED, ["--source", "generic", "--option", "a b=1"], "not TOML"),
        (RATED, ["--source", "generic", "--options", "/nowhere.toml"], "nowhere.toml"),
        (RATED, ["--source", "generic", "--header", "x"], "name: value"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tried, body, arguments, words):
    code, out, err = tried(body, *arguments)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert words in err
