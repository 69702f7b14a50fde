"""A job's events as they happen: server-sent events, taken up again where they broke off (wire
contract, section 8.5)."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from http.client import HTTPException
from typing import Any
from urllib import request as urllib
from urllib.error import URLError

import aiohttp
from yarl import URL

from sidecar.client.errors import ApiError
from sidecar.client.http import client, opener, reason_of
from sidecar.client.wire import Answer, Request, content

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0)
"""Seconds before each next connection, from the beginning again once one brings something; after
the last of them it is given up."""
_FINAL = (".job.completed", ".job.failed", ".job.cancelled")
_OVER = "sse.stream.ended"
_DONE = b"[DONE]"
_CHUNK = 65536
_LARGEST = 64 * 1024 * 1024
"""Bytes of one event."""
_OK = 200
_SERVER_ERROR = 500
_TOO_MANY = 429


class Following:
    """Where somebody who follows a job's events is. Knows no transport."""

    def __init__(self, request: Callable[[dict[str, str]], Request], since_seq: int = 0) -> None:
        """`request` makes the request from headers of ours."""
        self.done = False
        """Whether the job has ended, and its events with it."""
        self._make = request
        self._seq = since_seq
        self._failures = 0
        self._buffer = bytearray()
        self._data: list[bytes] = []

    def request(self) -> Request:
        """The next connection."""
        self._buffer.clear()
        self._data.clear()
        headers = {"Accept": "text/event-stream"}
        return self._make(headers | ({"Last-Event-ID": str(self._seq)} if self._seq else {}))

    def take(self, chunk: bytes) -> Iterator[dict[str, Any]]:
        """The events that a piece of the answer completes, each of them once. Raises `ApiError` for
        one that is too large."""
        self._failures = 0
        self._buffer += chunk
        if len(self._buffer) > _LARGEST:
            raise ApiError(f"an event is larger than {_LARGEST} bytes", _OK)
        if b"\n" not in chunk:
            return
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer[:] = rest
        for line in lines:
            event = self._line(line.removesuffix(b"\r"))
            if event is not None:
                yield event
            if self.done:
                return

    def broke(self, problem: ApiError | None) -> float:
        """Seconds to wait before the next connection. Raises `ApiError` when there is no use in
        one; `problem`: why the last one ended, None if it just did."""
        status = problem.status if problem is not None else 0
        if problem is not None and 0 < status < _SERVER_ERROR and status != _TOO_MANY:
            raise problem
        if self._failures >= len(PAUSES):
            raise problem or ApiError("the stream of events ends without an end of the job")
        self._failures += 1
        return PAUSES[self._failures - 1]

    def _line(self, line: bytes) -> dict[str, Any] | None:
        if line.startswith(b"data:"):
            self._data.append(line.removeprefix(b"data:").removeprefix(b" "))
        if line:
            return None
        data = b"\n".join(self._data)
        self._data.clear()
        self.done = self.done or data.strip() == _DONE
        return self._event(data) if data and not self.done else None

    def _event(self, data: bytes) -> dict[str, Any] | None:
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if not isinstance(event, dict):
            return None
        kind = str(event.get("type", ""))
        if kind == _OVER:
            self.done = True
            return None
        seq = event.get("seq")
        if isinstance(seq, int):
            if seq <= self._seq:
                return None  # a server that began again from the start
            self._seq = seq
        self.done = kind.endswith(_FINAL)
        return event


def follow(following: Following) -> Iterator[dict[str, Any]]:
    """The events, waiting for each. Raises `ApiError` when they cannot be had any more."""
    while True:
        problem = None
        try:
            for chunk in _chunks(following.request()):
                yield from following.take(chunk)
                if following.done:
                    return
        except ApiError as error:
            problem = error
        time.sleep(following.broke(problem))


async def follow_async(following: Following) -> AsyncIterator[dict[str, Any]]:
    """As `follow`, awaited."""
    while True:
        problem = None
        try:
            async for chunk in _chunks_async(following.request()):
                for event in following.take(chunk):
                    yield event
                if following.done:
                    return
        except ApiError as error:
            problem = error
        await asyncio.sleep(following.broke(problem))


def _chunks(request: Request) -> Iterator[bytes]:
    call = urllib.Request(request.url, headers=dict(request.headers))  # noqa: S310  # no others
    try:
        with opener().open(call, timeout=request.timeout) as response:
            kind = response.headers.get("Content-Type", "")
            if not _streams(response.status, kind):
                location = response.headers.get("Location", "")
                body = response.read(_CHUNK)
                raise _refusal(request, Answer(response.status, response.reason, body, location))
            while chunk := response.read1(_CHUNK):
                yield chunk
            return
    except (OSError, HTTPException) as error:
        reason = reason_of(error.reason if isinstance(error, URLError) else error)
    raise request.unanswered(reason)


async def _chunks_async(request: Request) -> AsyncIterator[bytes]:
    limits = aiohttp.ClientTimeout(connect=request.timeout, sock_read=request.timeout)
    url = URL(request.url, encoded=True)
    try:
        async with (
            client() as http,
            http.get(
                url, headers=request.headers, allow_redirects=False, timeout=limits
            ) as response,
        ):
            if not _streams(response.status, response.content_type):
                location = response.headers.get("Location", "")
                body = await response.content.read(_CHUNK)
                raise _refusal(
                    request, Answer(response.status, response.reason or "", body, location)
                )
            async for chunk in response.content.iter_any():
                yield chunk
            return
    except (TimeoutError, aiohttp.ClientError) as error:
        reason = reason_of(error)
    raise request.unanswered(reason)


def _streams(status: int, kind: str) -> bool:
    return status == _OK and kind.startswith("text/event-stream")


def _refusal(request: Request, answer: Answer) -> ApiError:
    try:
        content(request, answer)
    except ApiError as error:
        return error
    return ApiError("the answer is not a stream of events", answer.status, url=request.url)
