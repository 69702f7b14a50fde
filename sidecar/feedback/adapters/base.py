"""What an adapter is: a pure function from one verified webhook to events in our own grammar.

An adapter writes what `POST /feedback` takes, and `feedback.parse` reads it: so there is one place
that knows what a possible event is. It declares its scales, guesses none, and names what it leaves
out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Webhook:
    """One delivery, after its signature was verified."""

    headers: Mapping[str, str]
    """By lower-case name; of a repeated header the first."""
    body: bytes
    """As it came: what was signed."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a product wants to hear instead of our acknowledgement."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Reading:
    """What a delivery amounts to."""

    events: tuple[Mapping[str, Any], ...] = ()
    """Objects of the grammar of `POST /feedback`, in order."""
    ignored: tuple[str, ...] = ()
    """What was not feedback, and why: for the log and for `sidecar feedback try`."""
    reply: Reply | None = None
    """None: the usual acknowledgement."""


class Adapter(Protocol):
    """Reads the webhooks of one product."""

    def __call__(self, webhook: Webhook, options: Mapping[str, Any]) -> Reading:
        """What this delivery says. `options` are the source's own settings, checked at the start
        by the adapter's `check`. Raises `InvalidFeedback` for one that this product cannot have
        sent; what is merely not feedback is ignored."""
