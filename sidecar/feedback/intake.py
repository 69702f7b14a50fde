"""Takes events in: resolve, store, acknowledge, attribute; in that order.

What is refused is refused before anything is stored; what is acknowledged is stored. Trouble after
the store has it is ours alone: the event stays accepted, and the attributor's worker carries on.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sidecar.core.feedback import FeedbackEvent
from sidecar.core.rollout import Assignment
from sidecar.errors import Conflict, InvalidFeedback
from sidecar.feedback.attribute import Attributor
from sidecar.settings import FeedbackSettings
from sidecar.store.base import Store, StoreError
from sidecar.telemetry.metrics import Metrics


class Acceptance(StrEnum):
    """What became of an event. All of them mean: it is stored."""

    ACCEPTED = "accepted"
    """Stored; its rollout is known, tying them will be retried."""
    ATTRIBUTED = "attributed"
    PARKED = "parked"
    """Waits for its rollout."""
    DUPLICATE = "duplicate"
    """Received before, with the same content."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """One event's acknowledgement."""

    event_id: str
    status: Acceptance


class Intake:
    """The one way in for feedback, whatever its source."""

    def __init__(
        self,
        store: Store,
        attributor: Attributor,
        settings: FeedbackSettings,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._attributor = attributor
        self._settings = settings
        self._metrics = metrics
        self._clock = clock

    async def accept(self, events: Sequence[FeedbackEvent]) -> list[Accepted]:
        """Store events, all or none, and attribute those whose rollouts are known.

        Raises `InvalidFeedback` for ids that contradict each other, `Conflict` for an event id
        that came before with other content, `StoreError` when nothing could be stored.
        """
        distinct = _distinct(events)
        targets = await self._targets(events)
        park_until = self._clock() + self._settings.park_seconds
        before = dict(
            zip(
                distinct,
                await self._store.add_feedback(list(distinct.values()), park_until),
                strict=True,
            )
        )
        # Side by side, so that a store that commits in groups commits once.
        results = await asyncio.gather(
            *(
                self._settle(event, before[event_id], targets[event_id])
                for event_id, event in distinct.items()
            )
        )
        _refuse_changed(distinct, before)
        return _in_order(events, dict(zip(distinct, results, strict=True)))

    async def _targets(self, events: Sequence[FeedbackEvent]) -> dict[str, Assignment | None]:
        """The rollout of each event, by event id; an error names the event's place."""
        found = await asyncio.gather(
            *(self._attributor.find(event) for event in events), return_exceptions=True
        )
        targets: dict[str, Assignment | None] = {}
        for index, (event, target) in enumerate(zip(events, found, strict=True)):
            if isinstance(target, InvalidFeedback) and len(events) > 1:
                at = f"[{index}]."
                raise InvalidFeedback(f"{at}{target}", param=f"{at}{target.param}")
            if isinstance(target, BaseException):
                raise target
            targets[event.event_id] = target
        return targets

    async def _settle(
        self, event: FeedbackEvent, before: FeedbackEvent | None, target: Assignment | None
    ) -> Acceptance:
        """Attribute a stored event. A duplicate too: its first try may have been cut short."""
        if before is not None and not same(event, before):
            return Acceptance.DUPLICATE
        status = await self._attribute(event, target)
        if before is not None:
            self._count(event, Acceptance.DUPLICATE)
            return status if status is Acceptance.ACCEPTED else Acceptance.DUPLICATE
        self._count(event, Acceptance.ACCEPTED)
        if status is Acceptance.PARKED:
            self._count(event, Acceptance.PARKED)
        return status

    async def _attribute(self, event: FeedbackEvent, target: Assignment | None) -> Acceptance:
        if target is None:
            self._attributor.notice()
            return Acceptance.PARKED
        try:
            await self._attributor.attribute(event, target)
        except StoreError:
            self._attributor.notice()
            return Acceptance.ACCEPTED
        return Acceptance.ATTRIBUTED

    def _count(self, event: FeedbackEvent, outcome: Acceptance) -> None:
        self._metrics.feedback.labels(event.source, outcome.value).inc()


def same(event: FeedbackEvent, stored: FeedbackEvent) -> bool:
    """Whether an event says what the stored one of its id says. When it came does not matter, nor
    that the stored one carries its session and rollout since it was attributed, nor that one from
    before metrics were kept has none."""
    filled = replace(
        event,
        received_at=stored.received_at,
        session_id=event.session_id or stored.session_id,
        rollout_id=event.rollout_id or stored.rollout_id,
        metric=stored.metric and event.metric,
    )
    return filled == stored


def _distinct(events: Sequence[FeedbackEvent]) -> dict[str, FeedbackEvent]:
    """One event per id; a repeated id must be a repeated event."""
    distinct: dict[str, FeedbackEvent] = {}
    for index, event in enumerate(events):
        first = distinct.setdefault(event.event_id, event)
        if replace(event, received_at=first.received_at) != first:
            raise Conflict(
                f"[{index}].event_id {event.event_id} is in this array twice, with other content",
                param=f"[{index}].event_id",
            )
    return distinct


def _refuse_changed(
    events: dict[str, FeedbackEvent], before: dict[str, FeedbackEvent | None]
) -> None:
    changed = [
        event_id
        for event_id, earlier in before.items()
        if earlier is not None and not same(events[event_id], earlier)
    ]
    if changed:
        rest = "nothing was changed" if len(events) == 1 else "the other events are stored"
        raise Conflict(
            f"event_id {changed[0]} was received before with other content; {rest}",
            param="event_id",
        )


def _in_order(events: Sequence[FeedbackEvent], results: dict[str, Acceptance]) -> list[Accepted]:
    """One acknowledgement per event sent; repeats within the array are duplicates."""
    seen: set[str] = set()
    answers = []
    for event in events:
        repeated = event.event_id in seen
        status = Acceptance.DUPLICATE if repeated else results[event.event_id]
        answers.append(Accepted(event.event_id, status))
        seen.add(event.event_id)
    return answers
