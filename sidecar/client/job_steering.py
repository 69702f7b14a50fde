"""The jobs of a running sidecar, as its commands need them."""

from typing import Any, Self

from sidecar.client.http import Connections
from sidecar.client.target import Target, segment
from sidecar.client.wire import record

_JOBS = "/api/jobs"
_TIMEOUT = 10.0
"""Seconds of silence that a person at a terminal waits for."""


class SidecarJobs:
    """Jobs of either kind at `base_url`; use it as an async context. Raises `ConfigError` for an
    address or a key that cannot be used."""

    def __init__(self, base_url: str, api_key: str | None = None) -> None:
        self._target = Target.of(base_url, api_key or "", _TIMEOUT)
        self._http = Connections()

    async def __aenter__(self) -> Self:
        self._http.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def listed(self, limit: int) -> list[dict[str, Any]]:
        """The newest jobs in short, newest first."""
        answer = await self._call("GET", "", query={"limit": str(limit)})
        return [dict(job) for job in answer.get("jobs", [])]

    async def status(self, job_id: str) -> dict[str, Any]:
        """How one job stands."""
        return await self._call("GET", f"/{segment(job_id)}")

    async def results(self, job_id: str) -> dict[str, Any]:
        """What came of it so far."""
        return await self._call("GET", f"/{segment(job_id)}/results")

    async def events(self, job_id: str, since: int, limit: int) -> list[dict[str, Any]]:
        """What happened after event `since`, oldest first."""
        query = {"since_seq": str(since), "limit": str(limit)}
        answer = await self._call("GET", f"/{segment(job_id)}/events", query=query)
        return [dict(event) for event in answer.get("events", [])]

    async def command(self, job_id: str, action: str, reason: str | None) -> dict[str, Any]:
        """Carry out `cancel`, `pause` or `resume`."""
        body = {"reason": reason} if reason else {}
        return await self._call("POST", f"/{segment(job_id)}/{segment(action)}", body)

    async def _call(
        self, method: str, path: str, body: Any = None, query: dict[str, str] | None = None
    ) -> dict[str, Any]:
        request = self._target.request(method, _JOBS + path, body, query)
        return record(request, await self._http.send(request))
