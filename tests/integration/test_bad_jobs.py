"""Jobs that cannot be, and jobs whose task app is not as it should be, over the published API: each
has a clear state and says why, and nothing hangs."""

import asyncio
import json

import pytest
from aiohttp import web
from support.api import KEY, refusal
from support.gateway import RawClient, request_bytes, until
from support.job_api import EVAL, POLICY, Api
from support.provider import FakeProvider
from support.rollouts import says_yes_to_magic
from support.task_app import BASELINE, FakeTaskApp, rewarded
from support.task_app import KEY as APP_KEY
from support.whole import whole, whole_settings

FINAL = {"succeeded", "completed", "failed", "cancelled"}
SEEDS = list(range(20))
FRESH = list(range(100, 110))
SECTIONS = {
    "gepa": {
        "evaluation": {"seeds": SEEDS, "validation_seeds": FRESH},
        "rollout": {"budget": 60, "minibatch_size": 4},
        "population": {"initial_size": 2, "num_generations": 1, "children_per_generation": 1},
    },
    "mipro": {
        "online_pool": SEEDS, "val_seeds": FRESH, "num_iterations": 1, "batch_size": 4,
        "num_evaluations_per_iteration": 2,
    },
}  # fmt: skip
KINDS = ["eval", *SECTIONS]


async def no_reward(request, body):
    return rewarded(trace={}, success_status="success")


async def nan(request, body):
    return web.Response(text='{"reward_info": {"outcome_reward": NaN}}')


async def billion(request, body):
    return rewarded(reward_info={"outcome_reward": 1e9})


BAD_REWARDS = [(no_reward, "no reward"), (nan, "NaN"), (billion, "1e+09")]


def sometimes(fault):
    """On every fifth seed."""

    async def behave(request, body):
        return await fault(request, body) if body["env"]["seed"] % 5 == 0 else None

    return behave


@pytest.fixture
async def api():
    server = {"port": 0, "drain_seconds": 0.1, "api_keys": (KEY,)}
    async with FakeProvider() as provider:
        provider.script = says_yes_to_magic
        async with whole(whole_settings(provider.base_url, server=server)) as ours:
            yield Api(ours)


def policy(url, algorithm, section, key=APP_KEY):
    config = {
        "algorithm": algorithm,
        "task_app_url": url,
        "task_app_api_key": key,
        "initial_prompt": {"messages": [{"role": "system", "pattern": BASELINE}]},
        "policy": {"model": "m"},
        algorithm: section,
    }
    return {"prompt_learning": config}


async def submitted(api, kind, url, key=APP_KEY):
    """The path of a new job of this kind, of which nothing but the task app is wrong."""
    path, body = POLICY, {}
    if kind == "eval":
        path = EVAL
        body = {"task_app_url": url, "task_app_api_key": key, "seeds": SEEDS, "policy": {}}
    else:
        body = policy(url, kind, SECTIONS[kind], key)
    answer = await api.post(path, body)
    assert answer.status == 200, answer.body
    return f"{path}/{answer.json['job_id']}"


async def ended(api, one):
    async with asyncio.timeout(20):
        while True:
            job = await api.status(one)
            if job["status"] in FINAL:
                return job
            await asyncio.sleep(0.01)


async def failed(api, one, says):
    """A job that could not: it says so in its status, its last event and its stream."""
    job = await ended(api, one)
    assert job["status"] == "failed"
    assert says in job["error"]
    assert (await api.events(one))[-1]["message"] == job["error"]
    stream = await api.get(one + "/events/stream")
    assert says.encode() in stream.body
    assert stream.body.endswith(b"data: [DONE]\n\n")
    return job["error"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_task_app_that_is_not_there_fails_the_job_with_its_address(api, kind):
    for runner in api.ours.sidecar.jobs.runs.runners.values():
        runner._evaluators._patience = 0.3
    async with FakeTaskApp() as app:
        pass
    error = await failed(api, await submitted(api, kind, app.url), "cannot be reached")
    assert app.url in error


@pytest.mark.parametrize("kind", KINDS)
async def test_a_wrong_environment_key_fails_the_job_and_is_shown_to_nobody(api, kind, capfd):
    async with FakeTaskApp() as app:
        one = await submitted(api, kind, app.url, "not-the-key-of-this-app")
        error = await failed(api, one, "refused our key (HTTP 400)")
        shown = [json.dumps([await api.status(one), await api.events(one)]), *capfd.readouterr()]
    assert "ENVIRONMENT_API_KEY" in error
    assert app.rollouts == []
    assert not [text for text in shown if "not-the-key" in text or APP_KEY[:15] in text]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("fault", "says"), BAD_REWARDS)
async def test_rewards_that_are_never_any_good_fail_the_job_early(api, kind, fault, says):
    async with FakeTaskApp(fault) as app:
        error = await failed(api, await submitted(api, kind, app.url), says)
    assert "all failed" in error
    assert len(app.rollouts) <= 30


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("fault", "says"), BAD_REWARDS)
async def test_a_bad_reward_now_and_then_is_worth_nothing_and_the_job_succeeds(
    api, kind, fault, says
):
    async with FakeTaskApp(sometimes(fault)) as app:
        one = await submitted(api, kind, app.url)
        job = await ended(api, one)
    assert job["status"] in {"succeeded", "completed"}
    rollouts = [e["data"] for e in await api.events(one) if "correlation_id" in e["data"]]
    bad = [data for data in rollouts if data["error"]]
    assert {data["seed"] % 5 for data in bad} == {0}
    assert {data["reward"] for data in bad} == {0.0}
    assert all(says in data["error"] for data in bad)


OVERLAP = [
    ("gepa", {**SECTIONS["gepa"], "evaluation": {"seeds": SEEDS, "validation_seeds": [7, 100]}}),
    ("mipro", {**SECTIONS["mipro"], "val_seeds": [7, 100]}),
    ("mipro", {**SECTIONS["mipro"], "bootstrap_train_seeds": [7], "online_pool": [1],
               "val_seeds": [7]}),
]  # fmt: skip


@pytest.mark.parametrize(("algorithm", "section"), OVERLAP)
async def test_seeds_that_are_for_training_and_validation_are_refused_and_named(
    api, algorithm, section
):
    answer = await api.post(POLICY, policy("http://127.0.0.1:9", algorithm, section))
    assert "both training and validation (or test) seeds: 7;" in refusal(answer, 400)
    assert (await api.get(POLICY)).json == {"jobs": []}


NOTHING_TO_SPEND = [
    ("gepa", {**SECTIONS["gepa"], "rollout": {"budget": 0}}, {}, "gepa.rollout.budget"),
    ("gepa", {**SECTIONS["gepa"], "rollout": {}, "rollout_budget": 0}, {}, "gepa.rollout.budget"),
    *(
        (algorithm, section, {name: 0}, f"termination_config.{name}")
        for algorithm, section in SECTIONS.items()
        for name in ("max_rollouts", "max_trials", "max_seconds", "max_cost_usd")
    ),
]


@pytest.mark.parametrize(("algorithm", "section", "limits", "field"), NOTHING_TO_SPEND)
async def test_a_budget_of_nothing_is_refused_by_its_name(api, algorithm, section, limits, field):
    body = policy("http://127.0.0.1:9", algorithm, section)
    if limits:
        body["prompt_learning"]["termination_config"] = limits
    answer = await api.post(POLICY, body)
    assert field in refusal(answer, 400)
    assert (await api.get(POLICY)).json == {"jobs": []}


async def test_a_stream_that_nobody_reads_holds_no_running_job_up(api):
    api.ours.sidecar.streams._patience = 0.3
    long = "x" * 4000

    async def talks(request, body):
        return rewarded(reward_info={"outcome_reward": 1.0, "details": {"feedback": long}})

    async with FakeTaskApp(talks) as app:
        body = {
            "task_app_url": app.url, "task_app_api_key": APP_KEY, "seeds": list(range(500)),
            "policy": {},
        }  # fmt: skip
        job_id = (await api.post(EVAL, body)).json["job_id"]
        one = f"{EVAL}/{job_id}"
        port = api.ours.sidecar.url.rsplit(":", 1)[1]
        async with RawClient(port, receive_buffer=4096) as client:
            path = one + "/events/stream"
            await client.send(request_bytes("GET", path, b"", b"X-API-Key: " + KEY.encode()))
            await until(lambda: bool(api.ours.sidecar.streams._open))
            job = await ended(api, one)
            await until(lambda: not api.ours.sidecar.streams._open)
    assert job["status"] == "completed"
