"""Eval jobs (wire contract, section 9): score the application as it is on given seeds."""

import asyncio
import os
import tempfile
import time
import zipfile
from collections.abc import Callable
from typing import IO, Any

from aiohttp import web

from sidecar.api.body import object_of, read_object
from sidecar.api.guard import guarded
from sidecar.api.jobs import JobApi, answered
from sidecar.api.middleware import REQUEST_ID_HEADER, request_id
from sidecar.api.policy_jobs import job_routes, take_key
from sidecar.core.ids import eval_job_id
from sidecar.core.job import JobKind, JobRecord
from sidecar.jobs import eval_config
from sidecar.jobs.keys import keep_keys
from sidecar.settings import Settings
from sidecar.store.base import Secrets

PATH = "/api/eval/jobs"
BARE = "/eval/jobs"
"""Where a published client asks that loses the prefix."""
TRACES = "traces/"
"""What the names of the traces among a job's files begin with."""
_IN_MEMORY = 8 * 1024 * 1024
_CHUNK = 256 * 1024


def routes(jobs: JobApi, secrets: Secrets, settings: Settings) -> list[web.RouteDef]:
    """The routes of this module; all of them need a key. `jobs` has evals only."""
    api = _EvalJobs(jobs, secrets, settings)
    return [
        route
        for path in (PATH, BARE)
        for route in (
            web.post(path, guarded(api.create, settings)),
            web.get(path + "/{job_id}/traces", guarded(api.traces, settings)),
            *job_routes(path, jobs, settings),
        )
    ]


class _EvalJobs:
    def __init__(
        self,
        api: JobApi,
        secrets: Secrets,
        settings: Settings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._secrets = secrets
        self._limit = settings.server.max_body_bytes
        self._clock = clock

    async def create(self, request: web.Request) -> web.Response:
        """A job, which begins when there is room for it. Its key is kept apart from it."""
        body, key = take_key(await read_object(request, self._limit))
        metadata = object_of(body, "metadata")
        body.pop("metadata", None)
        config = eval_config.parse(body)
        now, job_id = self._clock(), eval_job_id(os.urandom(8))
        await keep_keys(self._secrets, job_id, key, "", now)
        record = JobRecord(job_id, JobKind.EVAL, "", config.dump(), now, metadata)
        await self._api.jobs.submit(record)
        return answered(await self._api.view(record))

    async def traces(self, request: web.Request) -> web.StreamResponse:
        """What happened in each rollout, as a ZIP of JSON files."""
        record = await self._api.record(request)
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            await self._zip(record.job_id, file)
            response = web.StreamResponse(
                headers={
                    "Content-Type": "application/zip",
                    "Content-Disposition": f'attachment; filename="{record.job_id}-traces.zip"',
                    REQUEST_ID_HEADER: request_id(request),
                }
            )
            response.content_length = file.tell()
            file.seek(0)
            await response.prepare(request)
            while chunk := file.read(_CHUNK):
                await response.write(chunk)
            await response.write_eof()
        return response

    async def _zip(self, job_id: str, file: IO[Any]) -> None:
        """One trace in memory at a time, whatever all of them come to."""
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, _ in await self._api.files.artifacts(job_id):
                if name.startswith(TRACES):
                    content = await self._api.files.artifact(job_id, name) or b""
                    await asyncio.to_thread(archive.writestr, name.removeprefix(TRACES), content)
