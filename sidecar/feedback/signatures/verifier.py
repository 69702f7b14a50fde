"""What verifies the deliveries of one configured source."""

from dataclasses import dataclass

from sidecar.errors import InvalidSignature
from sidecar.feedback.signatures.base import Delivery, Scheme, Terms
from sidecar.feedback.signatures.registry import NONE, SCHEMES
from sidecar.settings import SourceSettings


@dataclass(frozen=True, slots=True)
class Verifier:
    """A scheme, and what was agreed."""

    scheme: Scheme
    terms: Terms

    @staticmethod
    def of(source: SourceSettings) -> "Verifier":
        """By the settings, which were found right. Raises `ValueError` or `KeyError` otherwise:
        a source without a usable secret must not come into being."""
        scheme = SCHEMES[source.signature]
        keys = tuple(scheme.key(secret.get_secret_value()) for secret in source.secrets)
        if not keys and source.signature != NONE:
            raise ValueError(f"source {source.name!r} has no secret")
        header = source.header.lower() or scheme.header
        return Verifier(scheme, Terms(keys, source.tolerance_seconds, header))

    def verify(self, delivery: Delivery, now: float) -> str | None:
        """The delivery's own id, if it has one. See `Scheme.verify`."""
        try:
            return self.scheme.verify(delivery, self.terms, now)
        except InvalidSignature as error:
            raise InvalidSignature(str(error), challenge=self.scheme.challenge) from None

    def sign(self, body: bytes, now: float, delivery_id: str) -> dict[str, str]:
        """The headers of a delivery of our own making. Raises `ValueError` for a key that cannot
        sign."""
        return self.scheme.sign(body, self.terms, now, delivery_id)
