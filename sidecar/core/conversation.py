"""Recognising a conversation by what it repeats.

Turn N+1 of a chat carries the messages of turn N and its answer. So a hash over the messages up to
and including an answer, kept when the answer was given, finds the conversation again when those
messages come back, without any change in the application. Two people who only said the same thing
are not the same conversation: a prefix without an answer of the assistant is never looked up.

System messages are left out: they are what we replace, and may carry today's date. The scope (whose
conversation it is) is hashed first, so that tenants cannot meet.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from sidecar.core.prompt import SYSTEM_ROLES, Messages

MAX_LOOKUPS = 8
"""Assistant positions tried, newest first: an application may drop or rewrite its last answers,
but one that rewrote eight of them has made a conversation of its own."""

_DIGEST = 16


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call of an answer."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    """JSON as the model wrote it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The assistant's answer, as the application will repeat it."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


def scope(session_id: str, credential: str) -> bytes:
    """Whose conversations these are: a session, and whoever holds this credential."""
    return blake2b(_framed(session_id, credential), digest_size=_DIGEST).digest()


class Chain:
    """The hash chain over the messages of one request, walked once."""

    __slots__ = ("_state", "lookups")

    def __init__(self, messages: Messages, scope: bytes) -> None:
        self._state = blake2b(scope, digest_size=_DIGEST)
        found: list[str] = []
        for message in messages:
            role = message.get("role")
            if role in SYSTEM_ROLES:
                continue
            self._state.update(_framed(*_canonical(message)))
            if role == "assistant":
                found.append(self._state.hexdigest())
        self.lookups = tuple(reversed(found[-MAX_LOOKUPS:]))
        """The keys under which this conversation may be known, best first."""

    @property
    def key(self) -> str:
        """The key of all messages: equal requests have equal keys."""
        return self._state.hexdigest()

    def answered(self, reply: Reply) -> str:
        """The key under which the conversation is to be kept once it has this answer."""
        state = self._state.copy()
        state.update(_framed(*_canonical(_as_message(reply))))
        return state.hexdigest()


def _canonical(message: Mapping[str, Any]) -> Iterator[str]:
    """What makes a message this message, whichever way an application writes it down."""
    yield _text(message.get("role"))
    yield from _content(message.get("content"))
    for call in _items(message.get("tool_calls")):
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        yield "call"
        yield _text(call.get("id"))
        yield _text(function.get("name"))
        yield _arguments(_text(function.get("arguments")))
    yield _text(message.get("tool_call_id"))


def _content(content: Any) -> Iterator[str]:
    """A plain text and the same text in one part are the same; applications trim answers."""
    parts = content if isinstance(content, list) else [content]
    text, others = "", []
    for part in parts:
        if isinstance(part, str):
            text += part
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            text += part["text"]
        elif part is not None:
            others.append(_digest(part))
    yield text.strip()
    yield from others


def _arguments(text: str) -> str:
    """Frameworks parse arguments and write them again with other spaces and order."""
    try:
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS).decode()
    except (ValueError, TypeError):
        return text


def _digest(part: Any) -> str:
    try:
        dumped = orjson.dumps(part, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # nested deeper than it writes
        dumped = repr(part).encode("utf-8", "surrogatepass")
    return blake2b(dumped, digest_size=_DIGEST).hexdigest()


def _as_message(reply: Reply) -> dict[str, Any]:
    calls = [
        {"id": call.id, "function": {"name": call.name, "arguments": call.arguments}}
        for call in reply.tool_calls
    ]
    return {"role": "assistant", "content": reply.text, "tool_calls": calls}


def _items(value: Any) -> Sequence[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else ()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _framed(*texts: str) -> bytes:
    """Texts with their lengths and count, so that no two lists of texts look the same."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    frames = b"".join(b"%d:%b" % (len(data), data) for data in encoded)
    return b"%d;%b" % (len(encoded), frames)
