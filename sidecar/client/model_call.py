"""Calling the model at the `inference_url` that a task app is given (wire contract, section 5)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sidecar import __version__
from sidecar.client.errors import ApiError
from sidecar.client.wire import Answer, Request, record

TIMEOUT = 600.0
"""Seconds that the model may be silent; not streamed, an answer is silent until it is whole."""
_CHAT = "/chat/completions"


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What the model said."""

    text: str
    """The text of the first choice; empty when it only calls tools."""
    message: Mapping[str, Any]
    """The whole message of the first choice, with its tool calls."""
    raw: Mapping[str, Any] = field(repr=False)
    """The whole answer."""


class ModelCall(Request):
    """A call whose failures are told as the model's."""

    __slots__ = ()

    def unanswered(self, reason: object) -> ApiError:
        """The error for a call that got no answer."""
        return ApiError(f"the model at {self.origin} does not answer: {reason}", url=self.url)


def chat_url(inference_url: str) -> str:
    """Where chat completions are posted: the URL with `/chat/completions` at the end of its path
    unless it is there, and with its query."""
    parts = urlsplit(inference_url)
    path = parts.path.rstrip("/")
    return parts._replace(path=path if path.endswith(_CHAT) else path + _CHAT).geturl()


def chat_request(
    inference_url: str,
    messages: Sequence[Mapping[str, Any]],
    fields: Mapping[str, Any],
    *,
    api_key: str | None = None,
    timeout: float = TIMEOUT,
) -> Request:
    """The call, to be sent by a transport. `fields`: what else its body says, `model` for one."""
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "User-Agent": f"prompt-sidecar/{__version__}",
    }
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    body = json.dumps({**fields, "messages": list(messages)}, allow_nan=False).encode()
    return ModelCall("POST", chat_url(inference_url), headers, body, timeout)


def reply_of(request: Request, answer: Answer) -> ChatReply:
    """What a good answer says. Raises `ApiError` for any other."""
    raw = record(request, answer)
    choices = raw.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    if not isinstance(message, dict):
        raise ApiError(
            "the model's answer holds no choices[0].message", answer.status, url=request.url
        )
    return ChatReply(str(message.get("content") or ""), message, raw)
