"""The worker that tells sessions what their rollouts were worth.

It sleeps until somebody gives notice, then lets a batch fill up or age, and delivers all that is
due, several sessions side by side, one delivery per session at a time. What was put off wakes it
when its time comes; otherwise it looks into the outbox again and again, because another sidecar
(or this one, before a restart) may have left something there. Of several, the one that leads
delivers.
"""

import asyncio
import heapq
import time
from collections.abc import Callable, Sequence
from weakref import WeakValueDictionary

import structlog

from sidecar.backend.base import Backend, Receipt
from sidecar.rewards.batch import batches
from sidecar.rewards.deadletters import DeadLetters
from sidecar.rewards.delivery import Delivery
from sidecar.settings import FeedbackSettings
from sidecar.store.base import DueReward, Store
from sidecar.store.leadership import Leadership
from sidecar.telemetry.metrics import Metrics

PAGE = 1000
SESSIONS_AT_ONCE = 8
IDLE_SECONDS = 5.0
"""Longest pause without a look into the outbox …"""
SHARED_SECONDS = 0.5
"""… and when other sidecars put things there."""
TROUBLE_SECONDS = 1.0
"""Pause after a pass that the store cut short."""

_log = structlog.get_logger(__name__)


class Reporter:
    """Empties the outbox."""

    def __init__(
        self,
        store: Store,
        backend: Backend,
        settings: FeedbackSettings,
        metrics: Metrics,
        *,
        leadership: Leadership,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._settings = settings
        self._leadership = leadership
        self._clock = clock
        self._retries: list[float] = []
        self._delivery = Delivery(
            store, backend, settings, metrics, clock=clock, on_put_off=self._retry_at
        )
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._pass = asyncio.Lock()
        self._slots = asyncio.Semaphore(SESSIONS_AT_ONCE)
        self._news = 0
        self._noticed = asyncio.Event()
        self._full = asyncio.Event()
        self.dead_letters = DeadLetters(store, metrics, self.notice)
        self._idle = SHARED_SECONDS if store.shared else IDLE_SECONDS
        leadership.on_elected(self.notice)

    def notice(self) -> None:
        """Something has become due."""
        self._news += 1
        self._noticed.set()
        if self._news >= self._settings.batch_size:
            self._full.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            try:
                if self._leadership.leads:
                    await self.deliver_due()
                else:
                    self._leave_it()
            except Exception as error:  # noqa: BLE001  delivery must outlive any store trouble
                _log.warning("rewards will be delivered later", error=repr(error))
                await asyncio.sleep(TROUBLE_SECONDS)
            await self._rest()

    async def deliver_due(self) -> None:
        """One pass: try everything that is due now once. Raises `StoreError`."""
        async with self._pass:
            self._take_note()
            now = self._clock()
            while self._retries and self._retries[0] <= now:
                heapq.heappop(self._retries)
            full = True
            while full:  # a page that is not full is the last: what came since makes a new batch
                due = await self._store.due_rewards(now, PAGE)
                await self._deliver(due)
                full = len(due) == PAGE
            await self.dead_letters.recount()

    def _leave_it(self) -> None:
        """What is due is the leader's, who finds it in the store."""
        self._retries.clear()
        self._take_note()

    def _take_note(self) -> None:
        self._news = 0
        self._noticed.clear()
        self._full.clear()

    async def flush(self) -> None:
        """Before shutdown: everything due is tried once; what fails stays in the outbox, and what
        is another sidecar's to deliver."""
        if self._leadership.leads:
            await self.deliver_due()

    async def report_now(self, session_id: str, rollout_id: str) -> Receipt:
        """Tell a session of one rollout without waiting for a batch; counted when it returns.

        Raises what the session raised; unless that was final, the reward is tried again later.
        """
        async with self._lock(session_id):
            return await self._delivery.deliver_one(session_id, rollout_id)

    async def _deliver(self, due: Sequence[DueReward]) -> None:
        per_session: dict[str, list[tuple[DueReward, ...]]] = {}
        for batch in batches(due, self._settings.batch_size, self._settings.max_attempts):
            per_session.setdefault(batch[0].session_id, []).append(batch)
        outcomes = await asyncio.gather(
            *(self._deliver_session(session, of) for session, of in per_session.items()),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _deliver_session(self, session_id: str, of: Sequence[tuple[DueReward, ...]]) -> None:
        async with self._slots:
            for batch in of:
                async with self._lock(session_id):
                    await self._delivery.deliver(batch)

    def _lock(self, session_id: str) -> asyncio.Lock:
        return self._locks.setdefault(session_id, asyncio.Lock())

    def _retry_at(self, until: float) -> None:
        heapq.heappush(self._retries, until)

    async def _rest(self) -> None:
        """Until something is due and its batch has filled up or aged."""
        idle = self._idle
        if self._retries:
            idle = min(idle, max(0.0, self._retries[0] - self._clock()))
        if await _happens(self._noticed, idle):
            await _happens(self._full, self._settings.batch_seconds)


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, so long at most; whether it came."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
