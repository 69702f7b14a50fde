"""What can be asked of an offline job on any of its paths (wire contract, sections 8.2 and 9)."""

from typing import Any

from aiohttp import web

from sidecar.api.body import as_json, read_object, text_of
from sidecar.api.event_stream import EventStreams
from sidecar.api.query import whole_number
from sidecar.core.job import JobEvent, JobKind, JobRecord, JobState
from sidecar.errors import NotFound
from sidecar.jobs.eval_view import SEED, eval_results, eval_status, eval_view
from sidecar.jobs.supervisor import Supervisor
from sidecar.jobs.view import (
    BEST,
    MEASURED,
    STEPS,
    event_view,
    history,
    listed_view,
    points,
    policy_view,
    workflow_view,
)
from sidecar.settings import Settings
from sidecar.store.base import Jobs

_PAGE = 500
"""Events that are read and written at a time: other calls pass between the pages."""
_LISTED = 100
_MOST_LISTED = 1000
_EVENTS = 1000
_MOST_EVENTS = 100_000
_MOST_SEQ = 10**12
_WHERE = {
    JobKind.POLICY: "/api/policy-optimization/online/jobs",
    JobKind.EVAL: "/api/eval/jobs",
}


class JobApi:
    """The jobs of some kinds. Policy jobs and evals share their routes but not their words."""

    def __init__(
        self,
        jobs: Supervisor,
        files: Jobs,
        streams: EventStreams,
        settings: Settings,
        kinds: frozenset[JobKind] = frozenset(JobKind),
    ) -> None:
        """`files`: where the jobs left theirs; `kinds`: which jobs the path is for."""
        self.jobs = jobs
        self.files = files
        self._streams = streams
        self._limit = settings.server.max_body_bytes
        self._kinds = kinds

    async def listed(self, request: web.Request) -> web.Response:
        """The newest jobs in short, newest first (ours; not published)."""
        limit = whole_number(request, "limit", _LISTED, least=1, most=_MOST_LISTED)
        records = [record for record in await self.jobs.records() if record.kind in self._kinds]
        found = []
        for record in records[::-1][:limit]:
            state = await self.jobs.state(record.job_id)
            found.append(listed_view(record, state, _word(record, state)))
        return answered({"jobs": found})

    async def status(self, request: web.Request) -> web.Response:
        """How the job stands."""
        return answered(await self.view(await self.record(request)))

    async def view(self, record: JobRecord) -> dict[str, Any]:
        """The status of a job."""
        state = await self.jobs.state(record.job_id)
        if record.kind is JobKind.EVAL:
            return eval_view(record, state)
        return policy_view(record, state, await self.jobs.newest(record.job_id, BEST))

    async def results(self, request: web.Request) -> web.Response:
        """What came of the job so far: a policy job's status with its configuration and the best
        reward of each generation, or an eval's seeds."""
        record = await self.record(request)
        if record.kind is JobKind.EVAL:
            events = await self._all(record, SEED)
            return answered(eval_results(record, await self.jobs.state(record.job_id), events))
        steps = history(await self._all(record, *STEPS))
        view = await self.view(record)
        return answered({**view, "config": record.config, "history": steps})

    async def events(self, request: web.Request) -> web.Response:
        """What happened after `since_seq`, oldest first."""
        record = await self.record(request)
        since = seq = since_seq(request)
        limit = whole_number(request, "limit", _EVENTS, least=1, most=_MOST_EVENTS)
        parts: list[bytes] = []
        while len(parts) < limit and (
            page := await self.jobs.events(record.job_id, seq, min(_PAGE, limit - len(parts)))
        ):
            parts += [as_json(event_view(record, event)) for event in page]
            seq = page[-1].seq
        body = b'{"events":[%s],"next_seq":%d}' % (b",".join(parts), max(seq, since))
        return web.Response(body=body, content_type="application/json")

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """The same, as it happens."""
        return await self._streams.serve(request, await self.record(request), since_seq(request))

    async def metrics(self, request: web.Request) -> web.Response:
        """The newest measurements, oldest first."""
        record = await self.record(request)
        limit = whole_number(request, "limit", _LISTED, least=1, most=_MOST_LISTED)
        return answered({"points": points(record, await self._all(record, *MEASURED))[-limit:]})

    async def workflow(self, request: web.Request) -> web.Response:
        """Where the job stands, for who asks the workflow."""
        record = await self.record(request)
        state = await self.jobs.state(record.job_id)
        return answered(workflow_view(record, state, _word(record, state)))

    async def artifacts(self, request: web.Request) -> web.Response:
        """The files that the job left behind."""
        kept = await self.files.artifacts((await self.record(request)).job_id)
        return answered({"artifacts": [{"name": name, "size_bytes": size} for name, size in kept]})

    async def artifact(self, request: web.Request) -> web.Response:
        """One of them."""
        return await self._file(request, request.match_info["name"])

    async def snapshot(self, request: web.Request) -> web.Response:
        """One of them, by its published name."""
        return await self._file(request, "snapshots/" + request.match_info["snapshot_id"])

    async def cancel(self, request: web.Request) -> web.Response:
        """End the job. `failed` says that it had ended otherwise."""
        record, reason = await self._steered(request)
        state = await self.jobs.cancel(record.job_id, reason)
        done = state.status.value == "cancelled"
        return answered(steered(record.job_id, _word(record, state), done=done))

    async def pause(self, request: web.Request) -> web.Response:
        """Hold the job."""
        record, reason = await self._steered(request)
        state = await self.jobs.pause(record.job_id, reason)
        return answered(steered(record.job_id, _word(record, state)))

    async def resume(self, request: web.Request) -> web.Response:
        """Let the job go on, or begin."""
        record, reason = await self._steered(request)
        state = await self.jobs.resume(record.job_id, reason)
        return answered(steered(record.job_id, _word(record, state)))

    async def record(self, request: web.Request) -> JobRecord:
        """Of the job that the path names. Raises `NotFound`, which says where to ask for a job of
        another kind."""
        record = await self.jobs.record(request.match_info["job_id"])
        if record.kind not in self._kinds:
            raise NotFound(
                f"job {record.job_id!r} is not of this kind: ask for it at "
                f"{_WHERE[record.kind]}/{record.job_id}",
                param="job_id",
            )
        return record

    async def _steered(self, request: web.Request) -> tuple[JobRecord, str]:
        record = await self.record(request)
        body = await read_object(request, self._limit, empty={})
        return record, text_of(body, "reason") or ""

    async def _all(self, record: JobRecord, *whats: str) -> list[JobEvent]:
        """All events of these types, oldest first."""
        found: list[JobEvent] = []
        while page := await self.jobs.events(
            record.job_id, found[-1].seq if found else 0, _PAGE, whats
        ):
            found += page
        return found

    async def _file(self, request: web.Request, name: str) -> web.Response:
        record = await self.record(request)
        content = await self.files.artifact(record.job_id, name)
        if content is None:
            raise NotFound(f"job {record.job_id!r} left no file {name!r}", param="name")
        kind = "application/json" if name.endswith(".json") else "application/octet-stream"
        return web.Response(body=content, content_type=kind)


def answered(value: Any) -> web.Response:
    """A JSON answer, whatever users wrote into it."""
    return web.Response(body=as_json(value), content_type="application/json")


def steered(job_id: str, status: str, *, done: bool = True) -> dict[str, Any]:
    """What came of a command; `status` is the job's after it."""
    return {
        "job_id": job_id,
        "status": "succeeded" if done else "failed",
        "message": f"the job is {status}" if done else f"the job had ended: {status}",
        "attempt_id": None,
    }


def since_seq(request: web.Request) -> int:
    """The query's number of the last event that the client has. Raises `InvalidRequest`."""
    return whole_number(request, "since_seq", 0, least=0, most=_MOST_SEQ)


def _word(record: JobRecord, state: JobState) -> str:
    return eval_status(state) if record.kind is JobKind.EVAL else state.status.value
