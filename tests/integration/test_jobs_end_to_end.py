"""The whole story of offline jobs on the simulation: a task app written with our helper, a job that
finds a better prompt for it, evals that show so on customers nobody has seen, and the winner served
online. What a prompt is truly worth comes from the simulation, and only the test asks for it."""

import asyncio
import json
import math

import pytest
from support.session_client import VARIABLES
from support.shop import BASELINE, KEY, POLICY, job, open_shop, truth
from support.whole import whole, whole_settings

from sidecar.cli import main
from sidecar.client import EvalJob, GepaOnlineSession, MiproOnlineSession, PolicyOptimizationJob

GEPA = {
    "evaluation": {
        "seeds": {"start": 0, "end": 90},
        "validation_seeds": {"start": 200, "end": 240},
    },
    "rollout": {"budget": 800, "minibatch_size": 10, "max_concurrent": 16},
    "archive": {"pareto_set_size": 30},
    "population": {"initial_size": 10, "num_generations": 6, "children_per_generation": 4},
}
MIPRO = {
    "bootstrap_train_seeds": {"start": 0, "end": 20},
    "online_pool": {"start": 20, "end": 60},
    "val_seeds": {"start": 200, "end": 240},
    "num_iterations": 4,
    "num_evaluations_per_iteration": 5,
    "batch_size": 15,
    "max_concurrent": 16,
    "proposer": {"instructions_per_batch": 3, "generate_at_iterations": [0, 1, 2]},
}
HELD_OUT = {"start": 1000, "end": 1150}
BETTER = 0.04
"""How much better a winner is at least; most are by 0.1 to 0.2."""
SESSIONS = {"gepa": GepaOnlineSession, "mipro": MiproOnlineSession}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in (*VARIABLES, "ENVIRONMENT_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def shop():
    async with open_shop() as shop:
        yield shop


@pytest.fixture
async def ours(shop, monkeypatch):
    _, _, models = shop
    async with whole(whole_settings(models)) as ours:
        monkeypatch.setenv("SIDECAR_URL", ours.sidecar.url)
        yield ours


async def optimised(url, algorithm, section):
    """The end of a policy job."""
    config = job(algorithm, url, section)
    async with PolicyOptimizationJob.from_dict(config, localapi_api_key=KEY) as running:
        await running.submit_async()
        return await running.poll_until_complete_async(timeout=60, interval=0.1)


async def scored(url, env):
    """The rewards of an eval, by held-out seed."""
    config = {
        "task_app_url": url, "task_app_api_key": KEY, "seeds": HELD_OUT, "env_config": env,
        "policy": {"model": POLICY}, "max_concurrent": 16,
    }  # fmt: skip
    async with EvalJob.from_dict(config) as running:
        await running.submit_async()
        result = await running.poll_until_complete_async(timeout=60, interval=0.1)
    assert (result.status, result.num_completed) == ("completed", 150)
    assert [row["error"] for row in result.seed_results] == [None] * 150
    return {row["seed"]: row["score"] for row in result.seed_results}


def off_by(rewards, expected):
    """How many standard errors an average of thumbs is away from what it should be."""
    mean = sum(rewards.values()) / len(rewards)
    return abs(mean - expected) / math.sqrt(expected * (1 - expected) / len(rewards))


@pytest.mark.parametrize(("algorithm", "section"), [("gepa", GEPA), ("mipro", MIPRO)])
async def test_a_job_finds_a_truly_better_prompt_evals_show_it_and_it_is_served_online(
    shop, ours, capsys, algorithm, section
):
    url, provider, _ = shop
    result = await optimised(url, algorithm, section)
    assert result.succeeded, result.error
    winner = result.get_system_prompt()
    assert truth(winner) > truth(BASELINE) + BETTER

    before, after = await scored(url, {}), await scored(url, {"system": winner})
    assert sum(after.values()) > sum(before.values())
    assert off_by(before, truth(BASELINE)) < 4
    assert off_by(after, truth(winner)) < 4

    command = ("sessions", "create", "--from-job", result.job_id, "--id", "winner", "--json")
    capsys.readouterr()  # the sidecar's log
    assert await asyncio.to_thread(main, command) == 0
    created = json.loads(capsys.readouterr().out)
    assert created["session_id"] == "winner"
    status = await SESSIONS[algorithm]("winner").status_async()
    assert [one["text"] for one in status["candidates"]] == [winner]
    asked = [{"role": "system", "content": winner}, {"role": "user", "content": "Hello?"}]
    body = {"model": POLICY, "messages": asked}
    async with ours.http.post(created["chat_completions_url"], json=body) as answer:
        assert answer.status == 200
        assert answer.headers[f"x-{algorithm}-candidate-id"] == "baseline"
        said = await answer.json()
    assert provider.prompt_of(said["id"]) == winner
