import pytest

from sidecar.core.headers import bearer, for_client, for_provider, is_wellformed


def test_what_belongs_to_a_connection_stays_on_it():
    headers = [
        ("Connection", "keep-alive, X-Secret"),
        ("connection", "x-other"),
        ("X-Secret", "1"),
        ("X-Other", "2"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"),
        ("Proxy-Authorization", "Basic x"),
        ("Host", "me"),
        ("Expect", "100-continue"),
        ("X-Kept", "3"),
    ]
    assert for_provider(headers, frozenset()) == [("X-Kept", "3")]
    answer = for_client(headers, [])
    assert answer == [("Host", "me"), ("Expect", "100-continue"), ("X-Kept", "3")]


def test_framing_cannot_be_named_away():
    headers = [("Connection", "content-length"), ("Content-Length", "3")]
    assert for_provider(headers, frozenset()) == [("Content-Length", "3")]


def test_names_of_ours_are_not_taken_from_clients():
    names = ["x-gepa-rollout-id", "X-Mipro-Candidate-Id", "x-rollout-id", "X-Sidecar-Mode"]
    headers = [(name, "1") for name in names] + [("x-correlation-id", "c")]
    assert for_provider(headers, frozenset()) == [("x-correlation-id", "c")]


def test_ours_replace_the_providers_of_the_same_name():
    passed = for_client([("X-Gepa-Rollout-Id", "a"), ("Date", "d")], [("x-gepa-rollout-id", "b")])
    assert passed == [("Date", "d"), ("x-gepa-rollout-id", "b")]


def test_duplicates_and_order_are_kept():
    headers = [("Set-Cookie", "a=1"), ("X", "1"), ("Set-Cookie", "b=2")]
    assert for_client(headers, []) == headers
    assert for_provider(headers, frozenset({"x"})) == [headers[0], headers[2]]


@pytest.mark.parametrize(
    ("name", "value", "fine"),
    [
        ("x", "tab\tis fine", True),
        ("x", "ümlaut", True),
        ("x", "", True),
        ("x", "a\r\nb: c", False),
        ("x", "a\nb", False),
        ("x", "a\0b", False),
        ("x", "a\x7f", False),
        ("x y", "a", False),
        ("x:y", "a", False),
        ("", "a", False),
        ("x\n", "a", False),
    ],
)
def test_only_what_reads_as_one_header_passes(name, value, fine):
    assert is_wellformed(name, value) is fine
    assert bool(for_client([(name, value)], [])) is fine


@pytest.mark.parametrize(
    ("value", "token"),
    [("Bearer k", "k"), ("bearer  k ", "k"), ("Basic k", ""), ("Bearer", ""), ("", "")],
)
def test_bearer_tokens(value, token):
    assert bearer(value) == token
