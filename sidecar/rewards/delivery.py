"""One delivery: read the events, make rewards, tell the session, write down what came of it.

At least once: a reward is marked only after the session took it, so a crash or a lost answer in
between delivers it again, and the session counts each revision once. A delivery of several that is
refused is cut in halves until the one at fault is alone; it becomes a dead letter, the others
arrive.
"""

import asyncio
from collections.abc import Callable, Sequence

from sidecar.backend.base import Backend, Receipt
from sidecar.core.feedback import Reward, merge
from sidecar.errors import (
    Conflict,
    InvalidFeedback,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    SidecarError,
    Unauthorised,
    Unavailable,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from sidecar.rewards.backoff import delay
from sidecar.settings import FeedbackSettings
from sidecar.store.base import DueReward, Store
from sidecar.telemetry.metrics import Metrics

REPORT_SECONDS = 15.0
"""Longest that one report may take: an optimiser that hangs is one that is unavailable."""

_PERMANENT = (InvalidRequest, InvalidFeedback, NotFound, Conflict, PayloadTooLarge)
"""The same delivery would be refused again."""
_OUTAGE = (
    *(Unavailable, UpstreamUnreachable, UpstreamTimeout, Unauthorised),
    *(TimeoutError, OSError),
)
"""Not about these rewards: cutting the delivery would not help."""


class Delivery:
    """Brings due rewards of one session at a time to the optimiser."""

    def __init__(
        self,
        store: Store,
        backend: Backend,
        settings: FeedbackSettings,
        metrics: Metrics,
        *,
        clock: Callable[[], float],
        on_put_off: Callable[[float], None],
    ) -> None:
        self._store = store
        self._backend = backend
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._on_put_off = on_put_off

    async def deliver(self, batch: Sequence[DueReward]) -> None:
        """Deliver rewards of one session. Failures are written down, not raised, save
        `StoreError`: then nothing is certain and all of them stay due."""
        rewards = await self._merged(batch)
        answer = await self._report(batch[0].session_id, rewards)
        if not isinstance(answer, Exception):
            await self._mark(batch, rewards, answer)
        elif len(batch) > 1 and not isinstance(answer, _OUTAGE):
            middle = len(batch) // 2
            await self.deliver(batch[:middle])
            await self.deliver(batch[middle:])
        else:
            await asyncio.gather(*(self._put_off(due, answer) for due in batch))

    async def deliver_one(self, session_id: str, rollout_id: str) -> Receipt:
        """Deliver one reward now and say what came of it. Raises what the session raised; the
        reward stays due unless that was final."""
        due = DueReward(session_id, rollout_id, revision=0, reported=0, attempts=0)
        rewards = await self._merged([due])
        answer = await self._report(session_id, rewards)
        if not isinstance(answer, Exception):
            await self._mark([due], rewards, answer)
            return answer[0]
        await self._put_off(due, answer)
        if isinstance(answer, SidecarError):
            raise answer
        raise Unavailable("the reward is stored and will be counted later") from answer

    async def _merged(self, batch: Sequence[DueReward]) -> list[Reward]:
        events = await asyncio.gather(
            *(self._store.events_of(due.session_id, due.rollout_id) for due in batch)
        )
        return [
            merge(due.session_id, due.rollout_id, of) for due, of in zip(batch, events, strict=True)
        ]

    async def _report(
        self, session_id: str, rewards: Sequence[Reward]
    ) -> list[Receipt] | Exception:
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                return await self._backend.report(session_id, rewards)
        except Exception as error:  # noqa: BLE001  a bug that one reward sets off must not stop the others
            return error

    async def _mark(
        self, batch: Sequence[DueReward], rewards: Sequence[Reward], receipts: Sequence[Receipt]
    ) -> None:
        # All at once, so that a store that commits in groups commits once. What was due when we
        # read is included in what we read.
        await asyncio.gather(
            *(
                self._store.mark_reported(
                    due.session_id, due.rollout_id, max(due.revision, reward.revision)
                )
                for due, reward in zip(batch, rewards, strict=True)
            )
        )
        for receipt in receipts:
            self._count(batch[0].session_id, "counted" if receipt.counted else "duplicate")

    async def _put_off(self, due: DueReward, error: Exception) -> None:
        attempts = due.attempts + 1
        dead = isinstance(error, _PERMANENT) or attempts >= self._settings.max_attempts
        now = self._clock()
        until = now if dead else now + delay(attempts)
        await self._store.put_off(due.session_id, due.rollout_id, until, _said(error), dead=dead)
        self._count(due.session_id, "dead" if dead else "failed")
        if not dead:
            self._on_put_off(until)

    def _count(self, session_id: str, outcome: str) -> None:
        self._metrics.rewards.labels(self._metrics.session(session_id), outcome).inc()


def _said(error: Exception) -> str:
    """What a dead letter says: only our own errors are known to hold no secrets."""
    return str(error) if isinstance(error, SidecarError) else type(error).__name__
