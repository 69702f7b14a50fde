"""The configured sources: from one verified delivery to events.

An adapter is code for another product's payloads, which change without notice; whatever goes wrong
in it is that delivery's misfortune, and nothing more.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.core.feedback import FeedbackEvent
from sidecar.errors import InvalidRequest, SidecarError
from sidecar.feedback.adapters.base import Adapter, Reading, Webhook
from sidecar.feedback.adapters.registry import ADAPTERS
from sidecar.feedback.parse import MAX_ID, parse
from sidecar.feedback.signatures.base import Delivery
from sidecar.feedback.signatures.verifier import Verifier
from sidecar.settings import Settings

_ROOM = MAX_ID - len(":1000")
"""Characters of a delivery's id that leave room for the number of an event."""


class AdapterFailed(InvalidRequest):
    """The adapter did not foresee this delivery."""

    code = "unreadable_webhook"

    def __init__(self, cause: Exception) -> None:
        super().__init__("this source's adapter cannot read the delivery")
        self.kind = type(cause).__name__
        """Of the error. Its words may quote the delivery, so they go nowhere."""


@dataclass(frozen=True, slots=True)
class Source:
    """One product that sends feedback."""

    name: str
    adapter: Adapter
    options: Mapping[str, Any]
    verifier: Verifier

    def read(
        self,
        delivery: Delivery,
        delivery_id: str | None,
        received_at: float,
        new_id: Callable[[], str],
    ) -> tuple[list[FeedbackEvent], Reading]:
        """The events of a verified delivery, and what the adapter said besides. Events without an
        id of their own have the delivery's, so that the same delivery is the same events.

        Raises `InvalidFeedback` for what this product cannot have sent, `AdapterFailed` for what
        nobody thought of.
        """
        try:
            reading = self.adapter(_as_webhook(delivery, delivery_id), self.options)
            items = _identified(reading.events, delivery_id)
            if not items:
                return [], reading
            at_once: Any = items if len(items) > 1 else items[0]
            events = parse(at_once, source=self.name, received_at=received_at, new_id=new_id)
        except SidecarError:
            raise
        except Exception as error:  # noqa: BLE001  see above
            raise AdapterFailed(error) from None
        return events, reading


def configured(settings: Settings) -> dict[str, Source]:
    """The sources of the settings, by name. Raises as `Verifier.of` does."""
    return {
        one.name: Source(one.name, ADAPTERS[one.kind].read, one.options, Verifier.of(one))
        for one in settings.sources
    }


def _as_webhook(delivery: Delivery, delivery_id: str | None) -> Webhook:
    """What an adapter sees. Few schemes sign a header, so `webhook-id`, by which an adapter may
    know a delivery, is the id that was signed: with another one, a replay would be a new event."""
    headers = {name: values[0] for name, values in delivery.headers.items()}
    if delivery_id is not None:
        headers["webhook-id"] = delivery_id
    return Webhook(headers, delivery.body)


def _identified(events: Sequence[Any], delivery_id: str | None) -> list[Any]:
    """The events, each with an id; what is not an event is left for `parse` to refuse."""
    if delivery_id is None:
        return list(events)
    if len(delivery_id) > _ROOM:
        delivery_id = f"wh_{hashlib.sha256(delivery_id.encode()).hexdigest()}"
    one = len(events) == 1
    return [
        _with_id(event, delivery_id if one else f"{delivery_id}:{number}")
        for number, event in enumerate(events, 1)
    ]


def _with_id(event: Any, own_id: str) -> Any:
    if not isinstance(event, Mapping) or any(event.get(n) is not None for n in ("event_id", "id")):
        return event
    return {**{n: v for n, v in event.items() if n != "id"}, "event_id": own_id}
