"""Runs jobs: takes those that nobody runs, in turn, obeys their journals, and lets go of them.

A job is a deterministic program over what its journal remembers, so going on is running it again
from the start: what it has paid for already is found, not repeated. Nothing else is kept of a job
that is under way, so a sidecar that stops, or that has lost the job, simply lets go of it.

What a job is to do stands in its journal, too: pausing, resuming and cancelling are events, which
whoever runs it follows.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from sidecar.core.job import JobEvent, JobKind, JobRecord, JobState, JobStatus
from sidecar.errors import SidecarError
from sidecar.jobs.base import Control, JobCancelled, JobFailed, JobLog
from sidecar.jobs.lease import JobLease
from sidecar.jobs.register import Outcome, Register
from sidecar.store.base import Deposed, JournalMoved, StoreError

Runner = Callable[[JobRecord, JobLog, Control], Awaitable[Mapping[str, Any]]]
"""Runs a job to its end and returns the data of its `job.completed` event. Raises `JobCancelled`,
and `JobFailed` with a text for its owner. It is run again after a crash, and is cancelled when the
sidecar stops or the job ends."""

FOLLOW_SECONDS = 0.5
"""How often the journal of a job is read on that others may write to."""
LOOK_SECONDS = 1.0
"""How often jobs are looked for that other sidecars have left."""
RETRY_SECONDS = 2.0
"""Until a job runs again that the store could not write for."""

_STARTED = "job.started"
_RESUMED = "job.resumed"

log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class _Run:
    """A job that is run here."""

    log: JobLog
    lease: JobLease
    control: Control
    state: JobState = field(default_factory=JobState)
    last: str = ""
    """The type of its newest event."""
    begun: bool = False
    program: asyncio.Future[Mapping[str, Any]] | None = None
    task: asyncio.Task[None] | None = None
    """Holds on to the job while its program runs, and cleans up after it."""

    @property
    def record(self) -> JobRecord:
        """What was asked for."""
        return self.log.record

    @property
    def going(self) -> bool:
        """Whether it takes one of the places."""
        return not self.control.cancelled and self.state.status is not JobStatus.PAUSED

    def obey(self, event: JobEvent) -> None:
        """Do what the journal says."""
        self.last = event.type
        self.state.apply(event)
        if self.state.status.final:
            self.stop()
        elif self.state.status is JobStatus.PAUSED:
            self.control.pause()
        else:
            self.control.resume()

    def stop(self) -> None:
        """Have the program leave."""
        self.control.cancel()
        if self.program is not None:
            self.program.cancel()


class Runs:
    """The jobs that are run here."""

    def __init__(
        self, register: Register, runners: Mapping[JobKind, Runner], *, at_once: int
    ) -> None:
        """`at_once`: how many jobs run at the same time; the others wait, oldest first."""
        self.runners = runners
        self.at_once = at_once
        self._register = register
        self._store = register.store
        self._here: dict[str, _Run] = {}
        self._over: set[str] = set()
        """Jobs that are not looked at any more: they have ended."""
        self._stirred = asyncio.Event()

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """What is to be cancelled to let go of all jobs without ending them."""
        return {run.task for run in self._here.values() if run.task is not None}

    @property
    def going(self) -> int:
        """How many jobs take a place."""
        return sum(run.going for run in self._here.values())

    async def follow(self, job_id: str) -> None:
        """Do at once what a journal says that was written to. Raises `StoreError`."""
        try:
            if run := self._here.get(job_id):
                await run.log.catch_up()
        finally:
            self._stirred.set()

    # -- taking ---------------------------------------------------------------------------------

    async def seek(self) -> None:
        """Take what nobody runs, as far as there is room, whenever that may have changed; until
        cancelled."""
        while True:
            self._stirred.clear()
            pause = LOOK_SECONDS if self._store.shared else None
            try:
                await self._take()
            except SidecarError as error:
                log.warning("jobs wait", error=str(error))
                pause = RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stirred.wait()

    async def _take(self) -> None:
        if self._store.shared and self._has_room:
            await self._register.learn()
        for record in self._register.known:
            if not self._has_room:
                return
            if record.job_id not in self._over and record.job_id not in self._here:
                await self._take_one(record)

    @property
    def _has_room(self) -> bool:
        return self.going < self.at_once

    async def _take_one(self, record: JobRecord) -> None:
        state = await self._register.state(record.job_id)
        if state.status.final:
            self._over.add(record.job_id)
            return
        lease = JobLease(self._store, record.job_id)
        if not state.wanted or not await lease.seek():
            return
        memory = JobLog(record, self._store, self._register.clock, lease.token)
        run = _Run(memory, lease, Control(lambda: lease.held))
        memory.listen(run.obey)
        memory.listen(lambda _: self._register.notify(record.job_id))
        self._here[record.job_id] = run
        run.task = asyncio.create_task(self._run(run))

    # -- running --------------------------------------------------------------------------------

    async def _run(self, run: _Run) -> None:
        """To its end, or until it is to be run here no more."""
        keeper = asyncio.create_task(self._keep(run))
        try:
            await self._play(run)
        except Deposed:
            log.info("job let go: it is run elsewhere or has ended", job_id=run.record.job_id)
        except Exception:
            # Its journal cannot be read or written, and could not be in a second either.
            log.exception("job left alone", job_id=run.record.job_id)
            self._over.add(run.record.job_id)
        finally:
            keeper.cancel()
            try:
                await run.lease.release()
            finally:
                del self._here[run.record.job_id]
                self._stirred.set()

    async def _play(self, run: _Run) -> None:
        """While the store cannot write, nothing that a job does counts, so it waits and runs
        again. Raises `Deposed`."""
        while run.lease.held and not run.control.cancelled:
            try:
                await run.log.restore()
                if await self._begin(run) and (outcome := await self._outcome(run)):
                    await self._register.end(run.record.job_id, outcome, token=run.lease.token)
            except StoreError as error:
                log.warning("job waits", job_id=run.record.job_id, error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _begin(self, run: _Run) -> bool:
        """Say that it runs, unless it is not to any more: nobody's word comes in between."""
        while run.state.wanted:
            try:
                if run.log.known(_STARTED) is None:
                    await run.log.add(_STARTED, "Started", {}, key=_STARTED, sure=True)
                elif not run.begun and not run.last.endswith(_RESUMED):
                    said = "Going on after a restart", {"reason": "restart"}
                    await run.log.add(_RESUMED, *said, sure=True)
            except JournalMoved:
                await run.log.catch_up()
            else:
                run.begun = True
                return True
        return False

    async def _outcome(self, run: _Run) -> Outcome | None:
        """How it ends; None when it does not end here."""
        runner = self.runners[run.record.kind]
        run.program = asyncio.ensure_future(runner(run.record, run.log, run.control))
        try:
            result = await run.program
        except (StoreError, Deposed):
            raise
        except (JobFailed, SidecarError) as error:
            return None if run.control.cancelled else _failed(str(error))
        except (JobCancelled, asyncio.CancelledError):
            if not run.control.cancelled and run.lease.held:
                raise  # the sidecar stops
            return None
        except Exception as error:
            # The last resort: the owner must be told that it ended, though not what went wrong.
            if run.control.cancelled:
                return None
            log.exception("job failed", job_id=run.record.job_id)
            return _failed(
                f"Something went wrong on our side ({type(error).__name__}); it was logged. "
                "The job may be submitted again."
            )
        return None if run.control.cancelled else (JobStatus.SUCCEEDED, "Completed", result)

    async def _keep(self, run: _Run) -> None:
        """Keep the lease, and follow what others write, where there are others."""
        while self._store.shared and run.lease.held:
            await asyncio.sleep(FOLLOW_SECONDS)
            with contextlib.suppress(StoreError):  # the store says so itself, once
                await run.lease.renew()
                await run.log.catch_up()
        if not run.lease.held:
            log.warning("job let go: its lease has run out", job_id=run.record.job_id)
            run.stop()


def _failed(error: str) -> Outcome:
    return JobStatus.FAILED, error, {"error": error}
