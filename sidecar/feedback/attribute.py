"""Ties events to rollouts: at once where possible, later where the rollout is not known yet.

A thumb may overtake the answer it is about (another process, a retried webhook, a slow disk), so an
event with unknown ids is parked and tried again: after a nudge, and every few seconds. A sweep goes
through all that wait, so its pace adapts: it never takes more than a tenth of the time. Of several
sidecars, the one that leads sweeps.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from sidecar.core.feedback import FeedbackEvent
from sidecar.core.rollout import Assignment
from sidecar.errors import InvalidFeedback
from sidecar.feedback.resolve import resolve
from sidecar.settings import FeedbackSettings
from sidecar.store.base import Store
from sidecar.store.leadership import Leadership
from sidecar.telemetry.metrics import Metrics

PAGE = 500
EVERY_SECONDS = 2.0
"""Longest that a parked event waits for a sweep when nobody gave notice."""
PAUSE_SECONDS = 0.1
"""Shortest pause between sweeps, however often notice is given."""
PAUSE_PER_SECOND = 9.0
"""Pause after a sweep, per second that it took."""

_log = structlog.get_logger(__name__)


class Attributor:
    """Finds the rollout of each event and records the finding."""

    def __init__(
        self,
        store: Store,
        settings: FeedbackSettings,
        metrics: Metrics,
        on_attributed: Callable[[], None],
        *,
        leadership: Leadership,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._leadership = leadership
        self._on_attributed = on_attributed
        self._clock = clock
        self._noticed = asyncio.Event()
        self._waiting = False

    async def find(self, event: FeedbackEvent) -> Assignment | None:
        """The rollout an event is about, None if not known yet. Raises `InvalidFeedback` for ids
        that contradict each other or leave a choice."""
        rollout_id = event.rollout_id or event.correlation_id
        by_rollout, by_completion, by_text = [], [], []
        if rollout_id is not None:
            by_rollout = await self._store.locate(rollout_id=rollout_id)
        if event.completion_id is not None:
            by_completion = await self._store.locate(completion_id=event.completion_id)
        if event.fingerprint is not None:
            by_text = await self._store.locate(fingerprint=event.fingerprint)
        return resolve(event, by_rollout, by_completion, by_text)

    async def attribute(self, event: FeedbackEvent, to: Assignment) -> bool:
        """Tie a stored event to a rollout; False if that had happened before."""
        if not await self._store.attribute(event.event_id, to.session_id, to.rollout_id):
            return False
        self._metrics.feedback.labels(event.source, "attributed").inc()
        self._on_attributed()
        return True

    def notice(self) -> None:
        """New rollouts or events may have come: sweep soon."""
        self._noticed.set()

    def turn_settled(self) -> None:
        """A turn was recorded: whoever waits may be waiting for that one."""
        if self._waiting:
            self._noticed.set()

    async def sweep(self, now: float) -> int:
        """Try all waiting events once, then give up on those that waited too long. Returns how
        many found their rollout."""
        attributed, tried, after = 0, 0, ""
        while page := await self._store.waiting_feedback(PAGE, after):
            attributed += sum(await asyncio.gather(*map(self._retry, page)))
            tried += len(page)
            after = page[-1].event_id
        self._waiting = tried > attributed
        expired = await self._store.expire_feedback(now)
        self._metrics.feedback.labels("any", "expired").inc(expired)
        return attributed

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            self._noticed.clear()
            began = time.monotonic()
            try:
                if self._leadership.leads:
                    await self.sweep(self._clock())
            except Exception as error:  # noqa: BLE001  attribution must outlive any store trouble
                _log.warning("attribution will be retried", error=repr(error))
            await self._rest(time.monotonic() - began)

    async def _retry(self, event: FeedbackEvent) -> bool:
        try:
            found = await self.find(event)
        except InvalidFeedback:  # it was acknowledged, so it waits and expires like any other
            return False
        return found is not None and await self.attribute(event, found)

    async def _rest(self, took: float) -> None:
        await asyncio.sleep(PAUSE_SECONDS + PAUSE_PER_SECOND * took)
        try:
            async with asyncio.timeout(EVERY_SECONDS):
                await self._noticed.wait()
        except TimeoutError:
            return
