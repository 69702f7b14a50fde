"""The life of offline jobs: their turn, their end, and what a restart does to them."""

import asyncio

import pytest
import structlog
from support.gateway import until
from support.jobs import Steps, happened, reached, supervising, supervisor
from support.stores import job

from sidecar.core.job import JobStatus
from sidecar.errors import Conflict, InvalidRequest, NotFound, Unavailable
from sidecar.jobs.base import JobFailed
from sidecar.store.base import StoreError
from sidecar.store.memory import MemoryStore
from sidecar.store.sqlite import SqliteStore


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "s.db")
    await store.open()
    yield store
    await store.close()


def whats(events):
    return [event.type.removeprefix("learning.policy.gepa.") for event in events]


async def test_a_job_runs_to_its_end_and_keeps_what_it_found(store):
    steps = Steps(2)
    steps.allow(2)
    async with supervising(store, steps) as jobs:
        assert (await jobs.submit(job("pl_1"))).status in {JobStatus.PENDING, JobStatus.RUNNING}
        state = await reached(jobs, "pl_1", JobStatus.SUCCEEDED)
        assert state.result == {"best_score": 0.75, "steps": 2}
        assert (state.started_at, state.finished_at) == (1700000000.5, 1700000000.5)
        events = await jobs.events("pl_1", 0, 99)
    assert whats(events) == ["job.queued", "job.started", "step", "step", "job.completed"]
    async with supervising(store, steps) as jobs:
        assert await jobs.state("pl_1") == state
        assert await jobs.records() == [job("pl_1")]


async def test_only_so_many_jobs_run_at_once_and_the_others_wait_their_turn(store):
    steps = Steps(1)
    async with supervising(store, steps, at_once=2) as jobs:
        for number in range(5):
            await jobs.submit(job(f"pl_{number}", created_at=number))
        await reached(jobs, "pl_1", JobStatus.RUNNING)
        assert (await jobs.state("pl_2")).status is JobStatus.PENDING
        steps.allow(5)
        for number in range(5):
            await reached(jobs, f"pl_{number}", JobStatus.SUCCEEDED)
        assert steps.most == 2
        assert [name for name, _ in steps.taken] == [f"pl_{number}" for number in range(5)]


async def test_a_paused_job_begins_nothing_and_leaves_its_place_to_others(store):
    steps = Steps(2)
    async with supervising(store, steps, at_once=1) as jobs:
        await jobs.submit(job("pl_1"))
        await jobs.submit(job("pl_2", 2.0))
        steps.allow(1)
        await happened(jobs, "pl_1", "step")
        assert (await jobs.pause("pl_1", "lunch")).status is JobStatus.PAUSED
        steps.allow(3)
        await reached(jobs, "pl_2", JobStatus.SUCCEEDED)
        assert steps.taken.count(("pl_1", 1)) == 0
        assert (await jobs.resume("pl_1")).status is JobStatus.RUNNING
        steps.allow(1)
        assert (await reached(jobs, "pl_1", JobStatus.SUCCEEDED)).started_at == 1700000000.5
        paused = await happened(jobs, "pl_1", "job.paused")
    assert paused[0].data == {"reason": "lunch"}


async def test_pausing_and_resuming_twice_is_once(store):
    async with supervising(store, Steps()) as jobs:
        await jobs.submit(job("pl_1"))
        await reached(jobs, "pl_1", JobStatus.RUNNING)
        for command in (jobs.pause, jobs.pause, jobs.resume, jobs.resume):
            await command("pl_1")
        events = await jobs.events("pl_1", 0, 99)
    assert whats(events)[2:] == ["job.paused", "job.resumed"]


async def test_a_job_without_auto_start_begins_when_it_is_resumed(store):
    steps = Steps(1)
    steps.allow(1)
    async with supervising(store, steps) as jobs:
        await jobs.submit(job("pl_1"), auto_start=False)
    async with supervising(store, steps) as jobs:
        assert (await jobs.state("pl_1")).status is JobStatus.PENDING
        assert not steps.taken
        await jobs.resume("pl_1")
        await reached(jobs, "pl_1", JobStatus.SUCCEEDED)


@pytest.mark.parametrize("deaf", ["gate", "wait", "stubborn"])
async def test_cancelling_ends_a_job_within_a_second_whatever_it_does(store, deaf):
    leave = asyncio.Event()

    async def program(record, log, control):
        if deaf == "gate":
            while True:
                await control.gate()
                await asyncio.sleep(0.01)
        while not leave.is_set():
            try:
                await leave.wait()
            except asyncio.CancelledError:
                if deaf == "wait":
                    raise
        return {}

    async with supervising(store, program) as jobs:
        await jobs.submit(job("pl_1"))
        await reached(jobs, "pl_1", JobStatus.RUNNING)
        async with asyncio.timeout(1):
            assert (await jobs.cancel("pl_1", "enough")).status is JobStatus.CANCELLED
        assert (await jobs.cancel("pl_1")).status is JobStatus.CANCELLED
        leave.set()
        last = (await jobs.events("pl_1", 0, 99))[-1]
    assert (last.type, last.data) == ("learning.policy.gepa.job.cancelled", {"reason": "enough"})


@pytest.mark.parametrize("held", ["waiting", "paused", "not started"])
async def test_a_job_that_does_not_run_is_cancelled_too(store, held):
    steps = Steps(1)
    async with supervising(store, steps, at_once=1) as jobs:
        await jobs.submit(job("pl_0", 1.0))
        await jobs.submit(job("pl_1", 2.0), auto_start=held != "not started")
        if held == "paused":
            await jobs.pause("pl_1")
        assert (await jobs.cancel("pl_1")).status is JobStatus.CANCELLED
        steps.allow(9)
        await reached(jobs, "pl_0", JobStatus.SUCCEEDED)
    assert {name for name, _ in steps.taken} == {"pl_0"}


async def test_a_job_that_has_ended_stays_as_it_is(store):
    steps = Steps(1)
    steps.allow(1)
    async with supervising(store, steps) as jobs:
        await jobs.submit(job("pl_1"))
        await reached(jobs, "pl_1", JobStatus.SUCCEEDED)
        assert (await jobs.cancel("pl_1")).status is JobStatus.SUCCEEDED
        for command in (jobs.pause, jobs.resume):
            with pytest.raises(Conflict, match="succeeded"):
                await command("pl_1")
        for command in (jobs.pause, jobs.resume, jobs.cancel):
            with pytest.raises(NotFound):
                await command("pl_nobody")
        assert whats(await jobs.events("pl_1", 0, 99))[-1] == "job.completed"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (JobFailed("the task app does not answer: start it"), "the task app does not answer"),
        (InvalidRequest("`seeds` is empty"), "`seeds` is empty"),
        (KeyError("secret-word"), "our side (KeyError)"),
    ],
)
async def test_a_job_that_cannot_go_on_says_why(store, error, said):
    async def program(record, log, control):
        raise error

    with structlog.testing.capture_logs() as logs:
        async with supervising(store, program) as jobs:
            await jobs.submit(job("pl_1"))
            state = await reached(jobs, "pl_1", JobStatus.FAILED)
    assert said in state.error
    assert "secret-word" not in state.error
    unforeseen = [entry for entry in logs if entry["log_level"] == "error"]
    assert len(unforeseen) == isinstance(error, KeyError)


async def test_a_stop_ends_nothing_and_a_start_goes_on_without_repeating(store):
    steps = Steps(3)
    async with supervising(store, steps) as jobs:
        await jobs.submit(job("pl_1"))
        await jobs.submit(job("pl_2", 2.0))
        await until(lambda: steps.running == 2)
        steps.allow(2)
        await happened(jobs, "pl_1", "step")
        await happened(jobs, "pl_2", "step")
        await jobs.pause("pl_2")
    assert steps.running == 0
    async with supervising(store, steps) as jobs:
        assert (await jobs.state("pl_2")).status is JobStatus.PAUSED
        resumed = await happened(jobs, "pl_1", "job.resumed")
        assert resumed[0].data == {"reason": "restart"}
        steps.allow(2)
        await reached(jobs, "pl_1", JobStatus.SUCCEEDED)
        await jobs.resume("pl_2")
        steps.allow(2)
        await reached(jobs, "pl_2", JobStatus.SUCCEEDED)
    assert sorted(steps.taken) == [(name, n) for name in ("pl_1", "pl_2") for n in range(3)]


async def test_jobs_that_waited_for_their_turn_wait_for_it_after_a_restart(store):
    steps = Steps(1)
    async with supervising(store, steps, at_once=1) as jobs:
        for number in range(3):
            await jobs.submit(job(f"pl_{number}", created_at=number))
    steps.allow(3)
    async with supervising(store, steps, at_once=1) as jobs:
        for number in range(3):
            await reached(jobs, f"pl_{number}", JobStatus.SUCCEEDED)
    assert [name for name, _ in steps.taken] == ["pl_0", "pl_1", "pl_2"]


async def test_a_store_that_cannot_write_holds_a_job_up_and_does_not_end_it(store, monkeypatch):
    monkeypatch.setattr("sidecar.jobs.runs.RETRY_SECONDS", 0.01)
    steps, real, refused = Steps(2), store.append_events, 3

    async def flaky(job_id, events, **options):
        nonlocal refused
        if refused and events and events[0].type.endswith((".step", ".job.completed")):
            refused -= 1
            raise StoreError("the disk is full")
        return await real(job_id, events, **options)

    monkeypatch.setattr(store, "append_events", flaky)
    steps.allow(9)
    async with supervising(store, steps) as jobs:
        await jobs.submit(job("pl_1"))
        await reached(jobs, "pl_1", JobStatus.SUCCEEDED)
        events = await jobs.events("pl_1", 0, 99)
    assert refused == 0
    assert whats(events) == ["job.queued", "job.started", "step", "step", "job.completed"]


async def test_nothing_is_taken_before_the_start_or_after_the_stop(store):
    jobs = supervisor(store, Steps())
    with pytest.raises(Unavailable):
        await jobs.submit(job("pl_1"))
    await jobs.start()
    await jobs.stop()
    with pytest.raises(Unavailable):
        await jobs.submit(job("pl_1"))
    assert await store.jobs() == []


async def test_a_client_that_leaves_does_not_leave_half_a_command(store):
    async with supervising(store, Steps()) as jobs:
        request = asyncio.create_task(jobs.submit(job("pl_1")))
        await asyncio.sleep(0)
        request.cancel()
        await asyncio.wait({request})
        assert request.cancelled()
        await happened_somehow(jobs)


async def happened_somehow(jobs):
    async with asyncio.timeout(5):
        while not await jobs.find("pl_1"):  # noqa: ASYNC110 - there is nobody to ask yet
            await asyncio.sleep(0.001)
    await reached(jobs, "pl_1", JobStatus.RUNNING)


async def test_the_numbers_of_jobs_add_up(store):
    async def program(record, log, control):
        if record.job_id == "pl_1":
            raise JobFailed("no")
        return {}

    async with supervising(store, program) as jobs:
        for name in ("pl_1", "pl_2", "pl_3"):
            await jobs.submit(job(name), auto_start=name != "pl_3")
        await reached(jobs, "pl_1", JobStatus.FAILED)
        await reached(jobs, "pl_2", JobStatus.SUCCEEDED)
        await jobs.cancel("pl_3")
        counted = {
            sample.labels["outcome"]: sample.value
            for metric in jobs._metrics.jobs.collect()
            for sample in metric.samples
            if sample.name == "sidecar_jobs_total"
        }
    assert counted == {"submitted": 3, "failed": 1, "succeeded": 1, "cancelled": 1}
