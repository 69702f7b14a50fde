"""`X-Hub-Signature…`: the name of a hash, `=`, and the hex HMAC of the body alone. There is no time
in it, so an old delivery is as good as a new one: what keeps it from counting twice is that the
same body is the same delivery.
"""

import re
from typing import ClassVar

from sidecar.errors import InvalidRequest
from sidecar.feedback.signatures.base import Delivery, Terms
from sidecar.feedback.signatures.reading import (
    check_match,
    hex_mac,
    one,
    shared_secret,
    signed_id,
)


class Hub:
    """A signature over the body, by one hash."""

    challenge: ClassVar = "Signature"
    sends_secret: ClassVar = False

    def __init__(self, header: str, algorithm: str, digits: int) -> None:
        self.header = header
        self._algorithm = algorithm
        self._digits = digits
        self._form = re.compile(rf"{algorithm}=[0-9a-f]{{{digits}}}")

    def key(self, secret: str) -> bytes:
        """See `Scheme`."""
        return shared_secret(secret)

    def verify(self, delivery: Delivery, terms: Terms, now: float) -> str:  # noqa: ARG002  no time in it
        """See `Scheme`."""
        signature = one(delivery, terms.header)
        if not self._form.fullmatch(signature):
            raise InvalidRequest(
                f"{terms.header} is not '{self._algorithm}=' and {self._digits} hex digits"
            )
        check_match([signature], (self._signature(key, delivery.body) for key in terms.keys))
        return signed_id(delivery.body)

    def sign(self, body: bytes, terms: Terms, now: float, delivery_id: str) -> dict[str, str]:  # noqa: ARG002  nothing else
        """See `Scheme`."""
        return {terms.header: self._signature(terms.keys[0], body)}

    def _signature(self, key: bytes, body: bytes) -> str:
        return f"{self._algorithm}={hex_mac(self._algorithm, key, body)}"
