"""OpenAI's shapes: completions, their stream, and errors."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sidecar.simulation.policy_model import text_of

Json = dict[str, Any]
_WORDS_PER_CHUNK = 6


class BadRequest(Exception):
    """The body is not a request for a completion."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {
            "error": {
                "message": message,
                "type": "invalid_request_error",
                "param": param,
                "code": code,
            }
        }


def checked(raw: bytes) -> Json:
    """The request in a body. Raises `BadRequest`."""
    try:
        body = json.loads(raw)
    except ValueError:
        raise BadRequest("We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    if not isinstance(body.get("model"), str):
        raise BadRequest("you must provide a model parameter", param="model")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("Missing required parameter: 'messages'.", param="messages")
    if not all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages):
        raise BadRequest("Every message needs a role.", param="messages")
    return body


def completion(identity: str, model: str, reply: str, used: Json, created: int) -> Json:
    """The whole answer at once."""
    message = {"role": "assistant", "content": reply, "refusal": None}
    return {
        "id": identity,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": used,
    }


def chunks(
    identity: str, model: str, reply: str, used: Json | None, created: int
) -> Iterator[bytes]:
    """The answer as server-sent events; with `used`, a last chunk tells the usage."""
    head = {
        "id": identity,
        "object": "chat.completion.chunk",
        "created": created,
        "model": model,
    }
    yield _event(head, [_choice({"role": "assistant", "content": ""})])
    for piece in _pieces(reply):
        yield _event(head, [_choice({"content": piece})])
    yield _event(head, [_choice({}, "stop")])
    if used is not None:
        yield _event(head | {"usage": used}, [])
    yield b"data: [DONE]\n\n"


def usage(messages: Sequence[Mapping[str, Any]], reply: str) -> Json:
    """Tokens, at four characters each."""
    prompt = sum(len(text_of(message)) for message in messages) // 4 + 1
    answer = len(reply) // 4 + 1
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
    }


def _pieces(reply: str) -> Iterator[str]:
    words = reply.split(" ")
    for start in range(0, len(words), _WORDS_PER_CHUNK):
        piece = " ".join(words[start : start + _WORDS_PER_CHUNK])
        yield piece if start == 0 else f" {piece}"


def _choice(delta: Json, finish: str | None = None) -> Json:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _event(head: Json, choices: list[Json]) -> bytes:
    body = json.dumps(head | {"choices": choices}, separators=(",", ":"))
    return f"data: {body}\n\n".encode()
