"""A whole sidecar whose offline jobs run the test's program, and calls to their API."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from sidecar.core.job import JobKind
from support.api import KEY, call
from support.gateway import Answer
from support.jobs import Program
from support.provider import FakeProvider
from support.whole import Whole, whole, whole_settings

POLICY = "/api/policy-optimization/online/jobs"
EVAL = "/api/eval/jobs"


def gepa(**fields: Any) -> dict[str, Any]:
    """A small configuration that is valid."""
    return {
        "algorithm": "gepa",
        "task_app_url": "http://127.0.0.1:9",
        "env_name": "colours",
        "initial_prompt": {"messages": [{"role": "system", "pattern": "You name colours."}]},
        "policy": {"model": "gpt-4.1-mini", "provider": "openai", "inference_mode": "synth_hosted"},
        "gepa": {
            "evaluation": {"seeds": list(range(14)), "validation_seeds": [20, 21, 22]},
            "rollout": {"budget": 60},
        },
        **fields,
    }


def scoring(**fields: Any) -> dict[str, Any]:
    """A small eval that is valid."""
    return {
        "task_app_url": "http://127.0.0.1:9",
        "app_id": "colours",
        "env_name": "colours",
        "seeds": [3, 1, 2],
        "policy": {"model": "gpt-4.1-mini", "provider": "openai"},
        **fields,
    }


@dataclass
class Api:
    """The jobs of a running sidecar."""

    ours: Whole

    async def get(self, path: str, **headers: str) -> Answer:
        return await call(self.ours, "GET", path, **(headers or {"X_API_Key": KEY}))

    async def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return await call(self.ours, "POST", path, body, **(headers or {"X_API_Key": KEY}))

    async def submitted(self, path: str = POLICY, **fields: Any) -> str:
        """The id of a new job."""
        body = scoring(**fields) if path == EVAL else {"prompt_learning": gepa(), **fields}
        answer = await self.post(path, body)
        assert answer.status == 200, answer.body
        return answer.json["job_id"]

    async def status(self, path: str) -> dict[str, Any]:
        answer = await self.get(path)
        assert answer.status == 200, answer.body
        return answer.json

    async def reached(self, path: str, status: str) -> dict[str, Any]:
        """The status, once it is this."""
        async with asyncio.timeout(10):
            while True:
                found = await self.status(path)
                if found["status"] == status:
                    return found
                await asyncio.sleep(0.01)

    async def happened(self, path: str, what: str) -> None:
        """Once there is an event so called."""
        async with asyncio.timeout(10):
            while True:
                if any(event["type"].endswith(f".{what}") for event in await self.events(path)):
                    return
                await asyncio.sleep(0.01)

    async def events(self, path: str) -> list[dict[str, Any]]:
        return (await self.get(path + "/events?since_seq=0&limit=10000")).json["events"]


@contextlib.asynccontextmanager
async def serving(program: Program, **sections: Any) -> AsyncIterator[Api]:
    """A sidecar that runs this program for every job."""
    server = {"port": 0, "drain_seconds": 0.1, "api_keys": (KEY,)}
    async with FakeProvider() as provider:
        settings = whole_settings(provider.base_url, server=server, **sections)
        async with whole(settings) as ours:
            ours.sidecar.jobs.runs.runners = dict.fromkeys(JobKind, program)
            yield Api(ours)
