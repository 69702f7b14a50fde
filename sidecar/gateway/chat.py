"""A chat completions request, read as far as the sidecar needs to understand it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from aiohttp import web

from sidecar.errors import InvalidRequest
from sidecar.gateway.encoding import decoded


class Unmatched(StrEnum):
    """Why a session's call went through untouched."""

    TOO_LARGE = "too_large"
    ENCODING = "encoding"
    NOT_JSON = "not_json"
    NO_MESSAGES = "no_messages"
    BAD_MESSAGES = "bad_messages"
    NO_MATCH = "no_match"


class Unreadable(InvalidRequest):
    """A body that is no chat completions request; `reason` is its label in the metrics."""

    def __init__(self, message: str, reason: Unmatched, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat completions request that can be rewritten."""

    raw: bytes
    """The body as it came, content encoding included."""
    body: dict[str, Any]
    messages: list[dict[str, Any]]

    def with_messages(self, messages: list[Any]) -> bytes:
        """The body with other messages, written anew. Raises `TypeError` when it is nested deeper
        than can be written."""
        return orjson.dumps({**self.body, "messages": messages})


async def read_up_to(request: web.Request, limit: int) -> tuple[bytes, bool]:
    """The body as far as `limit`, and whether that was all of it."""
    chunks: list[bytes] = []
    size = 0
    while size <= limit:
        chunk = await request.content.readany()
        if not chunk:
            return b"".join(chunks), True
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks), False


def parse(raw: bytes, encoding: str, limit: int) -> Chat:
    """The request in these bytes. Raises `Unreadable`, saying what is wrong and what to do."""
    plain = decoded(raw, encoding, limit)
    if plain is None:
        raise Unreadable(
            "The body's Content-Encoding cannot be read: send it plain or with gzip.",
            Unmatched.ENCODING,
        )
    body = _json(plain)
    if not isinstance(body, dict) or "messages" not in body:
        raise Unreadable(
            "The body must be a JSON object with a 'messages' list.",
            Unmatched.NO_MESSAGES,
            "messages",
        )
    _check_messages(body["messages"])
    return Chat(raw, body, body["messages"])


def _json(plain: bytes) -> Any:
    try:
        return orjson.loads(plain)
    except orjson.JSONDecodeError as error:
        raise Unreadable(
            f"The body is not valid JSON ({error.msg}, line {error.lineno}, column {error.colno}): "
            "send a chat completions request as application/json.",
            Unmatched.NOT_JSON,
        ) from None


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise _bad("'messages' must be a list with at least one message.", "messages")
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise _bad(f"'{where}' must be an object with 'role' and 'content'.", where)
        if not isinstance(message.get("role"), str):
            raise _bad(f"'{where}.role' must be a string.", f"{where}.role")
        content = message.get("content")
        parts = content if isinstance(content, list) else ()
        if not isinstance(content, str | list | None) or not all(
            isinstance(part, dict | str) for part in parts
        ):
            raise _bad(
                f"'{where}.content' must be a string, a list of content parts or null.",
                f"{where}.content",
            )


def _bad(message: str, param: str) -> Unreadable:
    return Unreadable(message, Unmatched.BAD_MESSAGES, param)
