"""What all schemes do with headers: read them strictly, because whoever wrote them is not known
yet. Nothing here raises anything but `InvalidSignature` and `InvalidRequest`.
"""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterable
from datetime import UTC, datetime

from sidecar.errors import InvalidRequest, InvalidSignature
from sidecar.feedback.signatures.base import Delivery

MAX_HEADER = 4096
MAX_SIGNATURES = 16
"""Most signatures of one delivery: one for each secret that is being replaced, and some more."""

_SECONDS = re.compile(r"[1-9][0-9]{0,11}")
_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)


def one(delivery: Delivery, name: str) -> str:
    """The only value of a header, as visible ASCII and spaces."""
    values = delivery.headers.get(name, ())
    if not values or not values[0]:
        raise InvalidSignature(f"the header {name} is missing")
    if len(values) > 1:
        raise InvalidRequest(f"the header {name} is there {len(values)} times")
    value = values[0]
    if len(value) > MAX_HEADER or not (value.isascii() and value.isprintable()):
        raise InvalidRequest(f"the header {name} is too long, or not of visible ASCII characters")
    return value


def unix_seconds(text: str, name: str) -> int:
    """Whole seconds as every sender writes them: no sign, no fraction, no zero in front."""
    if not _SECONDS.fullmatch(text):
        raise InvalidRequest(f"{name} is not a time in Unix seconds")
    return int(text)


def utc(text: str, name: str) -> float:
    """A time such as `2021-03-25T05:09:27Z`, as Unix seconds."""
    try:
        if _UTC.fullmatch(text):
            return datetime.fromisoformat(text[:19]).replace(tzinfo=UTC).timestamp()
    except ValueError:  # the 31st of February
        pass
    raise InvalidRequest(f"{name} is not a time such as 2021-03-25T05:09:27Z")


def check_time(sent: float, now: float, tolerance: float) -> None:
    """Refuse what was signed too long ago to be new, or too far ahead to be true."""
    age = now - sent
    if abs(age) > tolerance:
        where = "ago" if age > 0 else "ahead of this clock"
        raise InvalidSignature(
            f"it was signed {abs(age):.0f} s {where}, more than the {tolerance:g} s that are "
            "allowed: an old delivery, or clocks that disagree"
        )


def check_match(given: Iterable[str], expected: Iterable[str]) -> None:
    """Refuse unless one of the signatures is one that was expected.

    Compares as text, so that there is one way only to write a signature; all with all, so that the
    time taken does not say which was how near.
    """
    candidates = [candidate.encode() for candidate in expected]
    found = [hmac.compare_digest(one.encode(), other) for one in given for other in candidates]
    if not any(found):
        raise no_match()


def no_match() -> InvalidSignature:
    """The same words whatever it was that did not fit."""
    return InvalidSignature(
        "no signature fits: it was made with another secret, or the body was changed on its way"
    )


def hex_mac(algorithm: str, key: bytes, signed: bytes) -> str:
    """HMAC as lower-case hex digits."""
    return hmac.new(key, signed, algorithm).hexdigest()


def base64_mac(key: bytes, signed: bytes) -> str:
    """HMAC-SHA256 as base64."""
    return b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def is_base64(text: str, size: int) -> bool:
    """Whether this is the base64 of so many bytes, in the one way to write it."""
    try:
        plain = b64decode(text, validate=True)
    except Error:
        return False
    return len(plain) == size and b64encode(plain).decode() == text


def shared_secret(secret: str) -> bytes:
    """A secret that is used as its own bytes. Raises `ValueError`."""
    if not secret or secret != secret.strip():
        raise ValueError("is empty, or begins or ends with a space")
    return secret.encode()


def signed_id(signed: bytes) -> str:
    """The id of a delivery that brings none: that of what was signed, so that the same bytes sent
    again are the same delivery."""
    return f"sig_{hashlib.sha256(signed).hexdigest()[:40]}"
