"""The provider: one client session for all calls, and the one retry that is safe.

The session adds nothing to a request and undoes nothing in an answer: no headers of its own, no
cookies (they would be one tenant's in another's call), no decompression, no redirects, no proxies
from the environment.

A kept-alive connection may have been closed by the provider in the moment it was used again. The
request was then not answered and (almost certainly) not seen, so it is sent once more, over a fresh
connection, provided that not one byte of an answer came and the body can be sent again. For
idempotent methods aiohttp does that itself. Anything else is the caller's decision; when the retry
is spent too, the answer asks SDKs not to multiply it by their own.

A call that finds all connections in use is refused. To wait for a free one could take as long as
somebody else's answer does, and the caller would not know why.
"""

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp
from aiohttp import hdrs
from yarl import URL

from sidecar.core.headers import Headers
from sidecar.errors import SidecarError, TooManyCalls, UpstreamTimeout, UpstreamUnreachable
from sidecar.settings import Provider

Body = bytes | AsyncIterator[bytes] | None

_LARGE = 1024 * 1024
"""Beyond this, aiohttp wants to see bytes as a file, to write them piece by piece."""

_HEADER_BYTES = 64 * 1024
"""Longer headers than aiohttp's default of 8 KiB are the client's to judge, not ours."""

_AIOHTTP_RETRIES = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})

UPSTREAM_ERRORS = (aiohttp.ClientError, OSError, TimeoutError)
"""What a failing provider raises, while it is called or while its answer is read."""


class RetrySpent(UpstreamUnreachable):
    """The provider closed two connections in a row: wait before you try again."""


class ConnectTimeout(UpstreamTimeout):
    """There was no connection in time, so nothing was sent."""


class Unintelligible(UpstreamUnreachable):
    """What came back was no HTTP."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as the provider is to see it."""

    method: str
    tail: str
    """Path and query below the provider's base URL, as they go on the wire."""
    headers: Headers
    body: Body


class Upstream:
    """The provider's client; with an empty base URL, a client for the absolute URLs it is given."""

    def __init__(
        self, settings: Provider, *, connect_budget: float | None = None, retries: bool = True
    ) -> None:
        """`connect_budget` bounds, in seconds, all that it takes to have a connection: the wait
        for a free one, the name's address, encryption. Without `retries` nothing is sent twice,
        because the caller has somewhere else to go."""
        self._settings = settings
        self._budget = connect_budget
        self._retries = retries
        self._base = settings.base_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the sessions: one that keeps connections, one that never does, for retries."""
        self._session = self._open(keep=True)
        self._fresh = self._open(keep=False)

    async def stop(self) -> None:
        """Close all connections."""
        for session in (self._session, self._fresh):
            if session is not None:
                await session.close()

    async def send(self, request: Outgoing) -> aiohttp.ClientResponse:
        """The provider's answer, its body still unread. Raises `UpstreamUnreachable` (a
        `RetrySpent` when that was the second try), `UpstreamTimeout` or `TooManyCalls`."""
        assert self._session is not None
        assert self._fresh is not None
        trace = SimpleNamespace(reused=False)
        try:
            return await self._request(self._session, request, trace)
        except UPSTREAM_ERRORS as error:
            if not (self._retries and _may_retry(request, error, was_reused=trace.reused)):
                raise _named(error) from error
        try:
            return await self._request(self._fresh, request, trace)
        except UPSTREAM_ERRORS as error:
            raise RetrySpent("The provider closed the connection without an answer.") from error

    async def _request(
        self, session: aiohttp.ClientSession, request: Outgoing, trace: SimpleNamespace
    ) -> aiohttp.ClientResponse:
        body = request.body
        if isinstance(body, bytes) and len(body) > _LARGE:
            data: object = io.BytesIO(body)
        else:
            data = body
        return await session.request(
            request.method,
            URL(self._base + request.tail, encoded=True),
            headers=request.headers,
            data=data,
            allow_redirects=False,
            trace_request_ctx=trace,
        )

    def _open(self, *, keep: bool) -> aiohttp.ClientSession:
        settings = self._settings
        tracing = aiohttp.TraceConfig()
        if keep:
            tracing.on_connection_reuseconn.append(_mark_reused)
        if self._budget is None:
            tracing.on_connection_queued_start.append(_refuse)
        limit = settings.max_connections
        connector = (
            aiohttp.TCPConnector(limit=limit, keepalive_timeout=settings.keepalive)
            if keep
            else aiohttp.TCPConnector(limit=limit, force_close=True)
        )
        return aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=(
                hdrs.USER_AGENT,
                hdrs.ACCEPT,
                hdrs.ACCEPT_ENCODING,
                hdrs.CONTENT_TYPE,
            ),
            trust_env=False,
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=self._budget,
                sock_connect=settings.connect_timeout,
                sock_read=settings.read_timeout,
            ),
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
            trace_configs=[tracing],
        )


async def _mark_reused(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    _params: aiohttp.TraceConnectionReuseconnParams,
) -> None:
    context.trace_request_ctx.reused = True


async def _refuse(
    _session: aiohttp.ClientSession,
    _context: SimpleNamespace,
    _params: aiohttp.TraceConnectionQueuedStartParams,
) -> None:
    raise TooManyCalls("All connections to the provider are in use: send it again a little later.")


def _may_retry(request: Outgoing, error: Exception, *, was_reused: bool) -> bool:
    replayable = request.body is None or isinstance(request.body, bytes)
    return (
        was_reused
        and replayable
        and request.method not in _AIOHTTP_RETRIES
        and not isinstance(error, aiohttp.ClientConnectorError)
        and _nothing_came(error)
    )


def _nothing_came(error: Exception) -> bool:
    """A disconnection carries what had arrived of the answer instead of a text."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return isinstance(error.message, str)
    return isinstance(error, aiohttp.ClientOSError)


def _named(error: Exception) -> SidecarError:
    """Our error for one of aiohttp's, without addresses or anything else of its text."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ConnectTimeout("The provider could not be reached in time.")
    if isinstance(error, aiohttp.ClientResponseError):
        return Unintelligible("The provider answered with something that is not HTTP.")
    if isinstance(error, TimeoutError):
        return UpstreamTimeout("The provider did not answer in time.")
    if isinstance(error, aiohttp.ClientConnectorError):
        return UpstreamUnreachable("The provider could not be reached.")
    return UpstreamUnreachable("The provider closed the connection without an answer.")
