"""What is made of a remote session's answers, whatever they look like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.backend import remote_reading as reading
from sidecar.core.prompt import Pattern, Wildcard, locate

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["candidates", "candidate_id", "text", "stage_payloads", "demos", "safety",
                         "pinned", "incumbent_id", "status", "wildcards", "baseline"]),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
DEMO = {"user": "a", "assistant": "b"}
PATTERN = Pattern.parse("Today is {date}.", [Wildcard("date")])


def status(**fields):
    candidates = [
        {"candidate_id": "baseline", "text": "Today is {date}."},
        {"candidate_id": "cand_1", "text": "It is {date}.", "demos": [DEMO]},
        {"candidate_id": "cand_2"},
    ]
    return {"status": "started", "candidates": candidates, **fields}


@given(st.dictionaries(st.text(max_size=12), JSON) | JSON.filter(lambda v: isinstance(v, dict)))
def test_no_answer_is_too_strange(answer):
    reading.texts_of(answer)
    reading.pattern_shown(answer)
    reading.good_prompt(answer, PATTERN)
    reading.pattern_in(answer)
    reading.algorithm_in(answer)
    reading.call_base(answer)
    reading.export_from(reading.completed(answer, "s", "gepa"), None)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"incumbent_id": "cand_1", "best_candidate_id": "baseline"}, "It is {date}."),
        ({"best_candidate_id": "cand_1"}, "It is {date}."),
        ({"incumbent_id": "baseline", "safety": {"pinned": "cand_1"}}, "It is {date}."),
        ({"incumbent_id": "cand_1", "safety": {"pinned": "baseline"}}, None),
        ({"incumbent_id": "baseline", "best_candidate_id": "cand_1"}, None),
        ({"incumbent_id": "cand_2"}, None),
        ({"incumbent_id": "cand_1", "status": "cancelled"}, None),
        ({"incumbent_id": "cand_1", "status": "completed"}, "It is {date}."),
        ({"incumbent_id": "cand_1", "status": "paused"}, "It is {date}."),
        ({}, None),
    ],
)
def test_the_good_prompt_is_what_serves_by_default(fields, text):
    good = reading.good_prompt(status(**fields), PATTERN)
    assert (good and good.text) == text
    if good:
        assert [(demo.user, demo.assistant) for demo in good.demos] == [("a", "b")]


def test_without_a_known_baseline_no_prompt_is_put_into_its_place():
    assert reading.good_prompt(status(incumbent_id="cand_1"), reading.ANY) is None


@pytest.mark.parametrize("system", [None, "anything", "with {date}", "\0"])
def test_while_the_baseline_is_unknown_every_call_is_the_sessions(system):
    messages = [{"role": "system", "content": system}] if system is not None else []
    assert locate([*messages, {"role": "user", "content": "hi"}], reading.ANY) is not None


@pytest.mark.parametrize(
    "candidate",
    [
        {"text": "A\nB"},
        {"stage_payloads": {"x": {"instruction_text": "A\nB"}}},
        {"stage_payloads": {"x": {"instruction_lines": ["A", "B"]}}},
        {"deltas": {"instruction_text": "A\nB"}},
        {"deltas": {"content": "A\nB"}},
        {"baseline_messages": [{"role": "user"}, {"role": "system", "content": "A\nB"}]},
        {"baseline_messages": [{"role": "system", "pattern": "A\nB"}]},
    ],
)
def test_a_prompt_is_found_wherever_the_published_examples_have_it(candidate):
    assert reading.texts_of({"candidates": [{"candidate_id": "c", **candidate}]}) == {"c": "A\nB"}


def test_a_status_that_names_the_wildcards_shows_the_baseline():
    shown = reading.pattern_shown(status(wildcards={"date": "REQUIRED", "note": "OPTIONAL"}))
    assert shown.match("Today is Monday.") == {"date": "Monday"}
    assert reading.pattern_shown(status()) is None


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.example.com/x", ("https", "api.example.com", 443)),
        ("HTTPS://API.example.com:443/x", ("https", "api.example.com", 443)),
        ("http://[::1]:8080", ("http", "::1", 8080)),
        ("ftp://api.example.com", None),
        ("https://api.example.com@evil.example", None),
        ("https://api.example.com/?q=1", None),
        ("https://api.example.com/#x", None),
        ("https://api.example.com:99999/", None),
        ("//api.example.com", None),
        ("https://api.example.com/ x", None),
        ("https://api.example.com/\r\nx: y", None),
    ],
)
def test_an_origin_is_read_as_an_http_client_would_read_it(url, origin):
    assert reading.origin(url) == origin


@pytest.mark.parametrize(
    ("answer", "base"),
    [
        ({"online_url": "http://h/a/"}, "http://h/a"),
        ({"proxy_url": "http://h/a", "online_url": "http://h/b"}, "http://h/b"),
        ({"chat_completions_url": "http://h/a/chat/completions"}, "http://h/a"),
        ({"online_url": 7}, None),
        ({}, None),
    ],
)
def test_where_calls_go_is_taken_from_any_of_the_published_names(answer, base):
    assert reading.call_base(answer) == base
