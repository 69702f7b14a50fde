"""What a way of signing is: who sent a delivery, decided from its bytes, the shared secrets and the
time. No I/O, no clock, no randomness.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook, as it came."""

    headers: Mapping[str, Sequence[str]]
    """By lower-case name, every value: a header that is there twice is no evidence."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Terms:
    """What was agreed with the sender."""

    keys: tuple[Any, ...] = field(repr=False)
    """As the scheme's `key` made them; any of them will do, so that a secret can be replaced."""
    tolerance: float
    """Seconds that a delivery may be older or newer than our clock, where it says its time."""
    header: str
    """Where the signature is, in lower case: the scheme's own `header` unless the settings name
    another."""


class Scheme(Protocol):
    """One way of signing."""

    @property
    def header(self) -> str:
        """The header with the signature, in lower case; empty when it cannot be another one."""

    @property
    def challenge(self) -> str:
        """What `WWW-Authenticate` says to those who showed nothing."""

    @property
    def sends_secret(self) -> bool:
        """Whether a delivery carries the secret itself instead of a signature made with it."""

    def key(self, secret: str) -> Any:
        """What a secret of the settings is used as. Raises `ValueError` for one that cannot be
        used, in words that follow the setting's name and do not hold the secret."""

    def verify(self, delivery: Delivery, terms: Terms, now: float) -> str | None:
        """The delivery's own id: what is the same, and signed, whenever the same delivery is sent
        again; None where nothing is signed. `now` in Unix seconds.

        Raises `InvalidSignature` for a delivery that is not the sender's or not of this time, and
        `InvalidRequest` for one that no sender would write.
        """

    def sign(self, body: bytes, terms: Terms, now: float, delivery_id: str) -> dict[str, str]:
        """The headers that a sender adds, with the first key. Raises `ValueError` for a key that
        can only verify."""
