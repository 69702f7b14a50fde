"""Zendesk: `X-Zendesk-Webhook-Signature`, base64 of the HMAC-SHA256 of timestamp and body with
nothing between; the time, `X-Zendesk-Webhook-Signature-Timestamp`, is as in `2021-03-25T05:09:27Z`.

developer.zendesk.com/documentation/webhooks/verifying/ and, for the headers,
developer.zendesk.com/documentation/webhooks/anatomy-of-a-webhook-request/.
"""

from datetime import UTC, datetime
from typing import ClassVar

from sidecar.errors import InvalidRequest
from sidecar.feedback.signatures.base import Delivery, Terms
from sidecar.feedback.signatures.reading import (
    base64_mac,
    check_match,
    check_time,
    is_base64,
    one,
    shared_secret,
    signed_id,
    utc,
)

SIGNATURE = "x-zendesk-webhook-signature"
TIMESTAMP = "x-zendesk-webhook-signature-timestamp"
_SIZE = 32


class Zendesk:
    """See above. The time has one form only, so where it ends and the body begins is certain."""

    header: ClassVar = ""
    challenge: ClassVar = "Signature"
    sends_secret: ClassVar = False

    def key(self, secret: str) -> bytes:
        """See `Scheme`. Its secrets look like base64, but are used as they stand."""
        return shared_secret(secret)

    def verify(self, delivery: Delivery, terms: Terms, now: float) -> str:
        """See `Scheme`."""
        signature, timestamp = one(delivery, SIGNATURE), one(delivery, TIMESTAMP)
        if not is_base64(signature, _SIZE):
            raise InvalidRequest(f"{SIGNATURE} is not the base64 of {_SIZE} bytes")
        check_time(utc(timestamp, TIMESTAMP), now, terms.tolerance)
        signed = timestamp.encode() + delivery.body
        check_match([signature], (base64_mac(key, signed) for key in terms.keys))
        return signed_id(signed)

    def sign(self, body: bytes, terms: Terms, now: float, delivery_id: str) -> dict[str, str]:  # noqa: ARG002  Zendesk signs none
        """See `Scheme`."""
        timestamp = datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        signature = base64_mac(terms.keys[0], timestamp.encode() + body)
        return {TIMESTAMP: timestamp, SIGNATURE: signature}
