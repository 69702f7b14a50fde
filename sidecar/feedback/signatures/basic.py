"""No signature, but user and password: `Authorization: Basic …` (RFC 7617). The secret of the
settings is `user:password`. Whoever reads one delivery can write others: for encrypted ways only.
"""

from base64 import b64encode
from typing import ClassVar

from sidecar.errors import InvalidSignature
from sidecar.feedback.signatures.base import Delivery, Terms
from sidecar.feedback.signatures.reading import check_match, one, shared_secret

_AUTHORIZATION = "authorization"


class Basic:
    """See above."""

    header: ClassVar = ""
    challenge: ClassVar = 'Basic realm="feedback"'
    sends_secret: ClassVar = True

    def key(self, secret: str) -> str:
        """See `Scheme`. As it travels, so that nothing that comes needs to be decoded."""
        user, colon, password = secret.partition(":")
        if not (user and colon and password):
            raise ValueError("needs the form user:password")
        return b64encode(shared_secret(secret)).decode()

    def verify(self, delivery: Delivery, terms: Terms, now: float) -> None:  # noqa: ARG002  no time in it
        """See `Scheme`."""
        kind, _, given = one(delivery, _AUTHORIZATION).partition(" ")
        if kind.lower() != "basic":
            raise InvalidSignature("the header authorization is not of the kind Basic")
        check_match([given.strip(" ")], terms.keys)

    def sign(self, body: bytes, terms: Terms, now: float, delivery_id: str) -> dict[str, str]:  # noqa: ARG002  nothing is signed
        """See `Scheme`."""
        return {_AUTHORIZATION: f"Basic {terms.keys[0]}"}
