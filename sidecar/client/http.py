"""The two ways to send a request: in a thread that waits, and in an event loop.

Neither follows redirects, keeps cookies or asks the environment for a proxy: the key goes to the
address that was named and nowhere else. The standard library's client serves the thread, because
a second HTTP package would be a dependency for a dozen lines.
"""

import functools
import os
import socket
import ssl
from http.client import HTTPException
from typing import Self
from urllib import request as urllib
from urllib.error import URLError

import aiohttp
from yarl import URL

from sidecar.client.wire import Answer, Request


def send(request: Request) -> Answer:
    """Wait for the answer. Raises `ApiError` when there is none."""
    call = urllib.Request(  # noqa: S310  # the opener knows no other schemes
        request.url, request.body, dict(request.headers), method=request.method
    )
    # Raised outside the handlers: the errors of both libraries know the request, and its key.
    try:
        with opener().open(call, timeout=request.timeout) as response:
            location = response.headers.get("Location", "")
            return Answer(response.status, response.reason or "", response.read(), location)
    except (OSError, HTTPException) as error:
        cause = error.reason if isinstance(error, URLError) else error
        silent, reason = isinstance(cause, TimeoutError), reason_of(cause)
    raise request.timed_out() if silent else request.unanswered(reason)


@functools.cache
def opener() -> urllib.OpenerDirector:
    """With nothing in it but the two schemes: every status is an answer."""
    opener = urllib.OpenerDirector()
    opener.add_handler(urllib.HTTPHandler())
    opener.add_handler(urllib.HTTPSHandler())
    return opener


class Connections:
    """Calls from an event loop. Between `open` and `close` a connection is kept for the next call;
    otherwise each call has its own, and there is nothing to close."""

    def __init__(self) -> None:
        self._kept: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def open(self) -> None:
        """Keep connections from now on."""
        if self._kept is None:
            self._kept = client()

    async def close(self) -> None:
        """Keep none any more."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept.close()

    async def send(self, request: Request) -> Answer:
        """The answer. Raises `ApiError` when there is none."""
        if self._kept is not None:
            return await _send(self._kept, request)
        async with client() as http:
            return await _send(http, request)


def client() -> aiohttp.ClientSession:
    """One that keeps no cookies and knows no proxies."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())


async def _send(http: aiohttp.ClientSession, request: Request) -> Answer:
    try:
        async with http.request(
            request.method,
            URL(request.url, encoded=True),
            data=request.body,
            headers=request.headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(connect=request.timeout, sock_read=request.timeout),
        ) as response:
            location = response.headers.get("Location", "")
            body = await response.read()
            return Answer(response.status, response.reason or "", body, location)
    except (TimeoutError, aiohttp.ClientError) as error:
        silent, reason = isinstance(error, TimeoutError), reason_of(error)
    raise request.timed_out() if silent else request.unanswered(reason)


def reason_of(error: BaseException | str) -> object:
    """The system's words for it, if it was the system that failed; asyncio has its own."""
    cause = getattr(error, "os_error", error)
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError | socket.gaierror):
        return os.strerror(cause.errno) if cause.errno else cause
    return getattr(cause, "strerror", None) or cause
