"""The session API of a running sidecar, as its commands need it."""

from typing import Any, Self

from sidecar.client.errors import ApiError
from sidecar.client.http import Connections
from sidecar.client.target import Target, segment
from sidecar.client.wire import content, record

_SESSIONS = "/api/prompt-learning/online/{}/sessions"
_ALGORITHMS = ("gepa", "mipro")
_NOT_FOUND = 404
_TIMEOUT = 10.0
"""Seconds of silence that a person at a terminal waits for."""


class SidecarClient:
    """Sessions of the sidecar at `base_url`; use it as an async context. Raises `ConfigError` for
    an address or a key that cannot be used."""

    def __init__(self, base_url: str, api_key: str | None = None) -> None:
        self._target = Target.of(base_url, api_key or "", _TIMEOUT)
        self._http = Connections()

    async def __aenter__(self) -> Self:
        self._http.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def sessions(self) -> list[dict[str, Any]]:
        """All sessions of either algorithm, in short, oldest first."""
        found: list[dict[str, Any]] = []
        for algorithm in _ALGORITHMS:
            request = self._target.request("GET", _SESSIONS.format(algorithm))
            answer = content(request, await self._http.send(request))
            listed = answer.get("sessions", []) if isinstance(answer, dict) else answer
            found += [dict(session) for session in listed]
        return sorted(found, key=lambda session: str(session.get("created_at", "")))

    async def status(self, session_id: str) -> dict[str, Any]:
        """One session with its candidates and recent events."""
        return await self._call("GET", segment(session_id))

    async def command(self, session_id: str, action: str, **arguments: Any) -> dict[str, Any]:
        """Carry out `pause`, `resume`, `cancel`, `pin`, `unpin`, `rollback`, `approve`, `retire` or
        `release`."""
        return await self._call("POST", f"{segment(session_id)}/{segment(action)}", arguments)

    async def export(self, session_id: str, candidate_id: str | None = None) -> dict[str, Any]:
        """A prompt to keep: the named candidate's, else the best proven one's."""
        query = {"candidate_id": candidate_id} if candidate_id else None
        return await self._call("GET", f"{segment(session_id)}/export", query=query)

    async def _call(
        self, method: str, path: str, body: Any = None, query: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """A call about one session, of which only the id is known: the server says 404 on the path
        of the other algorithm."""
        one, other = (
            self._target.request(method, f"{_SESSIONS.format(algorithm)}/{path}", body, query)
            for algorithm in _ALGORITHMS
        )
        try:
            return record(one, await self._http.send(one))
        except ApiError as refused:
            if refused.status != _NOT_FOUND:
                raise
            try:
                return record(other, await self._http.send(other))
            except ApiError as error:
                raise (refused if error.status == _NOT_FOUND else error) from None
