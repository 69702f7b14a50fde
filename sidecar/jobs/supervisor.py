"""Offline jobs as the API sees them: they are submitted, steered and asked about.

A command is an event in the job's journal, so it holds wherever it was given, and whoever runs the
job follows it. Several sidecars on one store need no other word with each other.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import structlog

from sidecar.core.job import JobKind, JobRecord, JobState, JobStatus
from sidecar.errors import Unavailable
from sidecar.jobs.register import Register
from sidecar.jobs.runs import FOLLOW_SECONDS, Runner, Runs
from sidecar.store.base import CLOSED, Store
from sidecar.telemetry.metrics import Metrics

T = TypeVar("T")

STOP_SECONDS = 5.0
"""How long jobs may take to leave when the sidecar stops."""

_QUEUED = "job.queued"
_PAUSED = "job.paused"
_RESUMED = "job.resumed"

log = structlog.get_logger()


class Supervisor(Register):
    """All jobs, and their steering."""

    def __init__(
        self,
        store: Store,
        runners: Mapping[JobKind, Runner],
        clock: Callable[[], float],
        metrics: Metrics,
        *,
        at_once: int = 8,
    ) -> None:
        """`at_once`: how many jobs run here at the same time; the others wait, oldest first."""
        super().__init__(store, clock, metrics)
        self.runs = Runs(self, runners, at_once=at_once)
        self._workers: set[asyncio.Task[None]] = set()
        self._commands: set[asyncio.Task[Any]] = set()
        self._open = False

    # -- life cycle -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Go on with what has not ended: running jobs run again, paused ones stay paused, those
        that wait for their turn still wait for it. Raises `StoreError`; may be called again."""
        await self.learn()
        self._open = True
        self._workers = {asyncio.create_task(self.runs.seek()), asyncio.create_task(self._tick())}

    async def stop(self) -> None:
        """Let go of all jobs without ending them: they go on elsewhere, or at the next start."""
        self._open = False
        for worker in self._workers:
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers)
        commands, tasks = set(self._commands), self.runs.tasks
        for task in tasks:
            task.cancel()
        if tasks or commands:
            _, stuck = await asyncio.wait(tasks | commands, timeout=STOP_SECONDS)
            if stuck:
                log.warning("jobs do not stop", jobs=len(stuck))

    async def _tick(self) -> None:
        """Have journals looked at that other sidecars may have written to."""
        while self.store.shared:
            await asyncio.sleep(FOLLOW_SECONDS)
            self.notify_all()

    # -- commands -------------------------------------------------------------------------------
    # A client that leaves cancels its request, but never half of a command. What two of them say at
    # once about the same state of a job is said once.

    async def submit(self, record: JobRecord, *, auto_start: bool = True) -> JobState:
        """Take a new job in. It runs when there is room, or, without `auto_start`, once it is
        resumed. Raises `StoreError`."""
        return await self._whole(self._submit(record, auto_start=auto_start))

    async def cancel(self, job_id: str, reason: str = "") -> JobState:
        """End a job; its state after that. One that has ended stays as it is. Raises `NotFound`,
        `StoreError`."""
        return await self._whole(self._cancel(job_id, reason))

    async def pause(self, job_id: str, reason: str = "") -> JobState:
        """Hold a job: what it has begun it finishes, nothing new begins. Raises `NotFound`,
        `Conflict` when it has ended, `StoreError`."""
        return await self._whole(self._pause(job_id, reason))

    async def resume(self, job_id: str, reason: str = "") -> JobState:
        """Let a job go on at once, or begin one that was not started. Raises as `pause`."""
        return await self._whole(self._resume(job_id, reason))

    async def _submit(self, record: JobRecord, *, auto_start: bool) -> JobState:
        await self.add(record)
        if auto_start:
            await self._queue(record.job_id)
        return await self.state(record.job_id)

    async def _cancel(self, job_id: str, reason: str) -> JobState:
        outcome = (JobStatus.CANCELLED, f"Cancelled. {reason}".rstrip(), {"reason": reason})
        await self.end(job_id, outcome, token=CLOSED)
        await self.runs.follow(job_id)
        return await self.state(job_id)

    async def _pause(self, job_id: str, reason: str) -> JobState:
        state = await self.unfinished(job_id)
        if state.status is not JobStatus.PAUSED:
            said = f"Paused. {reason}".rstrip(), {"reason": reason}
            await self.tell(job_id, _PAUSED, *said, key=f"{_PAUSED}:{state.since}")
        await self.runs.follow(job_id)
        return await self.unfinished(job_id)

    async def _resume(self, job_id: str, reason: str) -> JobState:
        state = await self.unfinished(job_id)
        if state.status is JobStatus.PENDING:
            await self._queue(job_id)
        elif state.status is JobStatus.PAUSED:
            said = f"Resumed. {reason}".rstrip(), {"reason": reason}
            await self.tell(job_id, _RESUMED, *said, key=f"{_RESUMED}:{state.since}")
        await self.runs.follow(job_id)
        return await self.state(job_id)

    async def _queue(self, job_id: str) -> None:
        await self.tell(job_id, _QUEUED, "Waiting for its turn", {}, key=_QUEUED)
        await self.runs.follow(job_id)

    async def _whole(self, command: Coroutine[Any, Any, T]) -> T:
        if not self._open:
            command.close()
            raise Unavailable("offline jobs are not taken now: the sidecar is starting or stopping")
        task = asyncio.create_task(command)
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)
        return await asyncio.shield(task)
