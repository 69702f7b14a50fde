"""A task app made with our helper, on loopback."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from sidecar.client.local_api import LocalAPIConfig, RolloutRequest, TaskInfo, create_local_api

KEY = "environment-key-of-the-tests"


def instance(seed: int) -> TaskInfo:
    return TaskInfo(
        task={"id": "intents", "name": "Intents"},
        dataset={"id": "intents", "index": seed},
        task_metadata={"seed": seed},
    )


async def scored(request: RolloutRequest) -> Any:
    return request.scored(0.5, "half right")


def config(**changes: Any) -> LocalAPIConfig:
    """A task app that answers everything, with these parts of it changed."""
    return LocalAPIConfig(
        **{
            "app_id": "intents",
            "name": "Intents",
            "description": "Name the intent of a message.",
            "provide_taskset_description": lambda: {"splits": ["train", "test"]},
            "provide_task_instances": lambda seeds: [instance(seed) for seed in seeds],
            "rollout": scored,
            "api_key": KEY,
            **changes,
        }
    )


def asked(**changes: Any) -> dict[str, Any]:
    """The body of a rollout, with these parts of it changed."""
    return {
        "trace_correlation_id": "trace_7",
        "env": {"seed": 3, "config": {"split": "train", "seed": 3}},
        "policy": {"config": {"model": "m", "inference_url": "http://127.0.0.1:1"}},
        **changes,
    }


@contextlib.asynccontextmanager
async def local_api(key: str = KEY, **changes: Any) -> AsyncIterator[TestClient]:
    """A client that brings the key, unless it is empty."""
    app = create_local_api(config(**changes))
    headers = {"X-API-Key": key} if key else {}
    async with TestClient(TestServer(app), headers=headers) as client:
        yield client
