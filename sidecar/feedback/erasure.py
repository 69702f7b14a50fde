"""Forgetting an actor: their words go, their name goes, and what they said counts no more.

What was counted is not rubbed out: each event is taken back by a retraction, so the rewards
concerned get a further revision like any other. Doing it again does no harm, and finishes what a
crash cut short.
"""

import hashlib
import os
import time
from collections.abc import Callable

from sidecar.core.feedback import FeedbackEvent, Kind
from sidecar.feedback.intake import Intake
from sidecar.store.base import Secret, Store

SOURCE = "erasure"
_KEY = "erasure_key"
_AT_ONCE = 100


class Eraser:
    """Takes actors out."""

    def __init__(
        self, store: Store, intake: Intake, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._intake = intake
        self._clock = clock

    async def erase(self, actor: str) -> int:
        """Forget an actor; how many events of theirs there were. Raises `StoreError`: then call
        again."""
        events = await self._store.erase_actor(actor, await self._alias(actor))
        now = self._clock()
        retractions = [_retraction(e, now) for e in events if e.kind is not Kind.RETRACTION]
        for start in range(0, len(retractions), _AT_ONCE):
            await self._intake.accept(retractions[start : start + _AT_ONCE])
        return len(retractions)

    async def _alias(self, actor: str) -> str:
        """A name that says nothing, the same every time."""
        made = Secret(_KEY, os.urandom(32), self._clock())
        key = (await self._store.keep_secret(made)).value
        digest = hashlib.blake2b(actor.encode(errors="replace"), key=key, digest_size=12)
        return f"erased-{digest.hexdigest()}"


def _retraction(event: FeedbackEvent, now: float) -> FeedbackEvent:
    digest = hashlib.sha256(event.event_id.encode(errors="replace")).hexdigest()
    return FeedbackEvent(
        event_id=f"erase_{digest[:32]}",
        source=SOURCE,
        kind=Kind.RETRACTION,
        received_at=now,
        session_id=event.session_id,
        rollout_id=event.rollout_id,
        completion_id=event.completion_id,
        correlation_id=event.correlation_id,
        actor=event.actor,
        retracts=event.event_id,
    )
