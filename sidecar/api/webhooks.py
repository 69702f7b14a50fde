"""Feedback from other products: `POST /feedback/{source}`.

The signature takes the place of our keys, and is held against the bytes as they came, before
anybody looks into them. Without one that fits, nothing is read, stored or answered but the refusal.
"""

import time
from collections.abc import Callable, Mapping

import structlog
from aiohttp import web

from sidecar.api.body import read_bytes
from sidecar.api.feedback import MAX_BODY, acknowledged, new_event_id
from sidecar.errors import InvalidSignature, NotFound, SidecarError
from sidecar.feedback.adapters.base import Reading
from sidecar.feedback.intake import Intake
from sidecar.feedback.signatures.base import Delivery
from sidecar.feedback.sources import AdapterFailed, Source
from sidecar.telemetry.metrics import Metrics

_SERVER_ERROR = 500

log = structlog.get_logger(__name__)


def routes(
    sources: Mapping[str, Source],
    intake: Intake,
    metrics: Metrics,
    *,
    durable: Callable[[], bool],
    clock: Callable[[], float] = time.time,
) -> list[web.RouteDef]:
    """The route of this module; `durable` asks the store, and is part of every acknowledgement."""
    api = _WebhookApi(sources, intake, metrics, durable=durable, clock=clock)
    return [web.post("/feedback/{source}", api.receive)]


class _WebhookApi:
    def __init__(
        self,
        sources: Mapping[str, Source],
        intake: Intake,
        metrics: Metrics,
        *,
        durable: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._sources = sources
        self._intake = intake
        self._metrics = metrics
        self._durable = durable
        self._clock = clock

    async def receive(self, request: web.Request) -> web.Response:
        """202 means verified and stored, or the answer that the product wants to hear."""
        source = self._sources.get(request.match_info["source"])
        if source is None:
            raise NotFound("no feedback source of this name is configured")
        try:
            return await self._take(source, request)
        except SidecarError as error:
            self._refused(source, error)
            raise

    async def _take(self, source: Source, request: web.Request) -> web.Response:
        delivery = Delivery(_headers(request), await read_bytes(request, MAX_BODY))
        now = self._clock()
        delivery_id = source.verifier.verify(delivery, now)
        events, reading = source.read(delivery, delivery_id, now, new_event_id)
        accepted = await self._intake.accept(events) if events else []
        self._ignored(source, reading)
        if reading.reply is not None:
            return web.Response(
                status=reading.reply.status,
                body=reading.reply.body,
                headers={
                    "Content-Type": reading.reply.content_type,
                    "X-Content-Type-Options": "nosniff",
                },
            )
        return acknowledged(accepted, durable=self._durable(), single=len(accepted) == 1)

    def _refused(self, source: Source, error: SidecarError) -> None:
        """Count it. Who sent it is not known, so it is not worth a line unless somebody looks; an
        adapter that failed is, once verified: the product has changed, or the adapter is wrong."""
        if isinstance(error, AdapterFailed):
            outcome = "failed"
            log.warning("webhook not understood", source=source.name, error=error.kind)
        elif isinstance(error, InvalidSignature):
            outcome = "unverified"
            log.debug("webhook not verified", source=source.name, reason=str(error))
        elif error.status < _SERVER_ERROR:
            outcome = "rejected"
        else:
            return
        self._metrics.feedback.labels(source.name, outcome).inc()

    def _ignored(self, source: Source, reading: Reading) -> None:
        for reason in reading.ignored:
            log.debug("webhook ignored", source=source.name, reason=reason)
            self._metrics.feedback.labels(source.name, "ignored").inc()


def _headers(request: web.Request) -> dict[str, list[str]]:
    """Every value of each header, by lower-case name."""
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        headers.setdefault(name.lower(), []).append(value)
    return headers
