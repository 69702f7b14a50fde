"""What policy jobs and evals have in common for who runs them: submitting, waiting, following,
steering. Their own parts are in `jobs.py`.

Every method has two forms that do the same: `submit` waits in its thread, whether an event loop
runs there or not, and `submit_async` is awaited.
"""

import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from sidecar.client import env_key, task_app
from sidecar.client.errors import ApiError, ConfigError
from sidecar.client.events import Following, follow, follow_async
from sidecar.client.flow import Flow, Pause, run, run_async, told
from sidecar.client.http import Connections
from sidecar.client.progress import Progress
from sidecar.client.target import Target, segment
from sidecar.client.wire import Request

ANY_KIND = "/api/jobs"
"""Where any job is asked for and steered."""
TIMEOUT = 3600.0
INTERVAL = 2.0
_SILENCE = 60.0
"""Seconds that a stream may say nothing before it is opened anew; a sidecar says something every
15."""
_FAILURES = 5
"""Unanswered polls in a row that are too many."""
_SERVER_ERROR = 500

OnStatus = Callable[[dict[str, Any]], object]


class Result(Protocol):
    """What a job came to."""

    @property
    def is_terminal(self) -> bool:
        """Whether nothing can change any more."""

    @property
    def status(self) -> Any:
        """The word for it."""


R = TypeVar("R", bound=Result)


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that is not on the server yet."""

    body: Mapping[str, Any] = field(repr=False)
    """What is posted; it may hold the key."""
    task_app_url: str
    key: str = field(repr=False)
    """The task app's; empty for none."""
    uploads_key: bool
    """Whether the key goes to the server in a sealed box first."""
    checks_app: bool


class Job(Generic[R]):
    """A job on a server, or one that is to be submitted there. Raises `ConfigError` before anything
    is sent, `ApiError` when the server refuses, does not answer, or answers with something else.

    As an async context it keeps its connection from one awaited call to the next. There is nothing
    to close otherwise.
    """

    _path: ClassVar[str]

    def __init__(self, target: Target, submission: Submission | None, job_id: str | None) -> None:
        self._target = target
        self._submission = submission
        self._http = Connections()
        self.job_id = job_id
        """None until it is submitted."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.job_id!r}, backend_url={self._target.base!r})"

    async def __aenter__(self) -> Self:
        self._http.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close a connection that was kept. The object stays usable."""
        await self._http.close()

    def submit(self) -> str:
        """Check that the task app is there, give the server its key, and the job; the job's id."""
        return run(self._submit())

    async def submit_async(self) -> str:
        """As `submit`."""
        return await run_async(self._submit(), self._http)

    def get_status(self) -> dict[str, Any]:
        """How the job stands."""
        return run(told(self._request("GET")))

    async def get_status_async(self) -> dict[str, Any]:
        """As `get_status`."""
        return await run_async(told(self._request("GET")), self._http)

    def get_results(self) -> dict[str, Any]:
        """What came of the job so far."""
        return run(told(self._request("GET", "/results")))

    async def get_results_async(self) -> dict[str, Any]:
        """As `get_results`."""
        return await run_async(told(self._request("GET", "/results")), self._http)

    def poll_until_complete(
        self,
        *,
        timeout: float = TIMEOUT,
        interval: float = INTERVAL,
        progress: bool = False,
        on_status: OnStatus | None = None,
    ) -> R:
        """Wait until the job has ended, for `timeout` seconds at most: look at `is_terminal`.
        `progress` shows it on standard output; `on_status` is given every status."""
        return run(self._poll(timeout, interval, progress, on_status))

    async def poll_until_complete_async(
        self,
        *,
        timeout: float = TIMEOUT,  # noqa: ASYNC109  # it ends the waiting, not the job
        interval: float = INTERVAL,
        progress: bool = False,
        on_status: OnStatus | None = None,
    ) -> R:
        """As `poll_until_complete`."""
        return await run_async(self._poll(timeout, interval, progress, on_status), self._http)

    def stream(self, *, since_seq: int = 0) -> Iterator[dict[str, Any]]:
        """The job's events after `since_seq` as they happen, until it has ended: `{seq, type,
        message, data, created_at}`. A connection that breaks is taken up where it was."""
        return follow(self._following(since_seq))

    def stream_async(self, *, since_seq: int = 0) -> AsyncIterator[dict[str, Any]]:
        """As `stream`, for `async for`."""
        return follow_async(self._following(since_seq))

    def cancel(self, *, reason: str | None = None) -> dict[str, Any]:
        """End the job; `status` in the answer is `succeeded` if that was possible."""
        return run(told(self._command("cancel", reason)))

    async def cancel_async(self, *, reason: str | None = None) -> dict[str, Any]:
        """As `cancel`."""
        return await run_async(told(self._command("cancel", reason)), self._http)

    def pause(self, *, reason: str | None = None) -> dict[str, Any]:
        """Hold the job: no new rollouts."""
        return run(told(self._command("pause", reason)))

    async def pause_async(self, *, reason: str | None = None) -> dict[str, Any]:
        """As `pause`."""
        return await run_async(told(self._command("pause", reason)), self._http)

    def resume(self, *, reason: str | None = None) -> dict[str, Any]:
        """Let it go on."""
        return run(told(self._command("resume", reason)))

    async def resume_async(self, *, reason: str | None = None) -> dict[str, Any]:
        """As `resume`."""
        return await run_async(told(self._command("resume", reason)), self._http)

    def _result(self, data: dict[str, Any]) -> R:
        """What a status answer says."""
        raise NotImplementedError

    def _ended(self, status: dict[str, Any]) -> Flow[R]:
        """What came of a job that has ended, with its results if the server still has them."""
        try:
            results = yield from told(self._request("GET", "/results"))
        except ApiError:
            return self._result(status)
        return self._result({**status, **results})

    def _submit(self) -> Flow[str]:
        if self.job_id is not None:
            raise ConfigError(f"this job is submitted already: {self.job_id}")
        job = self._submission
        if job is None:
            raise ConfigError("there is nothing to submit")
        if job.checks_app:
            yield from task_app.checked(job.task_app_url, job.key)
        if job.uploads_key and job.key:
            yield from env_key.uploaded(self._target, job.key)
        request = self._keyed(self._target.request("POST", self._path, job.body))
        answer = yield from told(request)
        found = answer.get("job_id") or answer.get("id")
        if not found:
            raise ApiError("no job was created: the answer holds no job_id", url=request.url)
        self.job_id = str(found)
        return self.job_id

    def _poll(
        self, timeout: float, interval: float, progress: bool, on_status: OnStatus | None
    ) -> Flow[R]:
        """Answers of the server count, failures do not, unless there are too many in a row."""
        until = time.monotonic() + timeout
        shown = Progress(sys.stdout) if progress else None
        failures = 0
        status: dict[str, Any] = {}
        try:
            while True:
                try:
                    status = yield from told(self._request("GET"))
                    failures = 0
                except ApiError as error:
                    failures += 1
                    if 0 < error.status < _SERVER_ERROR or failures >= _FAILURES:
                        raise
                result = self._result(status)
                if shown is not None and not failures:
                    shown.show(status, str(result.status))
                if on_status is not None and not failures:
                    on_status(status)
                if result.is_terminal:
                    return (yield from self._ended(status))
                left = until - time.monotonic()
                if left <= 0:
                    return result
                yield Pause(min(interval, left))
        finally:
            if shown is not None:
                shown.close()

    def _following(self, since_seq: int) -> Following:
        query = {"since_seq": str(since_seq)} if since_seq else None
        base = self._request("GET", "/events/stream", query=query)
        base = replace(base, timeout=max(base.timeout, _SILENCE))
        return Following(lambda more: replace(base, headers={**base.headers, **more}), since_seq)

    def _command(self, action: str, reason: str | None) -> Request:
        # Only cancelling is known on every server's path for this kind.
        path = f"{self._path if action == 'cancel' else ANY_KIND}/{segment(self._known())}/{action}"
        body = {"reason": reason} if reason else {}
        return self._keyed(self._target.request("POST", path, body))

    def _request(
        self, method: str, rest: str = "", query: Mapping[str, str] | None = None
    ) -> Request:
        path = f"{self._path}/{segment(self._known())}{rest}"
        return self._keyed(self._target.request(method, path, query=query))

    def _known(self) -> str:
        if self.job_id is None:
            raise ConfigError("this job is not submitted yet; call submit() first")
        return self.job_id

    def _keyed(self, request: Request) -> Request:
        """With the key in both headers: servers differ in which one they read for which call."""
        if not self._target.key:
            return request
        return replace(request, headers={**request.headers, "X-API-Key": self._target.key})
