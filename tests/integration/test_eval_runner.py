"""Eval jobs: the task app as it is, on given seeds."""

import asyncio
import contextlib
import json

import pytest
from aiohttp import web
from support.rollouts import bench
from support.task_app import BASELINE, KEY, MAGIC, FakeTaskApp

from sidecar.core.job import JobKind, JobRecord
from sidecar.jobs.base import JobFailed
from sidecar.jobs.eval_config import parse
from sidecar.jobs.keys import keep_keys
from sidecar.jobs.run_eval import EvalRunner


def job(app, seeds, job_id="eval-1", **fields):
    config = parse({"task_app_url": app.url, "seeds": seeds, "timeout": 5.0, **fields})
    return JobRecord(job_id, JobKind.EVAL, "", config.dump(), 1.0)


async def run(at, record):
    runner = EvalRunner(at.evaluators)
    return await runner(record, await at.log(record), at.control)


async def events(at, record, what):
    found = await at.events(record)
    return [event for event in found if event.type == f"eval.policy.{what}"]


@contextlib.asynccontextmanager
async def evals(behave=None):
    async with bench() as at, FakeTaskApp(behave) as app:
        yield at, app


async def good_for_even(request, body):
    """Not at all like a policy job: the app's own prompt decides."""
    return web.json_response({"reward_info": {"outcome_reward": 1 - body["env"]["seed"] % 2}})


async def fail_on_three(request, body):
    failed = web.json_response({"detail": "no such row"}, status=500)
    return failed if body["env"]["seed"] == 3 else await good_for_even(request, body)


async def test_the_task_app_is_scored_with_its_own_prompt():
    async with evals() as (at, app):
        app.system = f"My own prompt, with the {MAGIC}."
        summary = await run(at, job(app, [1, 2]))
    assert [seen.system for seen in at.provider.seen] == [app.system] * 2
    assert summary == {
        "mean_reward": 1.0,
        "total_tokens": 2200,
        "total_cost_usd": pytest.approx(2 * (1000 * 0.4e-6 + 100 * 1.6e-6)),
        "num_seeds": 2,
        "num_successful": 2,
        "num_failed": 0,
    }


async def test_each_seed_is_told_with_its_reward_tokens_cost_and_latency():
    async with evals() as (at, app):
        record = job(app, [4, 2], max_concurrent=1)
        await run(at, record)
        found = await events(at, record, "seed.completed")
    assert [event.data["seed"] for event in found] == [4, 2]
    data = found[0].data
    assert (data["reward"], data["tokens"], data["error"]) == (0.0, 1100, None)
    assert data["cost_usd"] > 0
    assert data["latency_ms"] > 0


async def test_a_seed_that_fails_counts_as_nothing_and_the_job_goes_on():
    async with evals(fail_on_three) as (at, app):
        record = job(app, [2, 3, 4])
        summary = await run(at, record)
        found = await events(at, record, "seed.completed")
    assert summary["mean_reward"] == pytest.approx(2 / 3)
    assert (summary["num_successful"], summary["num_failed"]) == (2, 1)
    (failed,) = [event.data for event in found if event.data["error"]]
    assert (failed["seed"], failed["reward"]) == (3, 0.0)
    assert "no such row" in failed["error"]


async def test_a_job_of_which_nothing_worked_has_failed_and_says_why():
    async with evals(fail_on_three) as (at, app):
        with pytest.raises(JobFailed, match=r"All 1 rollouts failed.*no such row"):
            await run(at, job(app, [3]))


async def test_progress_is_told_as_it_happens_and_not_for_every_one_of_many():
    async with evals(good_for_even) as (at, app):
        few, many = job(app, range_(3)), job(app, range_(250), "eval-2")
        await run(at, few)
        await run(at, many)
        told = await events(at, few, "progress")
        assert len(await events(at, many, "progress")) == 84
    assert [event.data["completed"] for event in told] == [1, 2, 3]
    assert told[-1].data == {
        "completed": 3,
        "total": 3,
        "mean_reward": pytest.approx(2 / 3),
        "total_tokens": 0,
        "total_cost_usd": 0.0,
    }


def range_(count):
    return {"start": 0, "end": count}


async def test_every_seed_leaves_a_trace_of_both_sides():
    async with evals() as (at, app):
        record = job(app, [7])
        await run(at, record)
        assert [name for name, _ in await at.store.artifacts("eval-1")] == ["traces/seed_7.json"]
        trace = json.loads(await at.store.artifact("eval-1", "traces/seed_7.json"))
    (call,) = trace["calls"]
    assert call["messages"][0] == {"role": "system", "content": BASELINE}
    assert (call["reply"], call["status"], call["prompt_tokens"]) == ("no", 200, 1000)
    assert trace["rollout"]["trace"] == {"inference": {"response": "no"}}
    assert (trace["seed"], trace["reward"], trace["error"]) == (7, 0.0, None)
    assert KEY not in json.dumps(trace)


async def test_a_trace_that_json_hardly_holds_is_kept():
    async def odd(request, body):
        numbers = '{"reward_info": {"outcome_reward": 1}, "n": 1208925819614629174706176, '
        text = numbers + '"s": "\\ud83d"}'
        return web.Response(text=text, content_type="application/json")

    async def large(request, body):
        answer = {"reward_info": {"outcome_reward": 1}, "artifact": "x" * 5_000_000}
        return web.json_response(answer)

    async with evals(odd) as (at, app):
        await run(at, job(app, [1]))
        app.behave = large
        await run(at, job(app, [1], "eval-2"))
        first, second = [
            json.loads(await at.store.artifact(name, "traces/seed_1.json"))
            for name in ("eval-1", "eval-2")
        ]
    assert first["rollout"]["n"] == 2**80
    assert second["rollout"] == "too large"


async def test_a_job_that_is_run_again_calls_nothing_again_and_tells_nothing_twice():
    async with evals(fail_on_three) as (at, app):
        record = job(app, [1, 2, 3])
        first = await run(at, record)
        before = await at.events(record)
        assert await run(at, record) == first
        assert await at.events(record) == before
    assert len(app.rollouts) == 3


async def test_a_job_that_was_stopped_in_the_middle_goes_on_from_there():
    async def hang_on_two(request, body):
        if body["env"]["seed"] == 2:
            await asyncio.Event().wait()

    async with evals(hang_on_two) as (at, app):
        record = job(app, [1, 2, 3])
        work = asyncio.create_task(run(at, record))
        while len(await events(at, record, "progress")) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        app.behave = None
        summary = await run(at, record)
        told = await events(at, record, "progress")
    assert sorted(app.seeds) == [1, 2, 2, 3]
    assert summary["num_successful"] == 3
    assert [event.data["completed"] for event in told] == [1, 2, 3]


async def test_the_settings_of_the_job_reach_the_task_app():
    async with evals() as (at, app):
        record = job(
            app,
            [5],
            app_id="colours",
            policy={"model": "m", "temperature": 0.5, "api_key": "sk-x"},
            env_config={"split": "test"},
        )
        await run(at, record)
    (body,) = app.rollouts
    assert body["env"] == {
        "env_name": "colours",
        "seed": 5,
        "config": {"split": "test", "seed": 5},
    }
    config = body["policy"]["config"]
    assert (config["model"], config["temperature"]) == ("m", 0.5)
    assert "api_key" not in config
    assert body["trace_correlation_id"].startswith("eval_")
    assert body["safety"] == {"max_time_s": 5.0}


async def test_the_key_that_came_with_the_job_wins_over_the_uploaded_one():
    async with evals() as (at, app):
        app.key = "key-of-this-job"
        record = job(app, [1])
        await keep_keys(at.store, record.job_id, "key-of-this-job", "", 1.0)
        await run(at, record)
        assert "key-of-this-job" not in str(await at.events(record))
    assert {headers["x-api-key"] for headers in app.headers} == {"key-of-this-job"}
