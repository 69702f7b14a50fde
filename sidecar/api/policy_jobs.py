"""Policy jobs (wire contract, section 8): find a better prompt against a task app.

The same routes stand under every name that published clients use. A job in online mode is a
session (`online_jobs.py`) and is asked for on the same paths.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from sidecar.api.body import object_of, read_object, text_of
from sidecar.api.guard import Handler, guarded
from sidecar.api.jobs import JobApi, answered
from sidecar.api.online_jobs import OnlineJobs, config_of, mode_of
from sidecar.core.ids import job_id
from sidecar.core.job import JobKind, JobRecord
from sidecar.engine.config import ROOTS, override
from sidecar.engine.origins import ProposerOrigins
from sidecar.errors import InvalidRequest
from sidecar.jobs import policy_config
from sidecar.jobs.keys import keep_keys
from sidecar.jobs.policy import PolicyConfig
from sidecar.jobs.prices import Prices
from sidecar.settings import Settings
from sidecar.store.base import Secrets

PATHS = ("/api/policy-optimization/online/jobs", "/api/prompt-learning/online/jobs")
ANY_KIND = ("/api/jobs", "/api/learning/jobs", "/api/orchestration/jobs")
"""Paths where clients ask for a job of either kind."""
KEY_FIELDS = ("task_app_api_key", "localapi_api_key", "local_api_key", "container_api_key")
"""What the task app's key is called in requests."""


def routes(
    jobs: JobApi,
    any_kind: JobApi,
    online: OnlineJobs,
    secrets: Secrets,
    settings: Settings,
) -> list[web.RouteDef]:
    """The routes of this module; all of them need a key. `jobs` has policy jobs only."""
    submit = guarded(_Submit(jobs, online, secrets, settings).create, settings)
    return [
        web.post("/api/jobs/{algorithm:gepa|mipro}", submit),
        *(web.post(path, submit) for path in PATHS),
        *(route for path in PATHS for route in job_routes(path, jobs, settings, online)),
        *(route for path in ANY_KIND for route in job_routes(path, any_kind, settings, online)),
    ]


def job_routes(
    path: str, api: JobApi, settings: Settings, online: OnlineJobs | None = None
) -> list[web.RouteDef]:
    """The routes of the jobs under `path`; those in online mode are there too if given."""

    def keyed(handler: Handler, if_online: Handler | None = None) -> Handler:
        async def chosen(request: web.Request) -> web.StreamResponse:
            unknown = await api.jobs.find(request.match_info["job_id"]) is None
            return await (if_online if if_online and unknown else handler)(request)

        return guarded(chosen, settings)

    one = path + "/{job_id}"
    command = online.command if online else None
    return [
        web.get(path, guarded(api.listed, settings)),
        web.get(one, keyed(api.status, online.one if online else None)),
        web.get(one + "/events", keyed(api.events, online.events if online else None)),
        web.get(one + "/events/stream", keyed(api.stream)),
        web.get(one + "/metrics", keyed(api.metrics)),
        web.get(one + "/results", keyed(api.results)),
        web.get(one + "/workflow-state", keyed(api.workflow)),
        web.get(one + "/artifacts", keyed(api.artifacts)),
        web.get(one + "/artifacts/{name:.+}", keyed(api.artifact)),
        web.get(one + "/snapshots/{snapshot_id}", keyed(api.snapshot)),
        web.post(one + "/{action:cancel}", keyed(api.cancel, command)),
        web.post(one + "/{action:pause}", keyed(api.pause, command)),
        web.post(one + "/{action:resume}", keyed(api.resume, command)),
    ]


class _Submit:
    def __init__(
        self,
        api: JobApi,
        online: OnlineJobs,
        secrets: Secrets,
        settings: Settings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._online = online
        self._secrets = secrets
        self._limit = settings.server.max_body_bytes
        self._origins = ProposerOrigins(settings.proposer_origins)
        self._prices = Prices(settings.jobs.prices)
        self._clock = clock

    async def create(self, request: web.Request) -> web.Response:
        """A job, which begins when there is room for it; in online mode, a session."""
        body = await read_object(request, self._limit)
        config = config_of(body)
        asked = text_of(body, "algorithm") or request.match_info.get("algorithm")
        if mode_of(config) == "online":
            return await self._online.create(request, body, config, asked)
        start = body.get("auto_start", True)
        if not isinstance(start, bool):
            raise InvalidRequest("auto_start must be true or false", param="auto_start")
        config = override(config, object_of(body, "overrides"))
        record = await self._record(config, asked, object_of(body, "metadata"))
        await self._api.jobs.submit(record, auto_start=start)
        return answered(await self._api.view(record))

    async def _record(
        self, config: dict[str, Any], asked: str | None, metadata: Mapping[str, Any]
    ) -> JobRecord:
        """What is to be done, once its keys are kept apart from it."""
        config, key = _without_key(config)
        parsed = policy_config.parse(config)
        if asked not in {None, parsed.algorithm}:
            raise InvalidRequest(
                f"algorithm is {asked!r}, but its config is for {parsed.algorithm!r}",
                param="algorithm",
            )
        self._origins.check(parsed.proposer.base_url, f"{parsed.algorithm}.proposer")
        self._check_prices(parsed)
        now, own = self._clock(), job_id(os.urandom(8))
        await keep_keys(self._secrets, own, key, policy_config.proposer_key(config), now)
        return JobRecord(own, JobKind.POLICY, parsed.algorithm, parsed.dump(), now, metadata)

    def _check_prices(self, config: PolicyConfig) -> None:
        """A limit in dollars is kept only where the price is known."""
        model = str(config.policy.get("model") or "")
        if config.limits.cost_usd is not None and not self._prices.known(model):
            raise InvalidRequest(
                f"a spending limit needs the price of {model!r}: set jobs.prices on the sidecar, "
                "or limit rollouts instead",
                param="max_spend_usd",
            )


def take_key(body: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The body without the task app's key, and the key; empty for none. Raises
    `InvalidRequest`."""
    keys = [key for name in KEY_FIELDS if (key := text_of(body, name)) is not None]
    if not all(key.isprintable() for key in keys):
        raise InvalidRequest("the task app's key must be one line of text", param=KEY_FIELDS[0])
    rest = {name: value for name, value in body.items() if name not in KEY_FIELDS}
    return rest, next(iter(keys), "")


def _without_key(config: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """As `take_key`, for the section of a configuration."""
    for root in ROOTS:
        if isinstance(config.get(root), Mapping):
            section, key = take_key(config[root])
            return {**config, root: section}, key
    return dict(config), ""
