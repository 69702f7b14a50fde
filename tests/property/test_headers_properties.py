from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.headers import HOP_BY_HOP, for_client, for_provider

NAMES = st.sampled_from(
    ["Connection", "X-A", "x-b", "Content-Length", "TE", "Transfer-Encoding", "x-gepa-x", "Date"]
)
VALUES = st.one_of(st.text(max_size=8), st.sampled_from(["x-a", "X-B, close", "content-length"]))
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


@given(HEADERS)
def test_nothing_is_invented_reordered_or_rewritten(headers):
    for passed in (for_provider(headers, frozenset()), for_client(headers, [])):
        rest = iter(headers)
        assert all(header in rest for header in passed)
        assert all(name.lower() not in HOP_BY_HOP for name, _ in passed)


@given(st.lists(st.tuples(st.text(max_size=6), st.text(max_size=6)), max_size=4))
def test_an_answer_can_never_hold_a_line_break(headers):
    for name, value in for_client(headers, []):
        assert not set("\r\n\0") & set(name + value)
        assert name.isascii()


@given(HEADERS)
def test_filtering_twice_is_filtering_once(headers):
    once = for_provider(headers, frozenset())
    assert for_provider(once, frozenset()) == once
