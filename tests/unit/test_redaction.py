"""No secret gets into a log, whichever way it comes."""

import io
import json
import logging

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from sidecar.telemetry import logs
from sidecar.telemetry.redaction import HIDDEN, names_secret, redact, redact_text

SECRET = "hunter2hunter2"


@pytest.fixture(autouse=True)
def restored():
    """Logging is the process's; every test gives it back."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], level = before
    root.setLevel(level)


@pytest.fixture
def lines():
    """Everything logged during the test, as JSON objects."""
    stream = io.StringIO()
    logs.configure("debug", "json", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    "name",
    ["api_key", "KEY", "x-api-key", "apiKeys", "Authorization", "accessToken", "db_password",
     "client_secret", "Set-Cookie", "proposer_api_key", "token_v2"],
)  # fmt: skip
def test_names_of_secrets_are_recognised(name):
    assert names_secret(name)
    assert redact({name: SECRET}) == {name: HIDDEN}


@pytest.mark.parametrize("name", ["key_mode", "monkey", "keepalive", "session", "event", "", "_"])
def test_other_names_are_not(name):
    assert redact({name: "plain"}) == {name: "plain"}


def test_counts_of_tokens_stay_readable():
    usage = {"prompt_tokens": 12, "tokens": None, "token": True}
    assert redact(usage) == usage


@pytest.mark.parametrize(
    "text",
    [
        f"Bearer {SECRET}",
        f"authorization: Bearer {SECRET}",
        f"Authorization=Basic {SECRET}",
        f'{{"x-api-key": "{SECRET}"}}',
        f"api_key={SECRET}&model=x",
        f"password = '{SECRET}'",
        f"Incorrect API key provided: sk-{SECRET}.",
        f"sk-proj-{SECRET}",
        f"https://user:{SECRET}@host/path",
        f"token:{SECRET}",
    ],
)
def test_credentials_inside_text_are_hidden(text):
    assert SECRET not in redact_text(text)
    assert HIDDEN in redact_text(text)


def test_ordinary_text_is_left_alone():
    text = "risk-adjusted prompts; https://host/v1; 3 tokens per second; the bearer of news"
    assert redact_text(text) == text


@given(
    st.recursive(st.just(SECRET), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_a_named_secret_is_hidden_however_deep(value):
    assert SECRET not in json.dumps(redact({"deep": {"api_key": value}}))


def test_shapes_and_plain_values_survive():
    value = {"a": [1, 2.5, None, True, "x"], "b": {"c": ("y",)}}
    assert redact(value) == {"a": [1, 2.5, None, True, "x"], "b": {"c": ["y"]}}


def test_our_events_are_written_as_json_without_secrets(lines):
    structlog.get_logger("ours").info(f"called with sk-{SECRET}", api_key=SECRET, model="m")
    (line,) = lines()
    assert line["level"] == "info"
    assert line["logger"] == "ours"
    assert line["model"] == "m"
    assert line["timestamp"].endswith("Z")
    assert SECRET not in json.dumps(line)


def test_libraries_take_the_same_way_out(lines):
    logging.getLogger("library").warning("header %s", f"Bearer {SECRET}", extra={"token": SECRET})
    (line,) = lines()
    assert line["logger"] == "library"
    assert SECRET not in json.dumps(line)


def test_tracebacks_and_exceptions_are_redacted(lines):
    try:
        int(f"Bearer {SECRET}")
    except ValueError as error:
        structlog.get_logger().exception("failed", error=error)
    (line,) = lines()
    assert "ValueError" in line["exception"]
    assert SECRET not in json.dumps(line)


def test_a_level_below_the_configured_one_is_not_written():
    stream = io.StringIO()
    logs.configure("warning", "text", stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud", why="x")
    assert "quiet" not in stream.getvalue()
    assert "loud" in stream.getvalue()
    assert "\x1b[" not in stream.getvalue()
