"""The calls of the public MIPRO Banking77 demo, in its order, and what only its routes promise."""

import json
import re
from copy import deepcopy

import pytest
from support.api import KEY, call
from support.backends import SYSTEM, eventually, proposing
from support.gateway import ask
from support.provider import FakeProvider
from support.whole import whole, whole_settings

JOBS = "/api/prompt-learning/online/jobs"
SEEDS = [0, 1, 2]
PROPOSER = {
    "mode": "instruction_only",
    "model": "reflect-1",
    "provider": "openai",
    "temperature": 0.7,
    "max_tokens": 512,
    "generate_at_iterations": [0],
    "instructions_per_batch": 1,
}
CONFIG = {
    "prompt_learning": {
        "algorithm": "mipro",
        "task_app_id": "banking77",
        "task_app_url": "http://localhost:8016",
        "initial_prompt": {
            "id": "banking77_pattern",
            "name": "Banking77 Classification",
            "messages": [
                {"role": "system", "order": 0, "pattern": SYSTEM},
                {"role": "user", "order": 1, "pattern": "{query}\n\n{available_intents}"},
            ],
            "wildcards": {"query": "REQUIRED", "available_intents": "OPTIONAL"},
        },
        "policy": {
            "model": "gpt-4.1-nano",
            "provider": "openai",
            "inference_mode": "synth_hosted",
            "temperature": 0.0,
            "max_completion_tokens": 256,
        },
        "mipro": {
            "mode": "online",
            "bootstrap_train_seeds": SEEDS,
            "reference_pool": SEEDS,
            "val_seeds": [50, 51, 52],
            "online_pool": SEEDS,
            "online_proposer_mode": "inline",
            "online_proposer_min_rollouts": 20,
            "proposer": PROPOSER,
        },
    }
}


@pytest.fixture
async def provider():
    async with FakeProvider() as provider:
        yield provider


@pytest.fixture
async def ours(provider):
    server = {"port": 0, "drain_seconds": 0.1, "api_keys": (KEY,)}
    async with whole(whole_settings(provider.base_url, server=server)) as ours:
        yield ours


class Demo:
    """The demo's own calls."""

    def __init__(self, ours):
        self.ours = ours

    async def create_job(self, config=CONFIG):
        body = {"algorithm": "mipro", "config_body": config}
        answer = await call(self.ours, "POST", JOBS, body, Authorization=f"Bearer {KEY}")
        assert answer.status == 200, answer.body
        return answer.json["job_id"]

    async def find_system(self, job_id):
        query = "include_events=false&include_snapshot=false&include_metadata=true"
        metadata = (await self.get(f"{JOBS}/{job_id}?{query}")).json["metadata"]
        self.system = f"/api/prompt-learning/online/mipro/systems/{metadata['mipro_system_id']}"
        self.proxy = metadata["mipro_proxy_url"]
        return metadata

    async def run_rollout(self, rollout_id):
        """The task app's call: it has the URL and no key."""
        path = f"{self.proxy.removeprefix(self.ours.sidecar.url)}/{rollout_id}/chat/completions"
        body = {"model": "gpt-4.1-nano", "messages": ask("Where is my card?", SYSTEM)}
        answer = await call(self.ours, "POST", path, body)
        assert answer.status == 200
        assert answer.headers["x-mipro-rollout-id"] == rollout_id
        return answer.headers["x-mipro-candidate-id"]

    async def push_status(self, **body):
        path = f"{self.system}/status"
        answer = await call(self.ours, "POST", path, body, Authorization=f"Bearer {KEY}")
        assert answer.status == 200, answer.body
        return answer.json

    async def state(self):
        return (await self.get(f"{self.system}/state")).json

    async def get(self, path):
        answer = await call(self.ours, "GET", path, Authorization=f"Bearer {KEY}")
        assert answer.status == 200, answer.body
        return answer


async def test_the_demo_runs(ours, provider):
    demo = Demo(ours)
    job_id = await demo.create_job()
    assert re.fullmatch("pl_[0-9a-f]{16}", job_id)
    metadata = await demo.find_system(job_id)
    assert demo.proxy == f"{ours.sidecar.url}/api/mipro/v1/{metadata['mipro_system_id']}"
    for seed, reward in zip(SEEDS, (1.0, 0.0, 0.5), strict=True):
        rollout_id = f"trace_rollout_{seed}_a1b2c{seed}"
        candidate = await demo.run_rollout(rollout_id)
        served = {"rollout_id": rollout_id, "candidate_id": candidate}
        counted = await demo.push_status(status="reward", reward=reward, **served)
        assert counted["candidate_id"] == candidate
        await demo.push_status(status="done", **served)
    state = await demo.state()
    assert state["best_candidate_id"] == "baseline"
    best = state["candidates"]["baseline"]
    assert (best["rollout_count"], best["avg_reward"], best["parent_id"]) == (3, 0.5, None)
    assert best["stage_payloads"] == {"system": {"instruction_text": SYSTEM}}
    assert isinstance(state["best_score"], float)
    assert isinstance(state["version"], int)
    assert (state["proposal_seq"], state["reward_count"]) == (0, 3)
    assert (await demo.get(f"{demo.system}/events?since_seq=0&limit=10")).json == {"events": []}
    assert json.loads(provider.last.body)["messages"] == ask("Where is my card?", SYSTEM)


async def test_the_state_tells_what_was_tried_from_what_is_proven(ours):
    demo = Demo(ours)
    await demo.find_system(await demo.create_job())
    assert (await demo.state())["attempted_candidates"] == []
    await demo.run_rollout("trace_rollout_0_a1b2c3")
    await demo.push_status(rollout_id="trace_rollout_0_a1b2c3", status="done", reward=1.0)
    state = await demo.state()
    [tried] = state["attempted_candidates"]
    assert (tried["candidate_id"], tried["score"], tried["reward_count"]) == ("baseline", 1.0, 1)
    assert state["optimized_candidates"] == []
    lever = f"mipro.prompt.{state['system_id']}"
    assert state["lever_summary"]["prompt_lever_id"] == lever
    assert state["lever_versions"] == {lever: 0}
    assert (state["best_lever_version"], state["sensor_frames"]) == (0, [])


async def test_a_new_instruction_becomes_a_candidate_in_the_state(ours, provider):
    proposing(provider)
    demo, number = Demo(ours), 0
    config = deepcopy(CONFIG)
    config["prompt_learning"]["mipro"]["online_proposer_min_rollouts"] = 5
    await demo.find_system(await demo.create_job(config))
    state = {"candidates": {}}

    async def look():
        nonlocal number, state
        number += 1
        rollout_id = f"trace_rollout_{number}_a1b2c3"
        await demo.run_rollout(rollout_id)
        await demo.push_status(rollout_id=rollout_id, status="done", reward=number % 2)
        state = await demo.state()

    await eventually(look, lambda: len(state["candidates"]) > 1)
    [new] = [one for name, one in state["candidates"].items() if name != "baseline"][:1]
    assert "Mind point" in new["stage_payloads"]["system"]["instruction_text"]
    assert new["parent_id"] == "baseline"
    events = (await demo.get(f"{demo.system}/events")).json["events"]
    assert {"mipro.instruction", "mipro.proposed"} <= {event["event_type"] for event in events}
