"""Server-sent events from bytes, however the bytes were cut.

A chunk is not an event: lines end in LF, CR or CRLF, a CRLF or a UTF-8 character may be split
between two chunks, data may span lines and may lack the space after `data:`. Lines are split as
bytes and decoded whole. Only the data matters here; ids, names and comments are skipped.
"""

import re

MAX_EVENT_BYTES = 1024 * 1024
"""An event beyond this is skipped: nothing that we read is nearly as large."""

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


class SseParser:
    """Collects bytes, yields the data of each complete event."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._limit = max_event_bytes
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self._started = False

    def feed(self, chunk: bytes) -> list[str]:
        """The data of the events that this chunk completes. An event that has not ended when the
        stream does is none, as the standard says."""
        buffer = self._rest + chunk
        if not self._started:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._rest = buffer
                return []
            self._started = True
            buffer = buffer.removeprefix(_BOM)
        # A CR at the very end may be half of a CRLF: its line waits for the next byte.
        held = buffer.endswith(b"\r")
        lines = _LINE_END.split(buffer[:-1] if held else buffer)
        self._rest = lines.pop() + (b"\r" if held else b"")
        self._limit_rest()
        return [event for line in lines if (event := self._line(line)) is not None]

    def _limit_rest(self) -> None:
        """An endless line is kept only as far as it takes to know that it is too long."""
        if len(self._rest) > self._limit + len(b"data: ") + 1:
            tail = b"\r" if self._rest.endswith(b"\r") else b""
            self._rest = self._rest[: self._limit + len(b"data: ") + 1] + tail

    def _line(self, line: bytes) -> str | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        if name == b"data":
            value = value.removeprefix(b" ")
            self._size += len(value) + 1
            if self._size <= self._limit + 1:
                self._data.append(value)
        return None

    def _dispatch(self) -> str | None:
        data, size = self._data, self._size
        self._data, self._size = [], 0
        if size == 0 or size > self._limit + 1:
            return None
        return b"\n".join(data).decode("utf-8", "replace")
