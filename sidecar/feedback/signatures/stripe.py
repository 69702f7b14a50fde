"""Stripe's way, which many copied: one header with `t={timestamp},v1={hex HMAC-SHA256}` of
`{timestamp}.{body}`. Several `v1` while a secret is being replaced; other versions are passed over.

docs.stripe.com/webhooks, "Verify manually".
"""

import re
from typing import ClassVar

from sidecar.errors import InvalidRequest
from sidecar.feedback.signatures.base import Delivery, Terms
from sidecar.feedback.signatures.reading import (
    MAX_SIGNATURES,
    check_match,
    check_time,
    hex_mac,
    one,
    shared_secret,
    signed_id,
    unix_seconds,
)

_V1 = re.compile(r"[0-9a-f]{64}")


class Stripe:
    """See above."""

    header: ClassVar = "stripe-signature"
    challenge: ClassVar = "Signature"
    sends_secret: ClassVar = False

    def key(self, secret: str) -> bytes:
        """See `Scheme`. Stripe's own begin with `whsec_` too, but are used as they stand."""
        return shared_secret(secret)

    def verify(self, delivery: Delivery, terms: Terms, now: float) -> str:
        """See `Scheme`."""
        timestamp, given = _parts(one(delivery, terms.header), terms.header)
        check_time(unix_seconds(timestamp, f"t in {terms.header}"), now, terms.tolerance)
        signed = _signed(timestamp, delivery.body)
        check_match(given, (hex_mac("sha256", key, signed) for key in terms.keys))
        return signed_id(signed)

    def sign(self, body: bytes, terms: Terms, now: float, delivery_id: str) -> dict[str, str]:  # noqa: ARG002  it has none
        """See `Scheme`."""
        timestamp = str(int(now))
        signature = hex_mac("sha256", terms.keys[0], _signed(timestamp, body))
        return {terms.header: f"t={timestamp},v1={signature}"}


def _signed(timestamp: str, body: bytes) -> bytes:
    return f"{timestamp}.".encode() + body


def _parts(text: str, name: str) -> tuple[str, list[str]]:
    """The time, and the signatures of version 1."""
    parts = [part.partition("=") for part in text.split(",")]
    times = [value for key, _, value in parts if key == "t"]
    given = [value for key, _, value in parts if key == "v1"]
    well_formed = all(equals for _, equals, _ in parts) and all(map(_V1.fullmatch, given))
    if len(times) != 1 or not 1 <= len(given) <= MAX_SIGNATURES or not well_formed:
        raise InvalidRequest(f"{name} is not of the form 't={{time}},v1={{64 hex digits}}'")
    return times[0], given
