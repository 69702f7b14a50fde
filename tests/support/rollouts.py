"""Evaluators on loopback: a provider, the gateway with its interceptor, and a job's journal."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from aiohttp import web

from sidecar.api import interceptor
from sidecar.api.gateway import RUNNER_OPTIONS
from sidecar.api.middleware import request_ids
from sidecar.api.problems import problems
from sidecar.core.job import JobEvent, JobKind, JobRecord
from sidecar.core.prompt import Pattern
from sidecar.gateway.gateway import Gateway
from sidecar.gateway.trial import trial_desk
from sidecar.jobs.base import Control, JobLog
from sidecar.jobs.evaluator import Evaluators, TaskEvaluator
from sidecar.jobs.prices import Prices
from sidecar.jobs.spec import RolloutSpec
from sidecar.jobs.trials import Trials
from sidecar.store.base import Secret
from sidecar.store.memory import MemoryStore
from sidecar.telemetry.metrics import Metrics
from support.backend import StaticBackend
from support.gateway import TurnLog, settings
from support.provider import FakeProvider
from support.task_app import BASELINE, KEY, MAGIC, Behaviour, FakeTaskApp

PRICES = Prices({"gpt-4.1-mini": (0.4, 1.6)})
POLICY_JOB = JobRecord("pl_1", JobKind.POLICY, "gepa", {}, 1.0)


@dataclass
class Bench:
    """Everything an evaluator needs, and what it leaves behind."""

    provider: FakeProvider
    url: str
    trials: Trials
    metrics: Metrics
    turns: TurnLog
    http: aiohttp.ClientSession
    store: MemoryStore = field(default_factory=MemoryStore)
    control: Control = field(default_factory=Control)
    patience: float = 0.3

    async def counted(self, count: int) -> None:
        """Return once so many rollouts are in the journal."""
        async with asyncio.timeout(5):
            while len(await self.events()) < count:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.001)

    @property
    def evaluators(self) -> Evaluators:
        return Evaluators(self.trials, self.store, PRICES, patience=self.patience)

    async def upload(self, key: str = KEY) -> None:
        """As a user of the published SDK does with the key of the task app."""
        await self.store.put_secret(Secret("env-key/ENVIRONMENT_API_KEY", key.encode(), 1.0))

    async def log(self, record: JobRecord = POLICY_JOB) -> JobLog:
        """The job's journal, as a fresh start finds it."""
        await self.store.add_job(record)
        log = JobLog(record, self.store, lambda: 2.0)
        await log.restore()
        return log

    async def events(self, record: JobRecord = POLICY_JOB) -> list[JobEvent]:
        return await self.store.job_events(record.job_id, 0, 10_000)

    @contextlib.asynccontextmanager
    async def evaluator(
        self, url: str, record: JobRecord = POLICY_JOB, **changes: Any
    ) -> AsyncIterator[TaskEvaluator]:
        """An evaluator over the job's journal."""
        spec = RolloutSpec(
            url, policy={"model": "gpt-4.1-mini"}, baseline=Pattern.parse(BASELINE), timeout=30.0
        )
        log = await self.log(record)
        async with self.evaluators.open(
            record, replace(spec, **changes), log, self.control
        ) as evaluator:
            yield evaluator

    def requests(self) -> dict[tuple[str, str, str], float]:
        """(route, mode, outcome) of all model calls."""
        return {
            (s.labels["route"], s.labels["mode"], s.labels["outcome"]): s.value
            for metric in self.metrics.requests.collect()
            for s in metric.samples
            if s.name.endswith("_total")
        }


async def says_yes_to_magic(request: web.Request, body: bytes) -> web.StreamResponse:
    """A model that answers well when its system prompt asks for it."""
    del request
    asked = json.loads(body)
    system = " ".join(str(m["content"]) for m in asked["messages"] if m["role"] == "system")
    message = {"role": "assistant", "content": "yes" if MAGIC in system else "no"}
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    return web.json_response(
        {"id": "chatcmpl-1", "choices": [{"index": 0, "message": message}], "usage": usage}
    )


@contextlib.asynccontextmanager
async def bench(**sections: Any) -> AsyncIterator[Bench]:
    """Serve the interceptor, with the task app's key uploaded."""
    async with FakeProvider() as provider, contextlib.AsyncExitStack() as stack:
        provider.script = says_yes_to_magic
        config, metrics, turns = settings(provider.base_url, **sections), Metrics(), TurnLog()
        gateway = Gateway(config, StaticBackend(), turns, metrics)
        urls: list[str] = []
        trials = Trials(lambda: urls[0])
        app = web.Application(middlewares=[request_ids, problems], client_max_size=1024)
        app.add_routes(interceptor.routes(gateway, trial_desk(config, trials, metrics)))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, **RUNNER_OPTIONS)
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        http = await stack.enter_async_context(aiohttp.ClientSession())
        found = Bench(provider, urls[0], trials, metrics, turns, http)
        await found.upload()
        yield found
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def playing(
    behave: Behaviour | None = None, **changes: Any
) -> AsyncIterator[tuple[FakeTaskApp, TaskEvaluator]]:
    """A task app that behaves like this, and an evaluator of it."""
    async with contextlib.AsyncExitStack() as stack:
        at = await stack.enter_async_context(bench())
        app = await stack.enter_async_context(FakeTaskApp(behave))
        yield app, await stack.enter_async_context(at.evaluator(app.url, **changes))
