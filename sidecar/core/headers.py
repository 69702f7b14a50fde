"""Which headers go on, in either direction.

Everything end-to-end passes unchanged. What belongs to one connection (RFC 9110, section 7.6.1,
including whatever `Connection` names) does not; nor do our own names when a client sends them; nor
anything in an answer that could be read as more than one header, because the HTTP client that
parsed it is lenient and the next reader may not be.
"""

import re
from collections.abc import Iterable

Headers = list[tuple[str, str]]

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

_NOT_FORWARDED = HOP_BY_HOP | {"host", "expect"}
"""`Host` names us; `Expect` we have answered ourselves."""

_OURS = ("x-gepa-", "x-mipro-", "x-rollout-", "x-sidecar-")

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def from_raw(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Headers as they were written, capitals included."""
    return [
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
        for name, value in raw
    ]


def for_provider(received: Iterable[tuple[str, str]], without: frozenset[str]) -> Headers:
    """The headers of a client's request that go on to the provider; `without` in lower case."""
    headers = list(received)
    dropped = _NOT_FORWARDED | _connection_named(headers) | without
    return [
        (name, value)
        for name, value in headers
        if (lower := name.lower()) not in dropped and not lower.startswith(_OURS)
    ]


def for_client(received: Iterable[tuple[str, str]], added: Headers) -> Headers:
    """The headers of the provider's answer that go on to the client, and ours in place of any of
    the same name."""
    headers = list(received)
    dropped = HOP_BY_HOP | _connection_named(headers) | {name.lower() for name, _ in added}
    passed = [
        (name, value)
        for name, value in headers
        if name.lower() not in dropped and is_wellformed(name, value)
    ]
    return passed + added


def is_wellformed(name: str, value: str) -> bool:
    """Whether this can only be read as one header."""
    return _NAME.fullmatch(name) is not None and _BAD_VALUE.search(value) is None


def bearer(authorization: str) -> str:
    """The token of an `Authorization: Bearer` value, or an empty string."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _connection_named(headers: Headers) -> frozenset[str]:
    """Names that `Connection` declares to be for this hop. The framing header stays out of its
    reach: a message whose length was named away would run into the next one."""
    named = {
        token.strip().lower()
        for name, value in headers
        if name.lower() == "connection"
        for token in value.split(",")
    }
    return frozenset(named - {"content-length"})
