"""P11 for offline jobs: a sidecar that was killed, or stopped, goes on with them where it was."""

import asyncio
import contextlib
import json
import signal

import aiohttp
from support.process import serving, start
from support.provider import FakeProvider
from support.task_app import KEY, FakeTaskApp

EVAL = "/api/eval/jobs"
SEEDS = 60
AT_ONCE = 3


class Door:
    """Lets rollouts through one by one."""

    def __init__(self):
        self.free = asyncio.Semaphore(0)

    async def __call__(self, request, body):
        await self.free.acquire()

    def allow(self, rollouts):
        for _ in range(rollouts):
            self.free.release()


@contextlib.asynccontextmanager
async def world():
    door = Door()
    async with (
        FakeProvider() as provider,
        FakeTaskApp(door) as app,
        aiohttp.ClientSession() as http,
    ):
        app.system = "Say yes."
        settings = {"provider.base_url": provider.base_url, "provider.api_key": "sk-test"}
        yield door, app, http, settings


async def get(http, url):
    async with http.get(url) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def submitted(http, url, app):
    body = {
        "task_app_url": app.url,
        "task_app_api_key": KEY,
        "seeds": list(range(SEEDS)),
        "policy": {"model": "m"},
        "max_concurrent": AT_ONCE,
    }
    async with http.post(url + EVAL, json=body) as answer:
        assert answer.status == 200, await answer.text()
        return (await answer.json())["job_id"]


async def completed(http, one, least):
    """The results, once there are so many."""
    async with asyncio.timeout(30):
        while True:
            found = (await get(http, one + "/results"))["results"]
            if len(found) >= least:
                return found
            await asyncio.sleep(0.02)


async def over(http, one):
    async with asyncio.timeout(30):
        while True:
            job = await get(http, one)
            if job["status"] in {"completed", "failed", "cancelled"}:
                return job
            await asyncio.sleep(0.02)


async def test_a_job_that_was_killed_goes_on_and_repeats_nothing_that_counted(tmp_path):
    async with world() as (door, app, http, settings):
        async with serving(tmp_path, settings) as first:
            job_id = await submitted(http, first.url, app)
            door.allow(20)
            before = await completed(http, f"{first.url}{EVAL}/{job_id}", 20)
            await first.kill()
        door.allow(SEEDS)
        async with serving(tmp_path, settings) as second:
            one = f"{second.url}{EVAL}/{job_id}"
            job = await over(http, one)
            assert (job["status"], job["results"]["completed"]) == ("completed", SEEDS)
            found = await get(http, one + "/results")
            events = (await get(http, one + "/events?limit=10000"))["events"]
    assert [row["seed"] for row in found["results"]] == list(range(SEEDS))
    assert found["summary"]["num_failed"] == 0
    assert len(before) == 20
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    counted = {row["seed"] for row in before}
    assert all(app.seeds.count(seed) == 1 for seed in counted)
    assert SEEDS <= len(app.seeds) <= SEEDS + AT_ONCE


async def test_a_stop_leaves_a_job_for_the_next_start_and_is_not_held_up(tmp_path):
    async with world() as (door, app, http, settings):
        settings["server.drain_seconds"] = 20
        first = await start(tmp_path, settings)
        job_id = await submitted(http, first.url, app)
        door.allow(5)
        await completed(http, f"{first.url}{EVAL}/{job_id}", 5)
        stream = await http.get(f"{first.url}{EVAL}/{job_id}/events/stream")
        first.signal(signal.SIGTERM)
        assert await first.ended(10) == 0
        assert b"[DONE]" not in await stream.read()
        door.allow(SEEDS + AT_ONCE)
        async with serving(tmp_path, settings) as second:
            job = await over(http, f"{second.url}{EVAL}/{job_id}")
            found = await get(http, f"{second.url}{EVAL}/{job_id}/results")
    assert job["status"] == "completed"
    assert found["summary"]["num_failed"] == 0
    assert KEY not in json.dumps([job, found]) + first.said + second.said
