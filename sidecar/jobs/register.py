"""All jobs, as the store has them: whoever asks, on whichever sidecar, is told the same."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import structlog

from sidecar.core.job import JobEvent, JobKind, JobRecord, JobState, JobStatus
from sidecar.errors import Conflict, NotFound
from sidecar.store.base import Store
from sidecar.telemetry.metrics import Metrics

_END = "job.end"
"""The key of whichever event ends a job: there is only one."""

log = structlog.get_logger()

Outcome = tuple[JobStatus, str, Mapping[str, Any]]
"""How a job ends: its last status, a message and data."""
_ENDS = {
    JobStatus.SUCCEEDED: "job.completed",
    JobStatus.FAILED: "job.failed",
    JobStatus.CANCELLED: "job.cancelled",
}


class Register:
    """What was asked for, and what has happened to it."""

    def __init__(self, store: Store, clock: Callable[[], float], metrics: Metrics) -> None:
        """`clock` gives Unix seconds."""
        self.store = store
        self.clock = clock
        self._metrics = metrics
        self._records: dict[str, JobRecord] = {}
        self._watchers: dict[str, set[asyncio.Event]] = {}

    # -- what there is --------------------------------------------------------------------------

    async def learn(self) -> None:
        """Read the jobs that were made elsewhere. Raises `StoreError`."""
        if await self.store.job_count() != len(self._records):
            self._records = {record.job_id: record for record in await self.store.jobs()}

    @property
    def known(self) -> list[JobRecord]:
        """The jobs that we have heard of, oldest first."""
        return list(self._records.values())

    async def records(self, kind: JobKind | None = None) -> list[JobRecord]:
        """All jobs, of one kind if that is given, oldest first. Raises `StoreError`."""
        if self.store.shared:
            await self.learn()
        return [record for record in self.known if kind in {None, record.kind}]

    async def find(self, job_id: str) -> JobRecord | None:
        """What was asked for under this id. Raises `StoreError`."""
        if job_id not in self._records and self.store.shared:
            await self.learn()
        return self._records.get(job_id)

    async def record(self, job_id: str) -> JobRecord:
        """The same; raises `NotFound`."""
        found = await self.find(job_id)
        if found is None:
            raise NotFound(f"there is no job {job_id!r}", param="job_id")
        return found

    async def state(self, job_id: str) -> JobState:
        """How it stands. Raises `NotFound`, `StoreError`."""
        record = await self.record(job_id)
        return JobState.of(await self.store.last_events(job_id, record.telling))

    async def unfinished(self, job_id: str) -> JobState:
        """The same; raises `Conflict` when it has ended."""
        state = await self.state(job_id)
        if state.status.final:
            raise Conflict(f"job {job_id!r} has ended: {state.status}", param="job_id")
        return state

    async def events(
        self, job_id: str, after: int, limit: int, whats: Sequence[str] = ()
    ) -> list[JobEvent]:
        """Events after the number `after`, in order; `whats` are the ends of the types that are
        wanted, none for all. Raises `NotFound`, `StoreError`."""
        types = (await self.record(job_id)).types(*whats)
        return await self.store.job_events(job_id, after, limit, types)

    async def newest(self, job_id: str, what: str) -> JobEvent | None:
        """The newest event of `{family}.{what}`. Raises `NotFound`, `StoreError`."""
        types = (await self.record(job_id)).types(what)
        return next(iter(await self.store.last_events(job_id, types)), None)

    # -- what happens ---------------------------------------------------------------------------

    async def add(self, record: JobRecord) -> None:
        """Take a new job in. Raises `StoreError`."""
        await self.store.add_job(record)
        self._records[record.job_id] = record
        self._metrics.jobs.labels(record.kind, "submitted").inc()

    async def tell(
        self, job_id: str, what: str, message: str, data: Mapping[str, Any], *, key: str
    ) -> None:
        """Have something happen to a job, once under this key. Raises `NotFound`, `StoreError`."""
        await self._append(await self.record(job_id), (what, message, data), key, token=0)

    async def end(self, job_id: str, outcome: Outcome, *, token: int) -> None:
        """End a job unless it has ended. Raises `NotFound`, `StoreError`, `Deposed`."""
        status, message, data = outcome
        record = await self.record(job_id)
        if await self._append(record, (_ENDS[status], message, data), _END, token=token):
            self._metrics.jobs.labels(record.kind, status.value).inc()
            log.info("job ended", job_id=job_id, status=status.value)

    async def _append(
        self, record: JobRecord, said: tuple[str, str, Mapping[str, Any]], key: str, *, token: int
    ) -> bool:
        what, message, data = said
        event = JobEvent(key, f"{record.family}.{what}", message, data, self.clock())
        appended = await self.store.append_events(record.job_id, [event], token=token)
        self.notify(record.job_id)
        return bool(appended)

    # -- who wants to know ----------------------------------------------------------------------

    @contextlib.contextmanager
    def watching(self, job_id: str) -> Iterator[asyncio.Event]:
        """Set whenever something may have happened to the job."""
        news = asyncio.Event()
        watchers = self._watchers.setdefault(job_id, set())
        watchers.add(news)
        try:
            yield news
        finally:
            watchers.discard(news)
            if not watchers and self._watchers.get(job_id) is watchers:
                del self._watchers[job_id]

    def notify(self, job_id: str) -> None:
        """Something has happened to the job."""
        for news in self._watchers.get(job_id, ()):
            news.set()

    def notify_all(self) -> None:
        """Something may have happened to any job."""
        for job_id in self._watchers:
            self.notify(job_id)
