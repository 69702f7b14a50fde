"""What the provider answered, put together from a completion or from the chunks of a stream.

The provider may be any OpenAI-compatible server, so nothing in it is taken for granted: what does
not look as expected is left out. Only the first choice counts; it is the one applications go on
with.
"""

from typing import Any

import orjson

from sidecar.core.conversation import Reply, ToolCall

MAX_TEXT = 1024 * 1024
"""Characters of an answer that are put together; a longer one is not recognised again."""

MAX_TOOL_CALLS = 256


class Answer:
    """An answer in the making."""

    def __init__(self) -> None:
        self.completion_id: str | None = None
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.failed = False
        """The provider reported an error inside a successful response."""
        self.readable = False
        """Anything of it could be read at all."""
        self.overflowed = False
        self._texts: list[str] = []
        self._size = 0
        self._calls: dict[int, list[str]] = {}

    def event(self, data: str) -> None:
        """Add one event of a stream."""
        if data != "[DONE]":
            self._document(data, "delta")

    def completion(self, body: bytes) -> None:
        """Add a whole completion."""
        self._document(body, "message")

    @property
    def reply(self) -> Reply | None:
        """The answer as the application will repeat it; None when it could not be read whole."""
        if self.overflowed or not self.readable:
            return None
        calls = tuple(ToolCall(*parts) for _, parts in sorted(self._calls.items()))
        return Reply("".join(self._texts), calls)

    def text(self, limit: int) -> str:
        """The first `limit` characters of the answer's text."""
        return "".join(self._texts)[:limit]

    def _document(self, data: str | bytes, field: str) -> None:
        try:
            document = orjson.loads(data)
        except ValueError:
            return
        if not isinstance(document, dict):
            return
        self.failed = self.failed or bool(document.get("error"))
        if isinstance(document.get("id"), str):
            self.completion_id = self.completion_id or document["id"]
        self._usage(document.get("usage"))
        for choice in _objects(document.get("choices")):
            message = choice.get(field)
            if choice.get("index", 0) == 0 and isinstance(message, dict):
                self.readable = True
                self._message(message)

    def _usage(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self.prompt_tokens = _count(usage.get("prompt_tokens"))
            self.completion_tokens = _count(usage.get("completion_tokens"))

    def _message(self, message: dict[str, Any]) -> None:
        content = message.get("content")
        if isinstance(content, str):
            self._add_text(content)
        for position, call in enumerate(_objects(message.get("tool_calls"))):
            index = call.get("index")
            self._add_call(index if isinstance(index, int) else position, call)

    def _add_text(self, text: str) -> None:
        self._size += len(text)
        if self._size > MAX_TEXT:
            self.overflowed = True
        else:
            self._texts.append(text)

    def _add_call(self, index: int, call: dict[str, Any]) -> None:
        """A stream names a call once and sends its arguments piece by piece."""
        if index not in self._calls and len(self._calls) >= MAX_TOOL_CALLS:
            self.overflowed = True
            return
        parts = self._calls.setdefault(index, ["", "", ""])
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        for place, value in enumerate((call.get("id"), function.get("name"))):
            if isinstance(value, str) and value:
                parts[place] = value
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            self._size += len(arguments)
            self.overflowed = self.overflowed or self._size > MAX_TEXT
            if not self.overflowed:
                parts[2] += arguments


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
