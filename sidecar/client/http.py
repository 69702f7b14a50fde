"""The session API of a running sidecar, as its commands need it."""

from typing import Any, Self
from urllib.parse import quote

import aiohttp

from sidecar.errors import SidecarError

_SESSIONS = "/api/prompt-learning/online/gepa/sessions"
_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
_SHOWN = 200
"""Characters of an answer that is not ours (a proxy's error page, say) worth showing."""


class ApiError(SidecarError):
    """The sidecar refused, or could not be reached; the text is what it said. `status` is 0 when
    there was no answer."""

    code = "api_error"

    def __init__(self, detail: str, status: int = 0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status


class SidecarClient:
    """Sessions of the sidecar at `base_url`; use it as an async context."""

    def __init__(self, base_url: str, api_key: str | None = None) -> None:
        self._base = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(headers=self._headers, timeout=_TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def sessions(self) -> list[dict[str, Any]]:
        """All sessions, in short."""
        answer = await self._call("GET", "")
        listed = answer.get("sessions", []) if isinstance(answer, dict) else answer
        return [dict(session) for session in listed]

    async def status(self, session_id: str) -> dict[str, Any]:
        """One session with its candidates and recent events."""
        return _object(await self._call("GET", f"/{quote(session_id, safe='')}"))

    async def command(self, session_id: str, action: str, **arguments: Any) -> dict[str, Any]:
        """Carry out `pause`, `resume`, `cancel`, `pin`, `unpin` or `rollback`."""
        path = f"/{quote(session_id, safe='')}/{quote(action, safe='')}"
        return _object(await self._call("POST", path, json=arguments))

    async def export(self, session_id: str, candidate_id: str | None = None) -> dict[str, Any]:
        """A prompt to keep: the named candidate's, else the best proven one's."""
        params = {"candidate_id": candidate_id} if candidate_id else {}
        path = f"/{quote(session_id, safe='')}/export"
        return _object(await self._call("GET", path, params=params))

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        assert self._http is not None, "use `async with SidecarClient(...)`"
        try:
            # No redirects: they could carry the key to somewhere else.
            async with self._http.request(
                method, self._base + _SESSIONS + path, allow_redirects=False, **options
            ) as response:
                return await _answer(response)
        except aiohttp.InvalidURL as error:
            raise ApiError(f"{self._base!r} is not a URL") from error
        except TimeoutError as error:
            raise ApiError(f"{self._base} does not answer in time") from error
        except aiohttp.ClientError as error:
            reason = getattr(getattr(error, "os_error", None), "strerror", None) or error
            raise ApiError(f"no sidecar answers at {self._base}: {reason}") from error


async def _answer(response: aiohttp.ClientResponse) -> Any:
    text = await response.text(errors="replace")
    try:
        body = await response.json(content_type=None)
    except ValueError:
        body = None
    if response.status >= 300:  # noqa: PLR2004  # a redirect is no answer of ours either
        raise ApiError(_detail(body) or _plain(response, text), response.status)
    if body is None:
        raise ApiError(f"{response.url.origin()} answers, but not as a sidecar", response.status)
    return body


def _detail(body: Any) -> str:
    """What went wrong: problem+json says `detail`, the OpenAI shape `error.message`."""
    if not isinstance(body, dict):
        return ""
    error = body.get("error")
    message = error.get("message") if isinstance(error, dict) else error
    detail = body.get("detail") or message or body.get("title")
    return detail if isinstance(detail, str) else ""


def _plain(response: aiohttp.ClientResponse, text: str) -> str:
    said = " ".join(text.split())[:_SHOWN]
    return f"HTTP {response.status} {response.reason or ''}".rstrip() + (
        f": {said}" if said else ""
    )


def _object(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise ApiError("the answer is not an object; is this a sidecar?")
    return answer
