"""A bounded tee of the answer: what the proposer and the next turn need, and never more memory.

The relay hands over each chunk after the client has it; keeping a reference is all that happens
then. Bytes are read at the end, or, of a long event stream, whenever a batch of them has come
together, so that neither memory nor the pause at the end grows with the answer. What overflows is
learning data; the traffic never notices.
"""

from sidecar.core.prompt import Messages
from sidecar.core.sse import SseParser
from sidecar.gateway.answer import Answer
from sidecar.gateway.encoding import decoded

BATCH_BYTES = 64 * 1024
"""A stream is read when this much of it has come."""

BODY_BYTES = 1024 * 1024
"""Most of an answer in one piece (or of a compressed one) that is kept until its end."""

PLAIN_BYTES = 8 * BODY_BYTES
"""Most that a compressed answer may unfold to."""


class Capture:
    """What is kept of one answer while it passes."""

    def __init__(self, content_type: str, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        self._is_stream = is_event_stream(content_type)
        self._in_batches = self._is_stream and self._encoding in {"", "identity"}
        self._parser = SseParser()
        self._answer = Answer()
        self._chunks: list[bytes] = []
        self._size = 0
        self.dropped = ""
        """Why learning data was lost, or empty: `overflow` or `encoding`."""

    def feed(self, chunk: bytes) -> None:
        """Keep a chunk that the client has received."""
        if self.dropped:
            return
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._in_batches:
            if self._size >= BATCH_BYTES:
                self._read(self._take())
        elif self._size > BODY_BYTES:
            self._take()
            self.dropped = "overflow"

    def finish(self) -> Answer:
        """Read what is left. The answer is empty when nothing could be read."""
        plain = decoded(self._take(), self._encoding, PLAIN_BYTES)
        if plain is not None:
            self._read(plain)
        elif not self.dropped:
            self.dropped = "encoding"
        if self._answer.overflowed:
            self.dropped = "overflow"
        return self._answer

    def _take(self) -> bytes:
        taken = b"".join(self._chunks)
        self._chunks, self._size = [], 0
        return taken

    def _read(self, plain: bytes) -> None:
        if not self._is_stream:
            self._answer.completion(plain)
            return
        for data in self._parser.feed(plain):
            self._answer.event(data)


def is_event_stream(content_type: str) -> bool:
    """Whether this is the content type of a stream of events."""
    return content_type.partition(";")[0].strip().lower() == "text/event-stream"


def request_text(messages: Messages, limit: int) -> tuple[tuple[str, str], ...]:
    """(role, text) of the messages, the newest first to get room within `limit` characters."""
    kept: list[tuple[str, str]] = []
    for message in reversed(messages):
        if limit <= 0:
            break
        text = _text(message.get("content"))[:limit]
        limit -= len(text)
        kept.append((str(message.get("role")), text))
    return tuple(reversed(kept))


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))
