"""What an orchestrator and a scraper ask.

Liveness says that the event loop turns, readiness that calls should come here. Neither depends on
the store, the optimiser or the provider: a pod that restarts because its provider is down helps
nobody. Their state is shown by `/readyz?verbose` as parts, not as a status.
"""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from sidecar.telemetry.metrics import Metrics

Parts = Callable[[], Mapping[str, Any]]


class Health:
    """Where the process is in its life. Set by whoever starts and stops it."""

    def __init__(self) -> None:
        self.ready = False
        """Everything has started; stays true."""
        self.draining = False
        """No new calls, please; the open ones are finishing."""

    @property
    def word(self) -> str:
        """`ok`, or why not."""
        if self.draining:
            return "draining"
        return "ok" if self.ready else "starting"


def routes(health: Health, metrics: Metrics, parts: Parts) -> list[web.RouteDef]:
    """The routes of this module. They need no key: they say nothing about anybody's content."""
    ops = _Ops(health, metrics, parts)
    return [
        web.get("/livez", ops.live),
        web.get("/healthz", ops.live),
        web.get("/startupz", ops.started),
        web.get("/readyz", ops.ready),
        web.get("/health", ops.published),
        web.get("/api/health", ops.published),
        web.get("/metrics", ops.scrape),
    ]


class _Ops:
    def __init__(self, health: Health, metrics: Metrics, parts: Parts) -> None:
        self._health = health
        self._metrics = metrics
        self._parts = parts

    async def live(self, request: web.Request) -> web.Response:
        return _answer(request, "ok", passed=True)

    async def started(self, request: web.Request) -> web.Response:
        ready = self._health.ready
        return _answer(request, "ok" if ready else "starting", passed=ready)

    async def ready(self, request: web.Request) -> web.Response:
        word = self._health.word
        parts = self._parts() if "verbose" in request.query else None
        return _answer(request, word, passed=word == "ok", parts=parts)

    async def published(self, _request: web.Request) -> web.Response:
        """The published API's probe: 200 while we serve at all."""
        return web.json_response({"status": self._health.word})

    async def scrape(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(
            body=encode(self._metrics.registry), headers={"Content-Type": content_type}
        )


def _answer(
    request: web.Request, word: str, *, passed: bool, parts: Mapping[str, Any] | None = None
) -> web.Response:
    """Text for probes, JSON for who asks for it or wants the parts."""
    status = 200 if passed else 503
    if parts is not None:
        return web.json_response({"status": word, "parts": dict(parts)}, status=status)
    if "application/json" in request.headers.get("Accept", ""):
        return web.json_response({"status": word}, status=status)
    return web.Response(text=word, status=status)
