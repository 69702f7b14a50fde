"""Six offline jobs at once in a sidecar of its own, against a task app that fails one call in
twenty, breaks connections and stalls; one more is cancelled on the way, and all are killed with the
sidecar and go on."""

import asyncio
import contextlib
import json
from collections import Counter

import aiohttp
from aiohttp import web
from support.process import serving
from support.provider import FakeProvider
from support.task_app import BASELINE, KEY, MAGIC, FakeTaskApp, reset, stall

POLICY, EVAL = "/api/policy-optimization/online/jobs", "/api/eval/jobs"
AT_ONCE = 4
"""Rollouts of one job."""
ROLLOUT_SECONDS = 2.0
FINAL = {"succeeded", "completed", "failed", "cancelled"}
FAULTS = ("the dataset is gone", "no answer within 2 seconds")
SEEDS, FRESH = list(range(30)), list(range(100, 120))
SCORED = 150
"""Seeds of an eval."""
GEPA = {
    "evaluation": {"seeds": SEEDS, "validation_seeds": FRESH},
    "rollout": {"budget": 150, "minibatch_size": 4, "max_concurrent": AT_ONCE},
    "population": {"initial_size": 4, "num_generations": 4, "children_per_generation": 2},
}
MIPRO = {
    "online_pool": SEEDS, "val_seeds": FRESH, "num_iterations": 2, "batch_size": 8,
    "num_evaluations_per_iteration": 3, "max_concurrent": AT_ONCE,
}  # fmt: skip


class BadDay:
    """One rollout in twenty is an error, as many lose their connection, one in sixty stalls."""

    def __init__(self):
        self.number = 0
        self.broken = set()
        """Correlation ids of the rollouts whose connection broke."""

    async def __call__(self, request, body):
        self.number += 1
        if self.number % 20 == 7:
            return web.json_response({"detail": "the dataset is gone"}, status=500)
        if self.number % 20 == 13:
            self.broken.add(body["trace_correlation_id"])
            return await reset(request)
        if self.number % 60 == 39:
            return await stall()
        return None


class Models:
    """One that answers well when it is told how, else a third of the time; and one that writes
    prompts which say how, never the same twice."""

    def __init__(self):
        self.written = 0

    async def __call__(self, request, body):
        asked = json.loads(body)
        said = self._written() if asked["model"] == "reflect" else _coloured(asked["messages"])
        choice = {"index": 0, "message": {"role": "assistant", "content": said}}
        return web.json_response({"id": "chatcmpl-1", "choices": [choice]})

    def _written(self):
        self.written += 1
        return f"```\n{BASELINE} Answer {MAGIC}, please. Version {self.written}.\n```"


def _coloured(messages):
    good = any(MAGIC in m["content"] for m in messages if m["role"] == "system")
    seed = int(messages[-1]["content"].removeprefix("item "))
    return "yes" if good or seed % 3 == 0 else "no"


class Jobs:
    """Calls to the sidecar that runs now."""

    def __init__(self, http):
        self._http = http
        self.url = ""

    async def get(self, path):
        async with self._http.get(self.url + path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def post(self, path, body):
        async with self._http.post(self.url + path, json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def optimise(self, app, algorithm, section):
        config = {
            "algorithm": algorithm,
            "task_app_url": app.url,
            "task_app_api_key": KEY,
            "initial_prompt": {"messages": [{"role": "system", "pattern": BASELINE}]},
            "policy": {"model": "m"},
            algorithm: {"proposer_model": "reflect", **section},
        }
        return f"{POLICY}/{(await self.post(POLICY, {'prompt_learning': config}))['job_id']}"

    async def score(self, app):
        body = {
            "task_app_url": app.url, "task_app_api_key": KEY, "seeds": list(range(SCORED)),
            "policy": {"model": "m"}, "max_concurrent": AT_ONCE, "timeout": ROLLOUT_SECONDS,
        }  # fmt: skip
        return f"{EVAL}/{(await self.post(EVAL, body))['job_id']}"

    async def over(self, one):
        while True:
            job = await self.get(one)
            if job["status"] in FINAL:
                return job
            await asyncio.sleep(0.05)

    async def rollouts(self, one):
        """The data of a job's rollouts, as they are in its journal."""
        events = (await self.get(one + "/events?limit=100000"))["events"]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        return [e["data"] for e in events if "correlation_id" in e["data"]]


@contextlib.asynccontextmanager
async def world():
    async with (
        FakeProvider() as provider,
        FakeTaskApp(BadDay()) as app,
        aiohttp.ClientSession() as http,
    ):
        provider.script = Models()
        settings = {
            "provider.base_url": provider.base_url,
            "provider.api_key": "sk-test",
            "jobs.rollout_seconds": ROLLOUT_SECONDS,
        }
        yield app, Jobs(http), settings


async def reached(app, count):
    """Once the task app was asked for so many rollouts."""
    while len(app.rollouts) < count:  # noqa: ASYNC110 - nobody announces it
        await asyncio.sleep(0.005)


def lost(app, counted):
    """Rollouts that were paid for and are not in the journals, as (when, job): not those whose
    connection broke, which are tried again."""
    kept = {data["correlation_id"] for data in counted} | app.behave.broken
    return [
        (number, body["training_session_id"])
        for number, body in enumerate(app.rollouts)
        if body["trace_correlation_id"] not in kept
    ]


def asked(app):
    """How many rollouts each job asked for."""
    return Counter(body["training_session_id"] for body in app.rollouts)


def job_id(one):
    return one.rpartition("/")[2]


async def cancelled(jobs, one):
    """Cancel a job that runs; how long that took, until it was seen to be final."""
    loop = asyncio.get_running_loop()
    assert (await jobs.get(one))["status"] == "running"
    began = loop.time()
    assert (await jobs.post(one + "/cancel", {}))["status"] == "succeeded"
    assert (await jobs.get(one))["status"] == "cancelled"
    return loop.time() - began


async def test_six_jobs_survive_a_bad_task_app_and_a_kill_and_pay_for_nothing_twice(tmp_path):
    async with asyncio.timeout(120), world() as (app, jobs, settings):
        async with serving(tmp_path, settings) as first:
            jobs.url = first.url
            six = [
                await jobs.optimise(app, algorithm, section)
                for algorithm, section in (("gepa", GEPA), ("mipro", MIPRO)) * 2
            ]
            six += [await jobs.score(app), await jobs.score(app)]
            one_more = await jobs.optimise(app, "gepa", GEPA)
            await reached(app, 120)
            assert await cancelled(jobs, one_more) < 1.0
            at_its_end = asked(app)[job_id(one_more)]
            await reached(app, 350)
            assert {(await jobs.get(one))["status"] for one in six} == {"running"}
            await first.kill()
        killed_at = len(app.rollouts)
        async with serving(tmp_path, settings) as second:
            jobs.url = second.url
            ended = [await jobs.over(one) for one in six]
            counted = {job_id(one): await jobs.rollouts(one) for one in (*six, one_more)}
            assert (await jobs.get(one_more))["status"] == "cancelled"

    said = first.said + second.said
    assert "Traceback" not in said
    assert KEY not in said
    assert [job["status"] for job in ended] == ["succeeded"] * 4 + ["completed"] * 2
    assert all(MAGIC in job["best_prompt"]["messages"][0]["pattern"] for job in ended[:4])
    assert [len(counted[job_id(one)]) for one in six[4:]] == [SCORED, SCORED]
    errors = Counter(data["error"] for rows in counted.values() for data in rows if data["error"])
    assert all(any(fault in error for error in errors) for fault in FAULTS)
    assert asked(app)[job_id(one_more)] == at_its_end > 0

    for rows in counted.values():
        keys = [(d["prompt"], d["split"], d["seed"], d["repeat"]) for d in rows]
        assert len(set(keys)) == len(keys)
    every = [data for rows in counted.values() for data in rows]
    gone = [(when, job) for when, job in lost(app, every) if job != job_id(one_more)]
    assert all(when < killed_at for when, _ in gone)
    assert all(count <= AT_ONCE for count in Counter(job for _, job in gone).values())
