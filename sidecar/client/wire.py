"""A call and its answer as data. Who sends it, and whether anybody waits for it in a thread or in
an event loop, is the transports' business."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sidecar.client.errors import ApiError

_SHOWN = 200
"""Characters of somebody else's text (a proxy's error page, say) worth showing."""
_NO_CONTENT = 204
_REDIRECT = 300
_ERROR = 400


@dataclass(frozen=True, slots=True)
class Request:
    """One call, to be sent as it is."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    """They hold the key."""
    body: bytes | None
    timeout: float
    """Seconds of silence after which to give up."""

    @property
    def origin(self) -> str:
        """The server, for messages."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def unanswered(self, reason: object) -> ApiError:
        """The error for a call that got no answer."""
        return ApiError(f"no sidecar answers at {self.origin}: {reason}", url=self.url)

    def timed_out(self) -> ApiError:
        """The error for a server that fell silent."""
        return ApiError(f"{self.origin} does not answer in time", url=self.url)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole."""

    status: int
    reason: str
    body: bytes
    location: str = ""
    """Where a redirect would lead."""


def content(request: Request, answer: Answer) -> Any:
    """The JSON of a good answer. Raises `ApiError` for any other: a redirect is one, because
    following it could carry the key to somewhere else."""
    body = _json(answer.body)
    if answer.status >= _REDIRECT:
        detail = body.get("detail") if isinstance(body, dict) else None
        words = _words(body) or _unread(answer)
        raise ApiError(words, answer.status, detail=detail, url=request.url)
    if answer.status == _NO_CONTENT:
        return {}
    if body is None:
        raise ApiError(
            f"{request.origin} answers, but not as a sidecar: {_unread(answer)}",
            answer.status,
            url=request.url,
        )
    return body


def record(request: Request, answer: Answer) -> dict[str, Any]:
    """The JSON object of a good answer. Raises `ApiError`."""
    body = content(request, answer)
    if not isinstance(body, dict):
        raise ApiError(
            "the answer is not an object; is this a sidecar?", answer.status, url=request.url
        )
    return body


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _words(body: Any) -> str:
    """What went wrong: problem+json says `detail`, the OpenAI shape `error.message`; a `detail`
    may itself be an object, or the list of a validator."""
    if isinstance(body, str):
        return body
    if isinstance(body, dict):
        for name in ("detail", "error", "message", "title"):
            if words := _words(body.get(name)):
                return words
    return _short(json.dumps(body, ensure_ascii=False)) if body else ""


def _unread(answer: Answer) -> str:
    if _REDIRECT <= answer.status < _ERROR and answer.location:
        said = f"leads to {_short(answer.location)}, and redirects are not followed"
    else:
        said = _short(answer.body.decode(errors="replace"))
    return f"HTTP {answer.status} {answer.reason}".rstrip() + (f": {said}" if said else "")


def _short(text: str) -> str:
    return " ".join(text.split())[:_SHOWN]
