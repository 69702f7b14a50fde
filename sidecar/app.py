"""The composition root: the only module that names concrete stores and backends, and the only one
that says in what order things start and stop."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import structlog
from aiohttp import web

from sidecar.api import (
    candidates,
    env_keys,
    eval_jobs,
    files,
    interceptor,
    keys,
    online,
    ops,
    policy_jobs,
    sessions,
    system_gepa,
    system_mipro,
    webhooks,
)
from sidecar.api import feedback as feedback_api
from sidecar.api import gateway as gateway_api
from sidecar.api.cors import cross_origin
from sidecar.api.event_stream import EventStreams
from sidecar.api.gate import behind
from sidecar.api.jobs import JobApi
from sidecar.api.middleware import DEMO_KEYS, DemoKeys, request_ids
from sidecar.api.online_jobs import OnlineJobs
from sidecar.api.openapi import routes as openapi
from sidecar.api.problems import problems
from sidecar.api.session_rewards import SessionRewards
from sidecar.backend.base import Backend
from sidecar.backend.embedded import EmbeddedBackend
from sidecar.backend.remote import RemoteBackend
from sidecar.core.job import JobKind
from sidecar.engine.propose import Reflection
from sidecar.feedback.attribute import Attributor
from sidecar.feedback.browser import BrowserFeedback
from sidecar.feedback.erasure import Eraser
from sidecar.feedback.intake import Intake
from sidecar.feedback.sources import configured
from sidecar.feedback.tokens import FeedbackTokens
from sidecar.gateway.gateway import Gateway
from sidecar.gateway.handout import Handout
from sidecar.gateway.reachability import Reachability
from sidecar.gateway.referred import Referred
from sidecar.gateway.trial import trial_desk
from sidecar.jobs.evaluator import Evaluators
from sidecar.jobs.keys import proposer_key
from sidecar.jobs.prices import Prices
from sidecar.jobs.run_eval import EvalRunner
from sidecar.jobs.run_policy import PolicyRunner
from sidecar.jobs.runs import Runner
from sidecar.jobs.supervisor import Supervisor
from sidecar.jobs.trials import Trials
from sidecar.rewards.reporter import Reporter
from sidecar.settings import FeedbackSettings, Settings
from sidecar.starting import Learning
from sidecar.store.base import Store, StoreError
from sidecar.store.leadership import Leadership
from sidecar.store.memory import MemoryStore
from sidecar.store.sqlite import SqliteStore
from sidecar.telemetry.metrics import Metrics

_PRUNE_EVERY = 3600.0
_DAY = 86_400.0
_BACKLOG = 4096
"""Connections that may wait to be taken. Those that do not fit are tried again by the client's
system, after a second, three, seven: with the usual 128, a burst of calls waits for that."""
_CUT_SECONDS = 0.5
"""How long calls that are cut off have to notice."""

log = structlog.get_logger()


class Sidecar:
    """One sidecar process: everything wired, started and stopped in order."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.health = ops.Health()
        self.store = _store(settings)
        self.leadership = Leadership(self.store, shared=self.store.shared)
        self.reflection = _reflection(settings)
        self.reachability: Reachability | None = None
        """Of a remote backend."""
        self.backend = self._backend()
        self.reporter = Reporter(
            self.store, self.backend, _reporting(settings), self.metrics, leadership=self.leadership
        )
        self.attributor = Attributor(
            self.store,
            settings.feedback,
            self.metrics,
            self.reporter.notice,
            leadership=self.leadership,
        )
        self.intake = Intake(self.store, self.attributor, settings.feedback, self.metrics)
        self.tokens = FeedbackTokens(self.store, settings.feedback)
        self.gateway = Gateway(
            settings,
            self.backend,
            self.store,
            self.metrics,
            on_turn=self.attributor.turn_settled,
            referred=Referred(settings, self.reachability) if self.reachability else None,
            claims=self.backend,
            shared=self.store.shared,
            handout=self._handout(),
        )
        self.trials = Trials(self._base)
        self.jobs = self._jobs()
        self.streams = EventStreams(self.jobs)
        self.demo_keys = DemoKeys(time.time)
        self.learning = Learning(self.store, self._learn, waits=settings.store.kind == "redis")
        self.url = ""
        """Where we listen; known once started."""
        self._stack = contextlib.AsyncExitStack()
        self._stopping = asyncio.Event()
        self._cut = False

    async def start(self) -> None:
        """Start what serves traffic, then what learns. What began is undone when a later step
        fails. A store that cannot be reached is waited for in the background (`Learning`)."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self.learning.stop)
            await self.gateway.start()
            stack.push_async_callback(self.gateway.stop)
            await self._listen(stack)
            stack.push_async_callback(self._begin_nothing)
            await self.learning.start()
            self.health.ready = True
            self._stack = stack.pop_all()
        log.info("sidecar listens", url=self.url, provider=self.settings.provider.base_url)

    async def stop(self) -> None:
        """Stop in the opposite order: no new calls, open ones finish, rewards leave."""
        self.health.draining = True
        await self._stack.aclose()

    async def _learn(self, stack: contextlib.AsyncExitStack) -> None:
        """Start everything that needs the store, which is open."""
        stack.push_async_callback(self.reflection.close)
        stack.push_async_callback(self.backend.stop)  # also what a start has begun that failed
        await self.backend.start()
        await self._configured_sessions()
        await self._remember()
        if self.settings.server.demo_keys != "off":
            await keys.recognise(self.demo_keys, self.store)
        if self.settings.feedback.tokens:
            await self.tokens.load()
        for work in self._workers():
            stack.push_async_callback(_cancelled, asyncio.create_task(work))
        stack.push_async_callback(self._flush)
        await self.jobs.start()  # task apps call back, and we listen already
        stack.push_async_callback(self.jobs.stop)

    async def _begin_nothing(self) -> None:
        """Before the drain: what would begin now could not be finished."""
        await self.learning.halt()
        await self.jobs.stop()

    async def serve_forever(self, started: Callable[[], None]) -> bool:
        """Start, say so, serve until SIGTERM or SIGINT, then drain; a second signal ends the
        process at once. Signals count from before the start, so that whoever has seen us ready can
        have us drain. False when the drain had to cut calls off."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        try:
            await self.start()
            started()
            await self._stopping.wait()
        finally:
            await self.stop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
        return not self._cut

    def _signalled(self, number: signal.Signals) -> None:
        if self._stopping.is_set():
            log.warning("second signal: leaving at once", signal=number.name)
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        log.info("draining", signal=number.name, seconds=self.settings.server.drain_seconds)
        self._stopping.set()

    # -- parts ----------------------------------------------------------------------------------

    def _backend(self) -> Backend:
        if self.settings.backend.kind == "remote":
            return self._remote()
        engine = self.settings.engine
        return EmbeddedBackend(
            self.store,
            self.reflection,
            self.metrics,
            self.leadership,
            remember=self.settings.gateway.remember,
            proposals_per_day=engine.proposals_per_day,
            proposer_origins=self.settings.proposer_origins,
            clock=time.time,
            config_dir=engine.config_dir,
        )

    def _remote(self) -> RemoteBackend:
        settings = self.settings
        self.reachability = Reachability(self.metrics)
        return RemoteBackend(
            self.store,
            settings.backend,
            remember=settings.gateway.remember,
            follow=[route.session for route in settings.routes],
            on_contact=self.reachability.found,
            config_dir=settings.engine.config_dir,
        )

    def _jobs(self) -> Supervisor:
        settings = self.settings.jobs
        evaluators = Evaluators(self.trials, self.store, Prices(settings.prices))
        policy = PolicyRunner(
            evaluators,
            self.reflection,
            partial(proposer_key, self.store),
            rollout_seconds=settings.rollout_seconds,
        )
        runners: dict[JobKind, Runner] = {
            JobKind.POLICY: policy,
            JobKind.EVAL: EvalRunner(evaluators),
        }
        return Supervisor(self.store, runners, time.time, self.metrics, at_once=settings.at_once)

    def _handout(self) -> Handout | None:
        feedback = self.settings.feedback
        return Handout(self.tokens.mint, feedback.page_origins) if feedback.tokens else None

    def _base(self) -> str:
        """What the URLs begin with that task apps are given."""
        configured = self.settings.jobs.interceptor_url or self.settings.server.public_url
        listening = self.url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        return (configured or listening).rstrip("/")

    async def _configured_sessions(self) -> None:
        for session in self.settings.sessions:
            await self.backend.ensure(session.create_request(), session.algorithm)

    async def _remember(self) -> None:
        """Let the gateway recognise the conversations of before a restart."""
        for session in await self.backend.sessions():
            self.gateway.remember(
                await self.store.recent_chains(
                    session["session_id"], self.settings.gateway.remember
                )
            )

    async def _listen(self, stack: contextlib.AsyncExitStack) -> None:
        server = self.settings.server
        runner = web.AppRunner(
            self._web(),
            access_log=None,
            shutdown_timeout=_CUT_SECONDS,
            **gateway_api.RUNNER_OPTIONS,
        )
        await runner.setup()
        stack.push_async_callback(self._drain, runner)
        site = web.TCPSite(runner, server.host, server.port, backlog=_BACKLOG)
        await site.start()
        host = f"[{server.host}]" if ":" in server.host else server.host
        self.url = f"http://{host}:{runner.addresses[0][1]}"

    async def _drain(self, runner: web.AppRunner) -> None:
        """Let the endpoints notice, close the door, let open calls finish in time, cut the rest:
        aiohttp alone would give them their time twice, and for ever when it is zero."""
        server = self.settings.server
        if self.health.ready:
            await asyncio.sleep(server.drain_notice_seconds)
        self.streams.close()
        for site in list(runner.sites):
            await site.stop()
        assert runner.server is not None
        await asyncio.sleep(0)  # what had been accepted begins to be handled
        runner.server.pre_shutdown()
        try:
            async with asyncio.timeout(server.drain_seconds or _CUT_SECONDS):
                await runner.server.shutdown(server.drain_seconds + 60.0)
        except TimeoutError:
            self._cut = True
            log.warning("calls cut off", seconds=server.drain_seconds)
        await runner.cleanup()

    def _web(self) -> web.Application:
        settings = self.settings
        cors = cross_origin(settings.feedback.page_origins)
        app = web.Application(middlewares=[request_ids, cors, problems], client_max_size=0)
        if settings.server.demo_keys != "off":
            app[DEMO_KEYS] = self.demo_keys
        app.add_routes(ops.routes(self.health, self.metrics, self._parts))
        app.add_routes(openapi.routes())
        app.add_routes(files.routes(settings))
        stored = [*self._session_routes(), *self._job_routes()]
        app.add_routes(behind(lambda _: self.learning.up(), stored))
        calls = keys.proxied(gateway_api.routes(self.gateway), settings)
        app.add_routes(behind(lambda _: self.learning.known(), calls))
        return app

    def _session_routes(self) -> list[web.RouteDef]:
        settings, backend = self.settings, self.backend
        rewards = SessionRewards(backend, self.store, self.intake, self.reporter)
        return [
            *sessions.routes(backend, rewards, settings),
            *feedback_api.routes(
                self.intake,
                self.reporter.dead_letters,
                settings,
                self.metrics,
                eraser=Eraser(self.store, self.intake),
                durable=lambda: self.store.durable,
                browser=BrowserFeedback(self.store, self.intake, self.tokens)
                if settings.feedback.tokens
                else None,
            ),
            *webhooks.routes(
                configured(settings),
                self.intake,
                self.metrics,
                durable=lambda: self.store.durable,
            ),
            *keys.routes(self.store, settings),
            *env_keys.routes(self.store, settings),
            *system_gepa.routes(backend, rewards, settings),
            *system_mipro.routes(backend, rewards, settings),
            *online.routes(backend, rewards, settings),
            *candidates.routes(backend, settings),
        ]

    def _job_routes(self) -> list[web.RouteDef]:
        settings = self.settings

        def api(*kinds: JobKind) -> JobApi:
            return JobApi(self.jobs, self.store, self.streams, settings, frozenset(kinds))

        policy, either = api(JobKind.POLICY), api(*JobKind)
        online_jobs = OnlineJobs(self.backend, settings)
        desk = trial_desk(settings, self.trials, self.metrics)
        return [
            *policy_jobs.routes(policy, either, online_jobs, self.store, settings),
            *eval_jobs.routes(api(JobKind.EVAL), self.store, settings),
            *interceptor.routes(self.gateway, desk),
        ]

    def _parts(self) -> Mapping[str, Any]:
        trouble = self.learning.trouble
        return {
            "store": {
                "kind": self.settings.store.kind,
                "durable": self.store.durable,
                "state": "degraded" if trouble else "up",
                **({"reason": trouble} if trouble else {}),
            },
            "optimiser": {"leads": self.leadership.leads},
            "backend": {
                **self.backend.describe(),
                **(self.reachability.describe() if self.reachability else {}),
            },
            "provider": {"base_url": self.settings.provider.base_url},
        }

    # -- workers --------------------------------------------------------------------------------

    def _workers(self) -> list[Coroutine[Any, Any, None]]:
        """What goes on in the background for as long as we learn."""
        return [
            self.leadership.run(),  # the last to end: what is delivered last is delivered as leader
            self.attributor.run(),
            self.reporter.run(),
            self._prune(),
            *([self.tokens.run()] if self.settings.feedback.tokens else []),
        ]

    async def _flush(self) -> None:
        """Tell the sessions what is known before leaving; what fails stays in the outbox. Raises
        `StoreError`."""
        if self.leadership.leads:
            await self.attributor.sweep(time.time())
        await self.reporter.flush()

    async def _prune(self) -> None:
        keep = self.settings.store.retention_days * _DAY
        while True:
            try:
                pruned = await self._pruned(time.time() - keep)
                if pruned:
                    log.info("old content deleted", turns=pruned)
            except StoreError as error:
                log.warning("old content not deleted", error=str(error))
            await asyncio.sleep(_PRUNE_EVERY)

    async def _pruned(self, before: float) -> int:
        return await self.store.prune(before) if self.leadership.leads else 0


async def _cancelled(worker: asyncio.Task[None]) -> None:
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)


def _store(settings: Settings) -> Store:
    store = settings.store
    if store.kind == "memory":
        return MemoryStore()
    if store.kind == "sqlite":
        return SqliteStore(store.path)
    assert store.url is not None  # the rules saw to it
    # Takes a fifth of a second to import, which no other store needs.
    from sidecar.store.redis.store import RedisStore  # noqa: PLC0415

    return RedisStore(
        store.url.get_secret_value(),
        prefix=store.prefix,
        budget_ms=store.timeout_ms,
        retention_days=store.retention_days,
        remember=settings.gateway.remember,
    )


def _reporting(settings: Settings) -> FeedbackSettings:
    """How rewards are reported: a backend elsewhere may be away for longer than a bug lasts."""
    backend = settings.backend
    if backend.kind == "embedded":
        return settings.feedback
    own = {"batch_size": backend.batch_size, "max_attempts": backend.max_attempts}
    return settings.feedback.model_copy(update=own)


def _reflection(settings: Settings) -> Reflection:
    """The model that writes prompts, by the sidecar's own settings."""
    engine, provider = settings.engine, settings.provider
    secret = engine.proposer_api_key or (None if engine.proposer_base_url else provider.api_key)
    return Reflection(
        model=engine.proposer_model,
        base_url=engine.proposer_base_url or provider.base_url,
        api_key=secret.get_secret_value() if secret else "",
        timeout=engine.proposer_timeout,
    )
