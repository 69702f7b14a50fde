"""A job's events as server-sent events (wire contract, section 8.5).

A stream reads the journal page by page as its client takes it, so a slow client holds one page and
no more, and one that takes nothing is let go of. The framing is what published clients can parse:
LF, one data line, `[DONE]` at the end.
"""

import asyncio

import structlog
from aiohttp import web

from sidecar.api.body import as_json
from sidecar.api.middleware import REQUEST_ID_HEADER, request_id
from sidecar.core.job import JobEvent, JobRecord
from sidecar.jobs.supervisor import Supervisor
from sidecar.jobs.view import event_view
from sidecar.store.base import StoreError

PAGE = 100
HEARTBEAT_SECONDS = 15.0
"""Longest silence, so that nobody in between takes the connection for dead."""
WRITE_SECONDS = 30.0
"""How long a client may take nothing while something waits for it."""
_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",  # proxies that would collect the events first
}
_DONE = b"data: [DONE]\n\n"
_HEARTBEAT = b": heartbeat\n\n"
_DIGITS = 15

log = structlog.get_logger()


class EventStreams:
    """All open streams."""

    def __init__(
        self,
        jobs: Supervisor,
        *,
        heartbeat: float = HEARTBEAT_SECONDS,
        patience: float = WRITE_SECONDS,
    ) -> None:
        """`heartbeat`: seconds between signs of life; `patience`: seconds that a client may take
        nothing."""
        self._jobs = jobs
        self._heartbeat = heartbeat
        self._patience = patience
        self._open: set[asyncio.Event] = set()
        self._closing = False

    def close(self) -> None:
        """End all streams without the `[DONE]`: the server stops, clients may come back."""
        self._closing = True
        for news in self._open:
            news.set()

    async def serve(
        self, request: web.Request, record: JobRecord, since: int
    ) -> web.StreamResponse:
        """The events after `since`, or after the `Last-Event-ID` of a client that comes back,
        until the job has ended."""
        response = web.StreamResponse(headers={**_HEADERS, REQUEST_ID_HEADER: request_id(request)})
        try:
            async with asyncio.timeout(self._patience):
                await response.prepare(request)
            await self._follow(response, record, _last_seen(request, since))
            async with asyncio.timeout(self._patience):
                await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()  # what it has not taken would be kept for it for ever
        except ConnectionError:
            pass  # it left
        except StoreError as error:  # it may come back and go on where it was
            log.warning("event stream cut", job_id=record.job_id, error=str(error))
        return response

    async def _follow(self, response: web.StreamResponse, record: JobRecord, seen: int) -> None:
        with self._jobs.watching(record.job_id) as news:
            self._open.add(news)
            try:
                quiet = self._until_heartbeat()
                while not self._closing:
                    news.clear()
                    state = await self._jobs.state(record.job_id)
                    page = await self._jobs.events(record.job_id, seen, PAGE)
                    if page:
                        await self._write(response, b"".join(_framed(record, e) for e in page))
                        seen, quiet = page[-1].seq, self._until_heartbeat()
                    elif state.status.final:
                        await self._write(response, _DONE)
                        return
                    elif not self._closing and not await self._told(news, quiet):
                        await self._write(response, _HEARTBEAT)
                        quiet = self._until_heartbeat()
            finally:
                self._open.discard(news)

    def _until_heartbeat(self) -> float:
        """When it is time for a sign of life, by the loop's clock, after something was written."""
        return asyncio.get_running_loop().time() + self._heartbeat

    async def _told(self, news: asyncio.Event, until: float) -> bool:
        """Whether something may have happened before that time."""
        try:
            async with asyncio.timeout_at(until):
                return await news.wait()
        except TimeoutError:
            return False

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(self._patience):
            await response.write(data)


def _framed(record: JobRecord, event: JobEvent) -> bytes:
    """One event; JSON text has no line ends of its own."""
    return b"id: %d\ndata: %s\n\n" % (event.seq, as_json(event_view(record, event)))


def _last_seen(request: web.Request, since: int) -> int:
    text = request.headers.get("Last-Event-ID", "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else since
