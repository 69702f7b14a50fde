"""Runs offline jobs: starts them in turn, holds them, ends them, and goes on after a restart.

A job is a deterministic program over what its journal remembers, so going on is running it again
from the start: what it has paid for already is found, not repeated. Nothing else is kept of a job
that is under way, and a sidecar that stops simply lets go of it.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import structlog

from sidecar.core.job import JobEvent, JobKind, JobRecord, JobState, JobStatus
from sidecar.errors import Conflict, NotFound, SidecarError, Unavailable
from sidecar.jobs.base import Control, JobCancelled, JobFailed, JobLog
from sidecar.store.base import Jobs, StoreError
from sidecar.telemetry.metrics import Metrics

T = TypeVar("T")

Runner = Callable[[JobRecord, JobLog, Control], Awaitable[Mapping[str, Any]]]
"""Runs a job to its end and returns the data of its `job.completed` event. Raises `JobCancelled`,
and `JobFailed` with a text for its owner. It is run again after a crash, and is cancelled when the
sidecar stops."""

GRACE_SECONDS = 0.5
"""How long a cancelled job may take to end by itself."""
LEAVE_SECONDS = 0.3
"""How long it may take after that to notice that it was stopped."""
STOP_SECONDS = 5.0
"""The same for all jobs when the sidecar stops."""
RETRY_SECONDS = 2.0
"""Until a job runs again that the store could not write for."""

_QUEUED = "job.queued"
_STARTED = "job.started"
_END = "job.end"
"""The key of whichever event ends a job: there is only one."""

log = structlog.get_logger()

_Outcome = tuple[str, str, Mapping[str, Any]]
"""The event that ends a job: what, message and data."""


@dataclass(eq=False, slots=True)
class _Job:
    """A job that has not ended."""

    record: JobRecord
    log: JobLog
    state: JobState
    control: Control = field(default_factory=Control)
    reason: str = ""
    """Why it was cancelled."""
    task: asyncio.Task[None] | None = None
    """Present while its runner runs, also while that waits to be resumed."""
    watchers: set[asyncio.Event] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.log.listen(self._happened)

    @property
    def going(self) -> bool:
        """Whether it takes one of the places."""
        return self.task is not None and self.state.status is not JobStatus.PAUSED

    def _happened(self, event: JobEvent) -> None:
        self.state.apply(event)
        for watcher in self.watchers:
            watcher.set()


class Supervisor:
    """All jobs: those that have not ended in memory, the others in the store."""

    def __init__(
        self,
        store: Jobs,
        runners: Mapping[JobKind, Runner],
        clock: Callable[[], float],
        metrics: Metrics,
        *,
        at_once: int = 8,
    ) -> None:
        """`at_once`: how many jobs run at the same time; the others wait, oldest first."""
        self._store = store
        self._runners = runners
        self._clock = clock
        self._metrics = metrics
        self._at_once = at_once
        self._records: dict[str, JobRecord] = {}
        self._live: dict[str, _Job] = {}
        self._waiting: deque[_Job] = deque()
        self._commands: set[asyncio.Task[Any]] = set()
        self._open = False

    # -- life cycle -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Go on with what has not ended: running jobs run again, paused ones stay paused, those
        that wait for their turn still wait for it. Raises `StoreError`; may be called again."""
        self._records, self._live = {}, {}
        self._waiting.clear()
        for record in await self._store.jobs():
            self._records[record.job_id] = record
            if not (await self.state(record.job_id)).status.final:
                await self._go_on(record)
        self._open = True
        self._admit()

    async def stop(self) -> None:
        """Let go of all jobs without ending them: they go on at the next start."""
        self._open = False
        commands = set(self._commands)
        tasks = {job.task for job in self._live.values() if job.task is not None}
        for task in tasks:
            task.cancel()
        if tasks or commands:
            _, stuck = await asyncio.wait(tasks | commands, timeout=STOP_SECONDS)
            if stuck:
                log.warning("jobs do not stop", jobs=len(stuck))

    async def _go_on(self, record: JobRecord) -> None:
        job = self._hold(record)
        job.state = JobState.of(await job.log.restore())
        if job.state.status is JobStatus.RUNNING:
            await job.log.add("job.resumed", "Going on after a restart", {"reason": "restart"})
            self._waiting.append(job)
        elif job.state.status is JobStatus.PENDING and job.log.known(_QUEUED):
            self._waiting.append(job)

    # -- commands -------------------------------------------------------------------------------
    # A client that leaves cancels its request, but never half of a command.

    async def submit(self, record: JobRecord, *, auto_start: bool = True) -> JobState:
        """Take a new job in. It runs when there is room, or, without `auto_start`, once it is
        resumed. Raises `StoreError`."""
        return await self._whole(self._submit(record, auto_start=auto_start))

    async def cancel(self, job_id: str, reason: str = "") -> JobState:
        """End a job; its state after that, within a second. One that has ended stays as it is.
        Raises `NotFound`, `StoreError`."""
        return await self._whole(self._cancel(job_id, reason))

    async def pause(self, job_id: str, reason: str = "") -> JobState:
        """Hold a job: what it has begun it finishes, nothing new begins. Raises `NotFound`,
        `Conflict` when it has ended, `StoreError`."""
        return await self._whole(self._pause(job_id, reason))

    async def resume(self, job_id: str, reason: str = "") -> JobState:
        """Let a job go on at once, or begin one that was not started. Raises as `pause`."""
        return await self._whole(self._resume(job_id, reason))

    async def _submit(self, record: JobRecord, *, auto_start: bool) -> JobState:
        await self._store.add_job(record)
        self._records[record.job_id] = record
        self._metrics.jobs.labels(record.kind, "submitted").inc()
        job = self._hold(record)
        if auto_start:
            await self._queue(job)
        return replace(job.state)

    async def _cancel(self, job_id: str, reason: str) -> JobState:
        job = self._live.get(job_id)
        if job is None:
            return await self.state(job_id)
        job.reason = reason
        job.control.cancel()
        if job in self._waiting:
            self._waiting.remove(job)
        if job.task is not None:
            await asyncio.wait({job.task}, timeout=GRACE_SECONDS)
        if job.task is not None:
            job.task.cancel()
            await asyncio.wait({job.task}, timeout=LEAVE_SECONDS)
        await self._end(job, *_cancelled(job))
        return replace(job.state)

    async def _pause(self, job_id: str, reason: str) -> JobState:
        job = await self._unfinished(job_id)
        if job.state.status is not JobStatus.PAUSED:
            await job.log.add("job.paused", f"Paused. {reason}".rstrip(), {"reason": reason})
            job.control.pause()
            if job in self._waiting:
                self._waiting.remove(job)
            self._admit()
        return replace(job.state)

    async def _resume(self, job_id: str, reason: str) -> JobState:
        job = await self._unfinished(job_id)
        if job.state.status is JobStatus.PENDING and job not in self._waiting:
            await self._queue(job)
        elif job.state.status is JobStatus.PAUSED:
            await job.log.add("job.resumed", f"Resumed. {reason}".rstrip(), {"reason": reason})
            job.control.resume()
            if job.task is None:
                self._waiting.append(job)
                self._admit()
        return replace(job.state)

    async def _queue(self, job: _Job) -> None:
        await job.log.add(_QUEUED, "Waiting for its turn", {}, key=_QUEUED)
        if job.task is None and job not in self._waiting:
            self._waiting.append(job)
        self._admit()

    async def _whole(self, command: Coroutine[Any, Any, T]) -> T:
        if not self._open:
            command.close()
            raise Unavailable("offline jobs are not taken now: the sidecar is starting or stopping")
        task = asyncio.create_task(command)
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)
        return await asyncio.shield(task)

    # -- questions ------------------------------------------------------------------------------

    def records(self, kind: JobKind | None = None) -> list[JobRecord]:
        """All jobs, of one kind if that is given, oldest first."""
        return [record for record in self._records.values() if kind in {None, record.kind}]

    def find(self, job_id: str) -> JobRecord | None:
        """What was asked for under this id."""
        return self._records.get(job_id)

    def record(self, job_id: str) -> JobRecord:
        """The same; raises `NotFound`."""
        found = self.find(job_id)
        if found is None:
            raise NotFound(f"there is no job {job_id!r}", param="job_id")
        return found

    async def state(self, job_id: str) -> JobState:
        """How it stands. Raises `NotFound`, `StoreError`."""
        record, job = self.record(job_id), self._live.get(job_id)
        if job is not None:
            return replace(job.state)
        return JobState.of(await self._store.last_events(job_id, record.telling))

    async def events(
        self, job_id: str, after: int, limit: int, whats: Sequence[str] = ()
    ) -> list[JobEvent]:
        """Events after the number `after`, in order; `whats` are the ends of the types that are
        wanted, none for all. Raises `NotFound`, `StoreError`."""
        types = self.record(job_id).types(*whats)
        return await self._store.job_events(job_id, after, limit, types)

    async def newest(self, job_id: str, what: str) -> JobEvent | None:
        """The newest event of `{family}.{what}`. Raises `NotFound`, `StoreError`."""
        types = self.record(job_id).types(what)
        return next(iter(await self._store.last_events(job_id, types)), None)

    @contextlib.contextmanager
    def watching(self, job_id: str) -> Iterator[asyncio.Event]:
        """Set whenever something happens to the job; never for one that has ended."""
        news, job = asyncio.Event(), self._live.get(job_id)
        if job is None:
            yield news
            return
        job.watchers.add(news)
        try:
            yield news
        finally:
            job.watchers.discard(news)

    # -- running --------------------------------------------------------------------------------

    def _hold(self, record: JobRecord) -> _Job:
        job = _Job(record, JobLog(record, self._store, self._clock), JobState())
        self._live[record.job_id] = job
        return job

    async def _unfinished(self, job_id: str) -> _Job:
        job = self._live.get(job_id)
        if job is None or job.control.cancelled:
            state = job.state if job is not None else await self.state(job_id)
            word = state.status.value if state.status.final else JobStatus.CANCELLED.value
            raise Conflict(f"job {job_id!r} has ended: {word}", param="job_id")
        return job

    def _admit(self) -> None:
        """Start those that wait, as far as there is room."""
        while (
            self._open
            and self._waiting
            and sum(job.going for job in self._live.values()) < self._at_once
        ):
            job = self._waiting.popleft()
            job.task = asyncio.create_task(self._run(job))

    async def _run(self, job: _Job) -> None:
        """To its end. While the store cannot write, nothing that a job does counts, so it waits
        and runs again."""
        try:
            while not job.state.status.final:
                try:
                    await job.log.add(_STARTED, "Started", {}, key=_STARTED)
                    await self._end(job, *await self._outcome(job))
                except StoreError as error:
                    log.warning("job waits", job_id=job.record.job_id, error=str(error))
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            job.task = None
            self._admit()

    async def _outcome(self, job: _Job) -> _Outcome:
        try:
            result = await self._runners[job.record.kind](job.record, job.log, job.control)
        except StoreError:
            raise
        except (JobFailed, SidecarError) as error:
            return _failed(str(error))
        except (JobCancelled, asyncio.CancelledError):
            if not job.control.cancelled:
                raise  # the sidecar stops; the job goes on at the next start
            return _cancelled(job)
        except Exception as error:
            # The last resort: the owner must be told that it ended, though not what went wrong.
            if job.control.cancelled:
                return _cancelled(job)
            log.exception("job failed", job_id=job.record.job_id)
            return _failed(
                f"Something went wrong on our side ({type(error).__name__}); it was logged. "
                "The job may be submitted again."
            )
        return "job.completed", "Completed", result

    async def _end(self, job: _Job, what: str, message: str, data: Mapping[str, Any]) -> None:
        await job.log.add(what, message, data, key=_END)
        if self._live.pop(job.record.job_id, None) is not None:
            status = job.state.status
            self._metrics.jobs.labels(job.record.kind, status.value).inc()
            log.info("job ended", job_id=job.record.job_id, status=status.value)


def _failed(error: str) -> _Outcome:
    return "job.failed", error, {"error": error}


def _cancelled(job: _Job) -> _Outcome:
    return "job.cancelled", f"Cancelled. {job.reason}".rstrip(), {"reason": job.reason}
