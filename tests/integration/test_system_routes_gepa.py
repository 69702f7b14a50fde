"""The calls of the public GEPA demo, in its order, and what else only its routes promise."""

import pytest
from support.api import KEY, call, refusal
from support.backends import SYSTEM, create_request, proposing
from support.gateway import ask
from support.provider import FakeProvider
from support.whole import whole, whole_settings

ONE = "/api/gepa/v1/probe_online_1"
CONFIG = create_request(None)["config_body"]


@pytest.fixture
async def provider():
    async with FakeProvider() as provider:
        yield provider


@pytest.fixture
async def ours(provider):
    server = {"port": 0, "drain_seconds": 0.1, "api_keys": (KEY,)}
    async with whole(whole_settings(provider.base_url, server=server)) as ours:
        yield ours


async def post(ours, path, body):
    return await call(ours, "POST", path, body, Authorization=f"Bearer {KEY}", X_API_Key=KEY)


async def get(ours, path):
    return await call(ours, "GET", path, X_API_Key=KEY)


async def init(ours, **changes):
    body = {"system_id": "probe_online_1", "org_id": "demo", "config": CONFIG, **changes}
    return await post(ours, "/api/gepa/v1/init", body)


async def rollout(ours):
    """One call of the demo: which rollout and candidate it was."""
    body = {"model": "m", "messages": ask("hi", SYSTEM)}
    answer = await call(ours, "POST", f"{ONE}/chat/completions", body, X_API_Key=KEY)
    assert answer.status == 200
    names = ("rollout_id", "candidate_id")
    return {name: answer.headers[f"x-gepa-{name.replace('_', '-')}"] for name in names}


async def test_the_demo_runs(ours):
    created = await init(ours)
    assert (created.status, created.json["status"]) == (200, "started")
    assert created.json["system_id"] == created.json["session_id"] == "probe_online_1"
    assert created.json["proxy_url"] == created.json["online_url"] == ours.sidecar.url + ONE
    assert created.json["chat_completions_url"] == f"{ours.sidecar.url}{ONE}/chat/completions"
    served = await rollout(ours)
    done = await post(ours, f"{ONE}/status", {"status": "done", "reward": 1.0, **served})
    assert done.status == 200
    assert done.json == {
        "status": "started",
        "system_id": "probe_online_1",
        "session_id": "probe_online_1",
        "reward_count": 1,
        "counted": True,
        **served,
    }
    state = (await get(ours, f"{ONE}/state")).json
    assert (state["system_id"], state["status"]) == ("probe_online_1", "started")
    assert (state["rollout_count"], state["reward_count"]) == (1, 1)
    assert (state["proposal_seq"], state["archived_candidates"]) == (0, [])
    assert isinstance(state["version"], int)
    baseline = state["candidates"]["baseline"]
    assert (baseline["avg_reward"], baseline["rollout_count"]) == (1.0, 1)
    assert baseline["parent_id"] is None


async def test_the_same_system_again_is_the_one_that_is_there(ours):
    first, served = (await init(ours)).json, await rollout(ours)
    again = await init(ours)
    assert (again.status, again.json["job_id"]) == (200, first["job_id"])
    assert served["rollout_id"]
    assert again.json["rollout_count"] == 1


async def test_who_it_is_for_is_kept(ours):
    await init(ours)
    assert (await get(ours, f"{ONE}/state")).json["metadata"] == {"org_id": "demo"}


@pytest.mark.parametrize(
    "changes",
    [
        {"system_id": None},
        {"system_id": 7},
        {"system_id": ""},
        {"system_id": "a/b"},
        {"system_id": "v1"},
        {"org_id": 7},
        {"config": None},
        {"config": "x.toml"},
        {"config": {}},
        {"config": {"prompt_learning": {"algorithm": "none"}}},
        {"config": create_request(None, "mipro")["config_body"]},
    ],
)
async def test_a_system_that_cannot_be_is_refused(ours, changes):
    refusal(await init(ours, **changes), 400)


async def test_a_retired_candidate_is_archived(ours, provider):
    proposing(provider)
    safety = {"delta": 0.5}
    config = create_request(
        None, online_prune_threshold=0.9, online_prune_min_rollouts=1, safety=safety
    )["config_body"]
    await init(ours, config=config)
    for _ in range(400):
        served = await rollout(ours)
        body = {"reward_info": {"score": 0, "feedback": "bad"}, **served}
        await post(ours, "/api/prompt-learning/online/gepa/sessions/probe_online_1/reward", body)
        state = (await get(ours, f"{ONE}/state")).json
        if state["archived_candidates"]:
            break
    [archived, *_] = state["archived_candidates"]
    assert archived["role"] == "retired"
    assert archived["parent_id"]
    assert archived["candidate_id"] not in state["candidates"]
