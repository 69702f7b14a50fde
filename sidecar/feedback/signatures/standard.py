"""Standard Webhooks 1.0.0: `webhook-id`, `webhook-timestamp`, `webhook-signature`.

Signed is `{id}.{timestamp}.{body}`: by HMAC-SHA256 (`v1`, secret `whsec_…`) or by Ed25519 (`v1a`,
public key `whpk_…`). The specification: `spec/standard-webhooks.md` of
github.com/standard-webhooks/standard-webhooks. Svix sends the same with `svix-…` as names
(docs.svix.com/receiving/verifying-payloads/how-manual).
"""

import re
from typing import ClassVar

from sidecar.errors import InvalidRequest
from sidecar.feedback.signatures.base import Delivery, Terms
from sidecar.feedback.signatures.reading import (
    MAX_SIGNATURES,
    check_time,
    is_base64,
    no_match,
    one,
    unix_seconds,
)
from sidecar.feedback.signatures.standard_keys import Key, key_of

_ID = re.compile(r"[!-~]{1,256}")
_SIZES = {"v1": 32, "v1a": 64}
"""Bytes of a signature, by version; other versions are passed over, as the specification says."""


class Standard:
    """See above. `header` is what the three names begin with."""

    header: ClassVar = "webhook-"
    challenge: ClassVar = "Signature"
    sends_secret: ClassVar = False

    def key(self, secret: str) -> Key:
        """See `Scheme`."""
        return key_of(secret)

    def verify(self, delivery: Delivery, terms: Terms, now: float) -> str:
        """The webhook id. See `Scheme`."""
        names = [terms.header + part for part in ("id", "timestamp", "signature")]
        own_id, timestamp, signatures = (one(delivery, name) for name in names)
        # A dot would let a part of the id pass for the time, or the other way round.
        if not _ID.fullmatch(own_id) or "." in own_id:
            raise InvalidRequest(f"{names[0]} is not an id: visible characters without a dot")
        check_time(unix_seconds(timestamp, names[1]), now, terms.tolerance)
        given = _signatures(signatures, names[2])
        signed = _signed(own_id, timestamp, delivery.body)
        # A list, so that the time taken does not say which one it was.
        found = [
            key.verifies(signed, signature)
            for key in terms.keys
            for version, signature in given
            if version == key.version
        ]
        if not any(found):
            raise no_match()
        return own_id

    def sign(self, body: bytes, terms: Terms, now: float, delivery_id: str) -> dict[str, str]:
        """See `Scheme`."""
        key: Key = terms.keys[0]
        timestamp = str(int(now))
        signature = key.sign(_signed(delivery_id, timestamp, body))
        return {
            f"{terms.header}id": delivery_id,
            f"{terms.header}timestamp": timestamp,
            f"{terms.header}signature": f"{key.version},{signature}",
        }


def _signed(own_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{own_id}.{timestamp}.".encode() + body


def _signatures(text: str, name: str) -> list[tuple[str, str]]:
    """Version and signature of each; refuses a list in which any is malformed."""
    entries = text.split(" ")
    if len(entries) > MAX_SIGNATURES:
        raise InvalidRequest(f"{name} holds more than {MAX_SIGNATURES} signatures")
    given = []
    for entry in entries:
        version, comma, signature = entry.partition(",")
        size = _SIZES.get(version)
        if not comma or "," in signature or (size and not is_base64(signature, size)):
            raise InvalidRequest(f"{name} is not a list of signatures such as 'v1,…='")
        given.append((version, signature))
    return given
