"""The simulation's shop as an offline task: a seed is a customer, a rollout is what that customer
thinks of the answer.

The task app sends the shop's own prompt, calls the model where it is told to, and says of an answer
that failed what the customer writes about it. It knows neither the traits of good answers nor what
a prompt is worth; the latter is `truth`, and for the tests only.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from sidecar.client.local_api import LocalAPIConfig, RolloutRequest, TaskInfo, create_local_api
from sidecar.simulation.people import Customer, Habits
from sidecar.simulation.provider import POLICY, REFLECTION, SimulatedProvider
from sidecar.simulation.world import BASELINE, World

KEY = "environment-key-of-the-shop"
WORLD = World.seeded(1)
HABITS = Habits(commenting=0.8, second_turn=0.0)


def truth(prompt: str) -> float:
    """The share of all customers whom answers under this prompt satisfy."""
    return WORLD.success_rate(prompt)


def customer(seed: int) -> Customer:
    """The same one at every rollout of the seed, who never remembers an answer."""
    return Customer(WORLD, 1, seed, HABITS)


async def rollout(request: RolloutRequest) -> Any:
    who = customer(request.seed)
    system = request.env.config.get("system", BASELINE)
    messages = [
        {"role": "system", "content": system},
        {"role": "user", "content": who.messages[0]},
    ]
    reply = await request.chat_async(messages)
    opinion = who.judge(reply.text)
    return request.scored(float(opinion.happy), opinion.comment)


def task_app() -> web.Application:
    return create_local_api(
        LocalAPIConfig(
            app_id="shop",
            name="Shop",
            description="Answer the customers of a shop for home and garden.",
            provide_taskset_description=lambda: {"splits": ["train"]},
            provide_task_instances=lambda seeds: [
                TaskInfo(task={"id": "shop", "name": "Shop"}, dataset={"index": seed})
                for seed in seeds
            ],
            rollout=rollout,
            api_key=KEY,
        )
    )


@contextlib.asynccontextmanager
async def open_shop() -> AsyncIterator[tuple[str, SimulatedProvider, str]]:
    """The task app's address, the models, and their address."""
    provider = SimulatedProvider(WORLD, 1)
    async with TestServer(task_app()) as app:
        models = await provider.start()
        try:
            yield str(app.make_url("")).rstrip("/"), provider, models
        finally:
            await provider.stop()


def job(algorithm: str, url: str, section: dict[str, Any]) -> dict[str, Any]:
    """A policy job's configuration."""
    return {
        "policy_optimization": {
            "algorithm": algorithm,
            "task_app_url": url,
            "initial_prompt": {"messages": [{"role": "system", "pattern": BASELINE}]},
            "policy": {"model": POLICY},
            algorithm: {"proposer_model": REFLECTION, "rng_seed": 1, **section},
        }
    }
