"""The right to run a job, on a store that sidecars share."""

import asyncio

import pytest
from support.gateway import until
from support.jobs import Steps, happened, reached, supervising
from support.stores import job

from sidecar.core.job import JobStatus
from sidecar.jobs import lease, runs
from sidecar.jobs.base import Control, JobCancelled
from sidecar.jobs.lease import JobLease
from sidecar.store.base import StoreError
from sidecar.store.memory import MemoryStore


class Shared(MemoryStore):
    """In memory, as if others used it, too; it can be out of reach."""

    shared = True
    gone = False

    async def lease(self, name, holder, seconds):
        self._reach()
        return await super().lease(name, holder, seconds)

    async def append_events(self, job_id, events, **options):
        self._reach()
        return await super().append_events(job_id, events, **options)

    def _reach(self):
        if self.gone:
            raise StoreError("out of reach")


class Clock:
    """Shows what the test says."""

    now = 100.0

    def __call__(self):
        return self.now


async def test_a_lease_is_held_until_it_runs_out_by_our_own_clock():
    clock = Clock()
    ours = JobLease(Shared(), "pl_1", clock)
    assert not ours.held
    assert await ours.seek()
    clock.now += lease.SECONDS - 0.1
    assert ours.held
    clock.now += 0.1
    assert not ours.held


async def test_a_lease_is_renewed_when_it_is_time_to_and_not_before():
    store, clock = Shared(), Clock()
    ours = JobLease(store, "pl_1", clock)
    await ours.seek()
    store.gone = True
    clock.now += lease.RENEW_SECONDS - 0.1
    await ours.renew()
    store.gone = False
    clock.now += 0.1
    await ours.renew()
    clock.now += lease.SECONDS - 0.1
    assert ours.held


async def test_a_lease_that_another_could_have_had_in_between_is_lost():
    store, clock = Shared(), Clock()
    ours, theirs = JobLease(store, "pl_1", clock), JobLease(store, "pl_1", clock)
    await ours.seek()
    assert not await theirs.seek()
    await ours.release()  # as if it had run out
    assert await theirs.seek()
    await theirs.release()
    clock.now += lease.RENEW_SECONDS
    await ours.renew()
    assert not ours.held
    assert theirs.token > ours.token


async def test_who_is_alone_holds_every_lease():
    ours = JobLease(MemoryStore(), "pl_1", Clock())
    assert await ours.seek()
    assert ours.held


async def test_a_job_that_is_not_ours_any_more_passes_no_gate():
    with pytest.raises(JobCancelled):
        await Control(lambda: False).gate()


async def test_a_sidecar_that_cannot_renew_lets_go_and_goes_on_when_it_can(monkeypatch):
    for name in ("FOLLOW_SECONDS", "LOOK_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(runs, name, 0.02)
    monkeypatch.setattr(lease, "SECONDS", 0.3)
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.1)
    store, steps = Shared(), Steps(3)
    async with supervising(store, steps) as jobs:
        await jobs.submit(job("pl_1"))
        steps.allow(1)
        await happened(jobs, "pl_1", "step")
        store.gone = True
        await until(lambda: steps.running == 0)
        store.gone = False
        steps.allow(2)
        await reached(jobs, "pl_1", JobStatus.SUCCEEDED)
        assert len(await happened(jobs, "pl_1", "job.resumed")) == 1
    assert steps.taken == [("pl_1", number) for number in range(3)]


async def test_two_who_say_the_same_at_once_say_it_once():
    store = Shared()
    async with supervising(store, Steps()) as one, supervising(store, Steps()) as other:
        await one.submit(job("pl_1"))
        await reached(other, "pl_1", JobStatus.RUNNING)
        for command in ("pause", "resume", "pause"):
            await asyncio.gather(*(getattr(jobs, command)("pl_1") for jobs in (one, other)))
        events = await one.events("pl_1", 0, 99, ["job.paused", "job.resumed"])
    whats = [event.type.rpartition(".")[2] for event in events]
    assert whats == ["paused", "resumed", "paused"]
