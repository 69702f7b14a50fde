import time

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.prompt import Pattern, Wildcard, substitute

WILDCARDS = [Wildcard("a"), Wildcard("b", required=False)]
PIECES = st.sampled_from(["{a}", "{b}", "{c}", "x", "y", " ", "{", "}", "xy"])
PROMPTS = st.lists(PIECES, max_size=8).map("".join)
TEXTS = st.text(alphabet="xy {}ab\n", max_size=12)


@given(PROMPTS)
def test_parsing_loses_nothing(prompt):
    assert Pattern.parse(prompt, WILDCARDS).text == prompt


@given(PROMPTS, TEXTS)
def test_what_matches_renders_back(prompt, text):
    pattern = Pattern.parse(prompt, WILDCARDS)
    values = pattern.match(text)
    if values is not None:
        assert pattern.render(values).strip() == text.strip()


@given(PROMPTS, st.text(alphabet="123", min_size=1), st.text(alphabet="456"))
def test_what_was_rendered_is_recognised(prompt, a, b):
    pattern = Pattern.parse(prompt, WILDCARDS)
    text = pattern.render({"a": a, "b": b})
    values = pattern.match(text)
    adjacent = "" in pattern.literals[1:-1]
    if not adjacent:
        assert values is not None
        assert pattern.render(values) == text


@given(PROMPTS, PROMPTS, st.lists(TEXTS, max_size=4))
def test_user_content_is_never_touched(baseline, candidate, said):
    pattern = Pattern.parse(baseline, WILDCARDS)
    messages = [{"role": "user", "content": text} for text in said]
    changed = substitute(messages, pattern, Pattern.parse(candidate, WILDCARDS))
    if changed is not None:
        assert [m for m in changed if m["role"] == "user"] == messages


def test_matching_is_linear():
    wildcards = [Wildcard(f"w{i}", required=False) for i in range(20)]
    prompt = "a".join(f"{{w{i}}}" for i in range(20)) + "b"
    began = time.perf_counter()
    assert Pattern.parse(prompt, wildcards).match("a" * 1_000_000) is None
    assert time.perf_counter() - began < 1
