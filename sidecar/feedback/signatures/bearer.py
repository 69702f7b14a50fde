"""No signature, but the secret itself: `Authorization: Bearer …` (RFC 6750), or alone in a header
of its own, such as `X-API-Key`. Whoever reads one delivery can write others: for encrypted ways
only.
"""

from typing import ClassVar

from sidecar.errors import InvalidSignature
from sidecar.feedback.signatures.base import Delivery, Terms
from sidecar.feedback.signatures.reading import check_match, one, shared_secret

_AUTHORIZATION = "authorization"


class Bearer:
    """See above."""

    header: ClassVar = _AUTHORIZATION
    challenge: ClassVar = "Bearer"
    sends_secret: ClassVar = True

    def key(self, secret: str) -> str:
        """See `Scheme`."""
        if not (secret.isascii() and secret.isprintable()):
            raise ValueError("holds characters that no header can carry")
        return shared_secret(secret).decode()

    def verify(self, delivery: Delivery, terms: Terms, now: float) -> None:  # noqa: ARG002  no time in it
        """See `Scheme`."""
        given = one(delivery, terms.header)
        if terms.header == _AUTHORIZATION:
            kind, _, given = given.partition(" ")
            if kind.lower() != "bearer":
                raise InvalidSignature("the header authorization is not of the kind Bearer")
            given = given.strip(" ")
        check_match([given], terms.keys)

    def sign(self, body: bytes, terms: Terms, now: float, delivery_id: str) -> dict[str, str]:  # noqa: ARG002  nothing is signed
        """See `Scheme`."""
        key: str = terms.keys[0]
        return {terms.header: f"Bearer {key}" if terms.header == _AUTHORIZATION else key}
