"""Calls that belong together, written once for both ways of waiting.

A flow is a generator: it yields a `Request` and is given the answer (or the `ApiError` for none),
or yields a `Pause` and is given nothing once that is over. `run` carries it out in a thread that
waits, `run_async` in an event loop.
"""

import asyncio
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from sidecar.client.errors import ApiError
from sidecar.client.http import Connections, send
from sidecar.client.wire import Answer, Request, record

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pause:
    """Let time pass."""

    seconds: float


Flow = Generator[Request | Pause, Answer | None, T]


def run(flow: Flow[T]) -> T:
    """Carry it out, waiting; what it returns."""
    answer: Answer | ApiError | None = None
    try:
        while True:
            step = flow.throw(answer) if isinstance(answer, ApiError) else flow.send(answer)
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                answer = None
            else:
                answer = _sent(step)
    except StopIteration as end:
        result: T = end.value
        return result


async def run_async(flow: Flow[T], http: Connections) -> T:
    """As `run`, awaited."""
    answer: Answer | ApiError | None = None
    try:
        while True:
            step = flow.throw(answer) if isinstance(answer, ApiError) else flow.send(answer)
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                answer = None
            else:
                answer = await _sent_async(step, http)
    except StopIteration as end:
        result: T = end.value
        return result


def asked(request: Request) -> Generator[Request | Pause, Answer | None, Answer]:
    """The answer to one request, inside a flow."""
    answer = yield request
    assert answer is not None
    return answer


def told(request: Request) -> Generator[Request | Pause, Answer | None, dict[str, Any]]:
    """The JSON object of a good answer, inside a flow. Raises `ApiError` for any other."""
    return record(request, (yield from asked(request)))


def _sent(request: Request) -> Answer | ApiError:
    try:
        return send(request)
    except ApiError as error:
        return error


async def _sent_async(request: Request, http: Connections) -> Answer | ApiError:
    try:
        return await http.send(request)
    except ApiError as error:
        return error
