"""Offline jobs whose program the test decides on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from sidecar.core.job import JobEvent, JobKind, JobRecord, JobState, JobStatus
from sidecar.jobs.base import Control, JobLog
from sidecar.jobs.supervisor import Supervisor
from sidecar.store.base import Store
from sidecar.telemetry.metrics import Metrics

Program = Callable[[JobRecord, JobLog, Control], Awaitable[Mapping[str, Any]]]


class Steps:
    """A program that takes steps, each remembered; it waits before each until the test lets it."""

    def __init__(self, count: int = 3) -> None:
        self.count = count
        self.taken: list[tuple[str, int]] = []
        """Job and step of every step that cost something."""
        self.running = 0
        self.most = 0
        """The most jobs that ever ran at the same time."""
        self._free = asyncio.Semaphore(0)

    def allow(self, steps: int) -> None:
        for _ in range(steps):
            self._free.release()

    async def __call__(self, record: JobRecord, log: JobLog, control: Control) -> dict[str, Any]:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for step in range(self.count):
                if log.known(f"step:{step}") is None:
                    await control.gate()
                    await self._free.acquire()
                    await control.gate()
                    self.taken.append((record.job_id, step))
                    await log.add("step", f"Step {step}", {"step": step}, key=f"step:{step}")
        finally:
            self.running -= 1
        return {"best_score": 0.75, "steps": self.count}


def supervisor(store: Store, program: Program, **options: Any) -> Supervisor:
    runners = dict.fromkeys(JobKind, program)
    return Supervisor(store, runners, lambda: 1700000000.5, Metrics(), **options)


@contextlib.asynccontextmanager
async def supervising(store: Store, program: Program, **options: Any) -> AsyncIterator[Supervisor]:
    """A supervisor that is stopped afterwards."""
    jobs = supervisor(store, program, **options)
    await jobs.start()
    try:
        yield jobs
    finally:
        await jobs.stop()


async def reached(jobs: Supervisor, job_id: str, status: JobStatus) -> JobState:
    """The job's state, once it has this status."""
    return await once(jobs, job_id, lambda state, _: state.status is status)


async def happened(jobs: Supervisor, job_id: str, what: str, times: int = 1) -> list[JobEvent]:
    """The events so called, once there are so many."""
    seen: list[JobEvent] = []

    def enough(_: JobState, events: list[JobEvent]) -> bool:
        seen[:] = [event for event in events if event.type.endswith("." + what)]
        return len(seen) >= times

    await once(jobs, job_id, enough)
    return seen


async def once(
    jobs: Supervisor, job_id: str, condition: Callable[[JobState, list[JobEvent]], bool]
) -> JobState:
    async with asyncio.timeout(10):
        with jobs.watching(job_id) as news:
            while True:
                news.clear()
                state = await jobs.state(job_id)
                if condition(state, await jobs.events(job_id, 0, 1000)):
                    return state
                await news.wait()
