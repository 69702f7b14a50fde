"""Keeps secrets out of whatever is written or shown.

Two nets, because each misses what the other catches: values whose *name* says secret, and text
that *looks* like a credential wherever it stands. Both err on the side of hiding. Numbers and
truth values are never hidden, so that `prompt_tokens=12` stays readable.
"""

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "[redacted]"

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_SECRET_WORDS = frozenset(
    {
        "apikey",
        "apikeys",
        "authorization",
        "bearer",
        "cookie",
        "credential",
        "credentials",
        "passwd",
        "password",
        "passwords",
        "secret",
        "secrets",
        "token",
        "tokens",
    }
)

_IN_TEXT = (
    re.compile(
        r"""(?ix) \b (authorization | (?:x-)?api[_-]?key | password | secret | token)
        (["']? \s* [:=] \s* ["']?) (?: (?:bearer|basic|digest) \s+ )? [^\s"',;&}]+"""
    ),
    re.compile(r"(?i)\b(bearer)(\s+)[a-z0-9._~+/=-]{6,}"),
    re.compile(r"()\b(sk[-_])[A-Za-z0-9_-]{6,}"),
    re.compile(r"()\b(v1\.)[A-Za-z0-9_.:~-]+\.[0-9a-f]{64}\b"),  # a feedback token
    re.compile(r"(?i)\b([a-z][a-z0-9+.-]*)(://)[^\s/@]+(?=@)"),
)


def names_secret(name: str) -> bool:
    """Whether a value of this name is a secret: `x-api-key`, `accessToken`, `KEY`; not `key_mode`,
    since `key` counts only as the last word."""
    words = [word.lower() for word in _WORD.findall(name)]
    return bool(words) and (words[-1] in {"key", "keys"} or not _SECRET_WORDS.isdisjoint(words))


def redact_text(text: str) -> str:
    """The text with everything that looks like a credential hidden."""
    for pattern in _IN_TEXT:
        text = pattern.sub(rf"\1\2{HIDDEN}", text)
    return text


def redact(value: Any, name: str = "") -> Any:
    """The value as it may be written: same shape, secrets hidden."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        inherited = name if names_secret(name) else ""
        return {key: redact(item, inherited or str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item, name) for item in value]
    if names_secret(name):
        return HIDDEN if value else value
    return redact_text(value if isinstance(value, str) else repr(value))
