"""What feedback sources must be like. Secrets are judged and never quoted."""

import re
from collections.abc import Iterator

from pydantic import SecretStr

from sidecar.feedback.adapters.registry import ADAPTERS
from sidecar.feedback.signatures.base import Scheme
from sidecar.feedback.signatures.registry import NONE, SCHEMES
from sidecar.loading.complaint import Complaint
from sidecar.loading.sources import did_you_mean
from sidecar.settings import Settings, SourceSettings

RESERVED = frozenset({"actors", "api", "dead-letters", "session-api", "try"})
"""Sources of our own, and routes beside `/feedback/{name}`."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_SHORT = 16
"""Characters of a secret below which it can be guessed in time."""


def wrong_sources(settings: Settings, may_be_open: bool) -> Iterator[Complaint]:
    """Everything about sources for which we do not start; `may_be_open` says whether deliveries
    may come without any proof."""
    seen: set[str] = set()
    for place, source in enumerate(settings.sources):
        at = f"sources.{place}"
        yield from _name(at, source.name, seen)
        seen.add(_folded(source.name))
        yield from _kind(at, source)
        yield from _signature(at, source, may_be_open)


def doubtful_sources(settings: Settings) -> Iterator[Complaint]:
    """Everything about sources that is worth a warning."""
    for place, source in enumerate(settings.sources):
        if source.signature == NONE:
            yield Complaint(
                f"sources.{place}.signature", "'none': whoever reaches this address is believed"
            )
        if any(len(secret.get_secret_value()) < _SHORT for secret in source.secrets):
            yield Complaint(
                f"sources.{place}.secrets", f"one has less than {_SHORT} characters; can be guessed"
            )


def _folded(name: str) -> str:
    """Names that differ in this only would share a variable of the environment."""
    return name.replace("-", "_")


def _name(at: str, name: str, seen: set[str]) -> Iterator[Complaint]:
    if not _NAME.fullmatch(name):
        yield Complaint(
            f"{at}.name", "needs 1 to 64 of the characters a-z 0-9 _ -, beginning with a-z or 0-9"
        )
    elif name in RESERVED:
        yield Complaint(f"{at}.name", f"{name!r} has another meaning; needs another name")
    elif _folded(name) in seen:
        yield Complaint(f"{at}.name", f"{name!r} is used more than once")


def _kind(at: str, source: SourceSettings) -> Iterator[Complaint]:
    if source.kind not in ADAPTERS:
        known = ", ".join(sorted(ADAPTERS))
        guess = did_you_mean(source.kind, ADAPTERS)
        yield Complaint(f"{at}.kind", f"is not one that there is{guess}; needs one of {known}")
        return
    for problem in ADAPTERS[source.kind].check(source.options):
        name = f"{at}.options.{problem.option}".rstrip(".")
        yield Complaint(name, problem.message, (f"{at}.kind",))


def _signature(at: str, source: SourceSettings, may_be_open: bool) -> Iterator[Complaint]:
    name = f"{at}.signature"
    scheme = SCHEMES.get(source.signature)
    if scheme is None:
        what = (
            f"is not one that there is{did_you_mean(source.signature, SCHEMES)}"
            if source.signature
            else "is missing"
        )
        yield Complaint(name, f"{what}; needs one of {', '.join(SCHEMES)}")
        return
    if source.signature == NONE and not may_be_open:
        yield Complaint(
            name,
            "'none' would believe every machine that reaches this one; choose how deliveries are "
            "signed, listen on 127.0.0.1, or say server.allow_open = true",
            ("server.host", "server.allow_open"),
        )
    yield from _secrets(at, source, scheme)
    yield from _header(at, source, scheme)


def _secrets(at: str, source: SourceSettings, scheme: Scheme) -> Iterator[Complaint]:
    judged_by = (f"{at}.signature",)
    if not source.secrets and source.signature != NONE:
        variable = f"SIDECAR_SOURCES__{_folded(source.name).upper()}__SECRETS"
        yield Complaint(
            f"{at}.secrets", f"is missing; set it, {variable} or {variable}_FILE", judged_by
        )
    for place, secret in enumerate(source.secrets):
        if problem := _unusable(scheme, secret):
            yield Complaint(f"{at}.secrets.{place}", problem, judged_by)


def _unusable(scheme: Scheme, secret: SecretStr) -> str:
    try:
        scheme.key(secret.get_secret_value())
    except ValueError as error:
        return str(error)
    return ""


def _header(at: str, source: SourceSettings, scheme: Scheme) -> Iterator[Complaint]:
    if not source.header:
        return
    if not scheme.header:
        yield Complaint(
            f"{at}.header",
            f"signature {source.signature!r} is always in the same place; leave it out",
            (f"{at}.signature",),
        )
    elif not _HEADER.fullmatch(source.header):
        yield Complaint(f"{at}.header", "is not the name of a header")
