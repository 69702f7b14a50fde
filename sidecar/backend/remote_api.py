"""The published session API as a backend of ours: one bounded call after the other, and its
refusals as errors of ours.

The requests are those of our own client; what is different here is who waits: not a person, so
there is one limit for the whole of a call, a limit to how many are under way, and none of them
follows a redirect, which could carry the key to somewhere else.
"""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from sidecar.client.target import Target
from sidecar.client.wire import Answer, Request
from sidecar.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    SidecarError,
    Unavailable,
)
from sidecar.settings import BackendSettings

ALGORITHMS = ("gepa", "mipro")
_SESSIONS = "/api/prompt-learning/online/{}/sessions"
_PROBE_SECONDS = 1.0
"""Longest that a living backend needs to say that it is alive."""
_ANSWER_BYTES = 32 * 1024 * 1024
_SHOWN = 300
"""Characters of the backend's own words worth repeating."""
_OK, _REDIRECT, _ERROR = 200, 300, 500

_Failures = (aiohttp.ClientError, OSError, TimeoutError)


class Unreachable(Unavailable):
    """The backend gave no answer that could be read as one."""


class RemoteApi:
    """One Synth-compatible server."""

    def __init__(self, settings: BackendSettings) -> None:
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._target = Target.of(settings.url, key, settings.timeout)
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._http: aiohttp.ClientSession | None = None
        self.base = self._target.base
        """Without `/api` and without a slash at its end."""
        self.up = True
        """Set by whoever watches it; while it is not, nothing is tried."""

    def open(self) -> None:
        """Make ready to call."""
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # the slots are the limit
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._http is not None:
            await self._http.close()

    async def alive(self) -> bool:
        """Whether it answers at all, and not with a failure of its own. Outside the slots: they
        may all be waiting for a backend that is not."""
        request = self._target.request("GET", "/health")
        try:
            answer = await self._send(request, _PROBE_SECONDS)
        except _Failures:
            return False
        return answer.status < _ERROR

    async def create(self, algorithm: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """A session, new or already there."""
        return await self._call("POST", _SESSIONS.format(algorithm), request)

    async def listed(self) -> list[dict[str, Any]]:
        """All sessions in short, oldest first. Not published: raises `NotFound` where it is not
        offered."""
        found: list[dict[str, Any]] = []
        for algorithm in ALGORITHMS:
            answer = await self._call("GET", _SESSIONS.format(algorithm))
            sessions = answer.get("sessions")
            if not isinstance(sessions, list):
                raise NotFound("the backend does not list its sessions")
            found += [session for session in sessions if isinstance(session, dict)]
        return sorted(found, key=lambda session: str(session.get("created_at", "")))

    async def status(self, algorithm: str, session_id: str) -> dict[str, Any]:
        """A session and its candidates."""
        return await self._call("GET", _one(algorithm, session_id))

    async def urls(self, algorithm: str, session_id: str) -> dict[str, Any]:
        """Where its calls go."""
        return await self._call("GET", _one(algorithm, session_id) + "/prompt")

    async def command(
        self, algorithm: str, session_id: str, action: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Steer a session; its status, or whatever the answer says."""
        return await self._call("POST", f"{_one(algorithm, session_id)}/{action}", arguments)

    async def export(
        self, algorithm: str, session_id: str, candidate_id: str | None
    ) -> dict[str, Any]:
        """A prompt to keep. Not published: raises `NotFound` where it is not offered."""
        query = {"candidate_id": candidate_id} if candidate_id else None
        return await self._call("GET", _one(algorithm, session_id) + "/export", query=query)

    async def reward(
        self, algorithm: str, session_id: str, body: Mapping[str, Any], key: str
    ) -> dict[str, Any]:
        """Tell a reward; `key` is the same for the same reward."""
        path = _one(algorithm, session_id) + "/reward"
        return await self._call("POST", path, body, headers={"Idempotency-Key": key})

    async def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        try:
            request = self._target.request(method, path, body, query)
        except (TypeError, ValueError, RecursionError):
            raise InvalidRequest("the request holds what JSON cannot say") from None
        if not self.up:
            raise Unreachable("the backend does not answer at present")
        async with self._slots:
            try:
                answer = await self._send(request, request.timeout, headers or {})
            except TimeoutError:
                raise Unreachable("the backend does not answer in time") from None
            except _Failures as error:
                reason = type(error).__name__  # its text may hold the address and more
                raise Unreachable(f"the backend cannot be reached ({reason})") from None
        return _content(answer)

    async def _send(
        self, request: Request, seconds: float, headers: Mapping[str, str] | None = None
    ) -> Answer:
        assert self._http is not None
        async with self._http.request(
            request.method,
            URL(request.url, encoded=True),
            data=request.body,
            headers={**request.headers, **(headers or {})},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=seconds),
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _ANSWER_BYTES:
                    raise aiohttp.ClientPayloadError("an answer without end")
            return Answer(response.status, response.reason or "", bytes(body))


def _one(algorithm: str, session_id: str) -> str:
    return f"{_SESSIONS.format(algorithm)}/{quote(session_id, safe='')}"


def _content(answer: Answer) -> dict[str, Any]:
    """The JSON object of a good answer. Raises what the backend meant by any other."""
    try:
        body = orjson.loads(answer.body)
    except ValueError:
        body = None
    if not _OK <= answer.status < _REDIRECT:
        raise _refusal(answer.status, body)
    if not isinstance(body, dict):
        raise Unreachable("the backend answers, but not as one: is backend.url right?")
    return body


def _refusal(status: int, body: Any) -> SidecarError:
    words, param = _words(body) or f"the backend answered HTTP {status}", _param(body)
    match status:
        case 400 | 422:
            return InvalidRequest(words, param=param)
        case 404 | 405:
            return NotFound(words, param=param)
        case 409:
            return Conflict(words, param=param)
        case 413:
            return PayloadTooLarge(words, param=param)
        case 401 | 403:
            return Unavailable("the backend refuses the sidecar's key; check backend.api_key")
        case _:
            return Unavailable(f"the backend answered HTTP {status}")


def _words(body: Any) -> str:
    """What was wrong: `detail`, as text or as an object, or `error.message`."""
    if not isinstance(body, dict):
        return ""
    for given in (body.get("detail"), body.get("error"), body.get("message")):
        if isinstance(given, str) and given:
            return " ".join(given.split())[:_SHOWN]
        if words := _words(given):
            return words
    return ""


def _param(body: Any) -> str | None:
    error = body.get("error") if isinstance(body, dict) else None
    param = error.get("param") if isinstance(error, dict) else None
    return param if isinstance(param, str) else None
