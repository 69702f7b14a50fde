"""Adapters read what strangers send: nothing but `InvalidFeedback` comes out, and no event that the
payload did not hold."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.adapter_laws import changed, obeyed, places
from support.webhooks import SAMPLES, form

from sidecar.feedback.adapters.base import Webhook
from sidecar.feedback.adapters.registry import ADAPTERS

ODD = ("", " ", "\0", "é", "\ud800", "a" * 200, "NaN", "1e999", ".", "..", "::", "up:x", "0", "{}")
LEAVES = (
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False,
    allow_infinity=False) | st.text(max_size=20) | st.sampled_from(ODD)
)  # fmt: skip
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
KINDS = st.sampled_from(sorted(ADAPTERS))
OPTIONS = {sample.kind: sample.options for sample in SAMPLES}
HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "webhook-id", "ce-id", "ce-specversion", "ce-subject"]),
    st.sampled_from(
        ["1.0", "%", "%C0%A0", '"\\"', "application/x-www-form-urlencoded", "\udcff",
         "application/cloudevents+json", "application/cloudevents-batch+json", "x" * 300]
    ),
)  # fmt: skip


@st.composite
def mutated(draw, value):
    """A JSON value with up to three places changed."""
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.sampled_from(list(places(value))))
        value = changed(value, where, draw(st.just(...) | JSON))
    return value


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.kind)
def test_every_documented_payload_obeys_the_laws_and_says_something(sample):
    reading = obeyed(sample.kind, sample.webhook(), sample.options)
    assert reading is not None
    assert reading.events or reading.reply


@settings(max_examples=120)
@given(sample=st.sampled_from(SAMPLES), data=st.data())
def test_a_documented_payload_with_anything_else_in_some_places(sample, data):
    body = data.draw(mutated(sample.body))
    obeyed(sample.kind, sample.webhook(body), sample.options)


@settings(max_examples=80)
@given(sample=st.sampled_from(SAMPLES), data=st.data())
def test_options_that_pass_their_check_never_break_the_reading(sample, data):
    options = data.draw(mutated(sample.options) if sample.options else JSON)
    problems = ADAPTERS[sample.kind].check(options)
    if not problems:
        obeyed(sample.kind, sample.webhook(), options)
    assert all(problem.message for problem in problems)


@settings(max_examples=80)
@given(kind=KINDS, body=JSON, headers=HEADERS, is_form=st.booleans())
def test_arbitrary_json_and_headers(kind, body, headers, is_form):
    raw = form(body) if is_form else json.dumps(body).encode()
    obeyed(kind, Webhook(headers, raw), OPTIONS[kind])


@settings(max_examples=80)
@given(kind=KINDS, raw=st.binary(max_size=60), headers=HEADERS, data=st.data())
def test_arbitrary_bytes(kind, raw, headers, data):
    cut = data.draw(st.sampled_from(SAMPLES)).webhook().body
    place = data.draw(st.integers(0, len(cut)))
    obeyed(
        kind, Webhook(headers, data.draw(st.sampled_from([raw, cut[:place] + raw]))), OPTIONS[kind]
    )


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
@pytest.mark.parametrize("depth", [200, 254, 1000, 100_000])
def test_deep_nesting(kind, depth):
    nested = b"[" * depth + b"]" * depth
    for sample in (one for one in SAMPLES if one.kind == kind):
        flat = json.dumps(sample.body)
        for leaf in ('"thanks"', '"right"', "true", '"quick"', '"Bad"', "7", '"trace_1"'):
            raw = flat.replace(leaf, nested.decode()).encode()
            headers = dict(sample.webhook().headers)
            if sample.is_form:
                raw = form(sample.body).replace(b"trace_1", nested)
            obeyed(kind, Webhook(headers, raw), sample.options)
