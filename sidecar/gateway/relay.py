"""The answer on its way back: every chunk as it comes, no faster than the client reads.

When the provider dies in the middle, the client must not see a clean end, or it would take half an
answer for a whole one. An event stream is told so in an event, where one can be put between two of
the provider's own; then, in every case, the connection is cut without the end of the message.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from enum import Enum, auto

import aiohttp
import orjson
from aiohttp import hdrs, web
from multidict import CIMultiDict

from sidecar.core.headers import Headers
from sidecar.gateway.capture import is_event_stream
from sidecar.gateway.upstream import UPSTREAM_ERRORS

_FLUSH_SECONDS = 5.0
"""How long a client may take to read what it was sent before the cut."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, zero seconds: closing sends a reset."""

_ADDED = (hdrs.CONTENT_TYPE, hdrs.DATE, hdrs.SERVER)


class End(Enum):
    """How a relay ended."""

    WHOLE = auto()
    PROVIDER_DIED = auto()
    CLIENT_LEFT = auto()


class Relayed(web.StreamResponse):
    """A response with the provider's headers and nothing of aiohttp's."""

    async def _prepare_headers(self) -> None:
        """The library adds what it thinks is missing and has no switch for it; so what was not
        there before is taken out again."""
        absent = [name for name in _ADDED if name not in self.headers]
        await super()._prepare_headers()
        for name in absent:
            self.headers.popall(name, None)


class Relay:
    """One answer being relayed."""

    def __init__(self, request: web.Request, upstream: aiohttp.ClientResponse) -> None:
        self._request = request
        self._upstream = upstream
        self._last_bytes = b""

    def response(self, headers: Headers) -> Relayed:
        """The client's response, not yet begun."""
        return Relayed(
            status=self._upstream.status,
            reason=self._upstream.reason,
            headers=CIMultiDict(headers),
        )

    async def run(
        self, response: Relayed, first_byte: Callable[[], None], tee: Callable[[bytes], None]
    ) -> End:
        """Pass everything on; `tee` sees each chunk after the client."""
        try:
            await response.prepare(self._request)
            while True:
                try:
                    chunk = await self._upstream.content.readany()
                except UPSTREAM_ERRORS as error:
                    await self._cut(response, error)
                    return End.PROVIDER_DIED
                if not chunk:
                    break
                await response.write(chunk)
                if not self._last_bytes:
                    first_byte()
                self._last_bytes = (self._last_bytes + chunk[-4:])[-4:]
                tee(chunk)
            await response.write_eof()
        except ConnectionError:
            return End.CLIENT_LEFT
        return End.WHOLE

    def drop(self) -> None:
        """Cut the client off: the relay was given up, and nothing may follow what was sent."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _cut(self, response: Relayed, error: Exception) -> None:
        if event := self._last_event(response, error):
            await response.write(event)
        transport = self._request.transport
        if transport is None or transport.is_closing():
            return
        if not response.chunked and hdrs.CONTENT_LENGTH not in response.headers:
            _reset_on_close(transport)
        if transport.get_write_buffer_size():
            # A client that reads slowly still gets what is under way, if it reads on.
            transport.close()
            asyncio.get_running_loop().call_later(_FLUSH_SECONDS, transport.abort)
        else:
            transport.abort()

    def _last_event(self, response: Relayed, error: Exception) -> bytes:
        """The event that tells of the provider's death; empty where it would be misread: inside a
        compressed body, or after half a line."""
        headers = response.headers
        is_plain = headers.get(hdrs.CONTENT_ENCODING, "identity").lower() == "identity"
        is_stream = is_event_stream(headers.get(hdrs.CONTENT_TYPE, ""))
        between_lines = not self._last_bytes or self._last_bytes.endswith((b"\n", b"\r"))
        if not (is_plain and is_stream and between_lines):
            return b""
        between_events = not self._last_bytes or self._last_bytes.endswith(
            (b"\n\n", b"\r\r", b"\r\n\r\n")
        )
        timed_out = isinstance(error, TimeoutError)
        body = {
            "error": {
                "message": "The provider stopped in the middle of its answer.",
                "type": "upstream_error",
                "code": "upstream_timeout" if timed_out else "upstream_disconnected",
            }
        }
        return (b"" if between_events else b"\n") + b"data: " + orjson.dumps(body) + b"\n\n"


def abort(upstream: aiohttp.ClientResponse) -> None:
    """Stop the provider's work at once, whatever is still under way in either direction."""
    connection = upstream.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    upstream.close()


def _reset_on_close(transport: asyncio.Transport) -> None:
    """Where only the end of the connection ends the message, a plain close is a clean end."""
    own = transport.get_extra_info("socket")
    if own is not None:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
