"""Rewards that were given up: list, count, replay."""

from collections.abc import Callable

from sidecar.errors import NotFound
from sidecar.store.base import DeadLetter, Store
from sidecar.telemetry.metrics import Metrics

COUNTED = 10_000
"""The gauge counts no further: by then the number does not matter."""


class DeadLetters:
    """What an operator can see and do about them."""

    def __init__(self, store: Store, metrics: Metrics, on_replay: Callable[[], None]) -> None:
        self._store = store
        self._metrics = metrics
        self._on_replay = on_replay

    async def oldest(self, limit: int) -> list[DeadLetter]:
        """The oldest ones, at most so many."""
        return await self._store.dead_letters(limit)

    async def replay(self, session_id: str, rollout_id: str) -> None:
        """Put one back into the outbox. Raises `NotFound`."""
        if not await self._store.replay(session_id, rollout_id):
            raise NotFound("there is no dead letter for this session_id and rollout_id")
        self._on_replay()
        await self.recount()

    async def recount(self) -> None:
        """Set the gauge. Counted, not tallied: new feedback brings a dead reward back to life."""
        self._metrics.dead_letters.set(len(await self._store.dead_letters(COUNTED)))
