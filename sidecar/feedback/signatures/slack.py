"""Slack: `X-Slack-Signature: v0=` and the hex HMAC-SHA256 of `v0:{timestamp}:{body}`, keyed with
the app's signing secret; the time is `X-Slack-Request-Timestamp`.

docs.slack.dev/authentication/verifying-requests-from-slack (formerly
api.slack.com/docs/verifying-requests-from-slack).
"""

import re
from typing import ClassVar

from sidecar.errors import InvalidRequest
from sidecar.feedback.signatures.base import Delivery, Terms
from sidecar.feedback.signatures.reading import (
    check_match,
    check_time,
    hex_mac,
    one,
    shared_secret,
    signed_id,
    unix_seconds,
)

SIGNATURE = "x-slack-signature"
TIMESTAMP = "x-slack-request-timestamp"
_FORM = re.compile(r"v0=[0-9a-f]{64}")


class Slack:
    """See above."""

    header: ClassVar = ""
    challenge: ClassVar = "Signature"
    sends_secret: ClassVar = False

    def key(self, secret: str) -> bytes:
        """See `Scheme`."""
        return shared_secret(secret)

    def verify(self, delivery: Delivery, terms: Terms, now: float) -> str:
        """See `Scheme`. Slack signs each try anew, so only the payload's own id joins them."""
        signature, timestamp = one(delivery, SIGNATURE), one(delivery, TIMESTAMP)
        if not _FORM.fullmatch(signature):
            raise InvalidRequest(f"{SIGNATURE} is not 'v0=' and 64 hex digits")
        check_time(unix_seconds(timestamp, TIMESTAMP), now, terms.tolerance)
        signed = _signed(timestamp, delivery.body)
        check_match([signature], (_signature(key, signed) for key in terms.keys))
        return signed_id(signed)

    def sign(self, body: bytes, terms: Terms, now: float, delivery_id: str) -> dict[str, str]:  # noqa: ARG002  Slack has none
        """See `Scheme`."""
        timestamp = str(int(now))
        return {
            TIMESTAMP: timestamp,
            SIGNATURE: _signature(terms.keys[0], _signed(timestamp, body)),
        }


def _signed(timestamp: str, body: bytes) -> bytes:
    return f"v0:{timestamp}:".encode() + body


def _signature(key: bytes, signed: bytes) -> str:
    return f"v0={hex_mac('sha256', key, signed)}"
