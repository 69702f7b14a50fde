"""Offline jobs of several sidecars on one store: each runs on one of them, and all of them know it,
steer it, and go on with it when that one is gone."""

import asyncio
import time

import aiohttp
import pytest
from support.gateway import until
from support.job_api import EVAL, POLICY, Api
from support.job_replicas import SLACK_SECONDS, replicas, run_out
from support.jobs import Steps
from support.process import serving
from support.provider import FakeProvider
from support.task_app import KEY, FakeTaskApp

from sidecar.jobs.runs import FOLLOW_SECONDS, LOOK_SECONDS

SEEDS = 30
AT_ONCE = 2


def runner_of(steps, count=1):
    """Which sidecars run something, by place."""
    return [place for place, one in enumerate(steps) if one.running == count]


async def stream(api: Api, one: str, lines: list[str]) -> None:
    """Follow a job's events to the end of the stream."""
    url = f"{api.ours.sidecar.url}{one}/events/stream"
    async with api.ours.http.get(url, timeout=aiohttp.ClientTimeout(total=20)) as answer:
        async for line in answer.content:
            lines += [line.decode().strip()] if line.startswith(b"data: ") else []


async def within(seconds: float, condition) -> None:
    async with asyncio.timeout(seconds + SLACK_SECONDS):
        while not condition():  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)


async def test_a_job_made_on_one_sidecar_is_seen_and_steered_on_all_of_them(server):
    steps = [Steps(9) for _ in range(3)]
    async with replicas(server.url, steps) as sidecars:
        job_id = await sidecars[0].submitted()
        one = f"{POLICY}/{job_id}"
        seen = [await api.status(one) for api in sidecars]
        assert {job["job_id"] for job in seen} == {job_id}
        for api in sidecars:
            assert [job["job_id"] for job in (await api.status(POLICY))["jobs"]] == [job_id]
        await within(LOOK_SECONDS, lambda: runner_of(steps))
        (here,) = runner_of(steps)
        other, third = (sidecars[(here + n) % 3] for n in (1, 2))
        told: list[list[str]] = [[] for _ in sidecars]
        async with asyncio.TaskGroup() as streams:
            for api, lines in zip(sidecars, told, strict=True):
                streams.create_task(stream(api, one, lines))
            steps[here].allow(1)
            await within(FOLLOW_SECONDS, lambda: all("Step 0" in str(lines) for lines in told))
            await other.post(one + "/pause", {"reason": "lunch"})
            assert {(await api.status(one))["status"] for api in sidecars} == {"paused"}
            await within(FOLLOW_SECONDS, lambda: all("lunch" in str(lines) for lines in told))
            await within(FOLLOW_SECONDS, lambda: not sidecars[here].ours.sidecar.jobs.runs.going)
            steps[here].allow(1)
            await asyncio.sleep(FOLLOW_SECONDS)
            assert len(steps[here].taken) == 1
            await third.post(one + "/resume")
            assert {(await api.status(one))["status"] for api in sidecars} == {"running"}
            await within(FOLLOW_SECONDS, lambda: len(steps[here].taken) == 2)
            answer = await other.post(one + "/cancel", {"reason": "enough"})
            assert (answer.status, answer.json["status"]) == (200, "succeeded")
            await within(FOLLOW_SECONDS, lambda: not runner_of(steps))
        assert {(await api.status(one))["status"] for api in sidecars} == {"cancelled"}
        events = await third.events(one)
        assert (await other.post(one + "/resume")).status == 409
    assert [lines[-1] for lines in told] == ["data: [DONE]"] * 3
    assert told[0] == told[1] == told[2]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"].endswith("job.cancelled")
    assert sum(len(one.taken) for one in steps) == 2


async def test_each_job_runs_on_one_sidecar_and_each_sidecar_has_its_share(server):
    steps = [Steps(2) for _ in range(3)]
    async with replicas(server.url, steps, jobs={"at_once": 2}) as sidecars:
        jobs = [await sidecars[0].submitted() for _ in range(7)]
        await within(LOOK_SECONDS, lambda: runner_of(steps, 2) == [0, 1, 2])
        for one in steps:
            one.allow(99)
        for number, job_id in enumerate(jobs):
            await sidecars[number % 3].reached(f"{POLICY}/{job_id}", "succeeded")
        counted = [
            api.ours.total("sidecar_jobs_total", outcome=outcome)
            for outcome in ("submitted", "succeeded")
            for api in sidecars
        ]
    taken = sorted(step for one in steps for step in one.taken)
    assert taken == sorted((job_id, number) for job_id in jobs for number in range(2))
    assert max(one.most for one in steps) == 2
    assert (sum(counted[:3]), sum(counted[3:])) == (7, 7)


async def test_a_sidecar_that_stops_leaves_its_jobs_to_the_others_at_once(server):
    steps = [Steps(2), Steps(2)]
    async with replicas(server.url, steps[:1]) as (first,):
        job_id = await first.submitted()
        steps[0].allow(1)
        await first.happened(f"{POLICY}/{job_id}", "step")
        async with replicas(server.url, steps[1:]) as (second,):
            steps[1].allow(1)
            await first.ours.sidecar.jobs.stop()
            began = time.monotonic()
            await second.reached(f"{POLICY}/{job_id}", "succeeded")
            assert time.monotonic() - began < LOOK_SECONDS + SLACK_SECONDS
    assert [one.taken for one in steps] == [[(job_id, 0)], [(job_id, 1)]]


class Ends(Steps):
    """Waits, and ends without having written anything."""

    async def __call__(self, record, log, control):
        self.running += 1
        try:
            await self._free.acquire()
        finally:
            self.running -= 1
        return {"best_score": 0.0}


@pytest.mark.parametrize("wrong", [Steps, Ends])
async def test_who_wrongly_believes_to_run_a_job_writes_nothing_and_lets_go_of_it(server, wrong):
    steps = [wrong(2), Steps(2)]
    async with replicas(server.url, steps) as (first, second):
        await second.ours.sidecar.jobs.stop()
        job_id = await first.submitted()
        await until(lambda: steps[0].running == 1)
        await second.ours.sidecar.jobs.start()
        run_out(server, job_id)
        await within(LOOK_SECONDS, lambda: steps[1].running == 1)
        steps[0].allow(2)
        await until(lambda: steps[0].running == 0)
        steps[1].allow(2)
        await first.reached(f"{POLICY}/{job_id}", "succeeded")
        events = await first.events(f"{POLICY}/{job_id}")
    whats = [event["type"].removeprefix("learning.policy.gepa.") for event in events]
    assert whats == ["job.queued", "job.started", "job.resumed", "step", "step", "job.completed"]
    assert events[-1]["data"]["best_score"] == 0.75
    assert steps[1].taken == [(job_id, 0), (job_id, 1)]


async def test_a_job_whose_sidecar_was_killed_goes_on_elsewhere_and_repeats_nothing(
    server, tmp_path
):
    free = asyncio.Semaphore(0)

    async def when_free(request, body):
        await free.acquire()

    async with FakeProvider() as provider, FakeTaskApp(when_free) as app:
        app.system = "Say yes."
        settings = {"provider.base_url": provider.base_url, "provider.api_key": "sk-test"}
        settings |= {"store.kind": "redis", "store.url": server.url}
        async with serving(tmp_path, settings) as first:
            job_id = await eval_at(first.url, app)
            one = f"{EVAL}/{job_id}"
            async with replicas(server.url, [None], provider_url=provider.base_url) as (second,):
                allow(free, 10)
                await counted(second, one, 10)
                await first.kill()
                run_out(server, job_id)
                began = time.monotonic()
                allow(free, SEEDS)
                await second.happened(one, "job.resumed")
                assert time.monotonic() - began < LOOK_SECONDS + SLACK_SECONDS
                job = await second.reached(one, "completed")
                events = await second.events(one)
    assert job["results"]["completed"] == SEEDS
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert SEEDS <= len(app.seeds) <= SEEDS + AT_ONCE


def allow(free, rollouts):
    for _ in range(rollouts):
        free.release()


async def eval_at(url, app) -> str:
    """The id of an eval that a sidecar was asked for and runs."""
    body = {
        "task_app_url": app.url,
        "task_app_api_key": KEY,
        "seeds": list(range(SEEDS)),
        "policy": {"model": "m"},
        "max_concurrent": AT_ONCE,
    }
    async with aiohttp.ClientSession() as http, http.post(url + EVAL, json=body) as answer:
        return (await answer.json())["job_id"]


async def counted(api: Api, one: str, least: int) -> None:
    """Once so many seeds are in the results, wherever they were run."""
    async with asyncio.timeout(10):
        while len((await api.status(one + "/results"))["results"]) < least:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
