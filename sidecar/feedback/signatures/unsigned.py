"""No proof at all, said in words (`signature = "none"`): whoever reaches us is believed."""

from typing import Any, ClassVar

from sidecar.feedback.signatures.base import Delivery, Terms


class Unsigned:
    """See above. Where it may be used is the settings' business."""

    header: ClassVar = ""
    challenge: ClassVar = "Signature"
    sends_secret: ClassVar = False

    def key(self, secret: str) -> Any:  # noqa: ARG002  whatever it is
        """See `Scheme`."""
        raise ValueError("is not used with signature 'none'")

    def verify(self, delivery: Delivery, terms: Terms, now: float) -> None:
        """See `Scheme`."""

    def sign(self, body: bytes, terms: Terms, now: float, delivery_id: str) -> dict[str, str]:  # noqa: ARG002  nothing to say
        """See `Scheme`."""
        return {}
