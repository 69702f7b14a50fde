"""`POST /feedback` where a feedback token may stand in for a key."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from aiohttp import web

from sidecar.api.body import read_json, read_object
from sidecar.api.middleware import require_key
from sidecar.errors import InvalidRequest, NotFound, SidecarError, Unauthorised
from sidecar.feedback.browser import MAX_BODY, SOURCE, BrowserFeedback
from sidecar.feedback.intake import Accepted
from sidecar.settings import Settings
from sidecar.telemetry.metrics import Metrics

Keyed = Callable[[web.Request], Awaitable[Any]]
"""Reads the body of a request with a key."""
Take = Callable[[Any], Awaitable[web.Response]]
"""Takes in such a body."""
Acknowledge = Callable[[Sequence[Accepted]], web.Response]


class TokenApi:
    """Tells pages from applications."""

    def __init__(
        self, browser: BrowserFeedback | None, settings: Settings, metrics: Metrics
    ) -> None:
        """`browser` takes what comes with a token; None where there are none."""
        self._browser = browser
        self._settings = settings
        self._metrics = metrics

    def door(self, keyed: Keyed, take: Take, acknowledge: Acknowledge) -> Any:
        """The handler of `POST /feedback`. Whoever brings a token is taken for a page, whatever
        else they bring; of who has no key, no more is read than a page may send."""

        async def receive(request: web.Request) -> web.Response:
            refused = self._refusal(request)
            if refused is None:
                body = await keyed(request)
            else:
                try:
                    body = await read_json(request, MAX_BODY)
                except SidecarError:
                    raise refused from None
            if self._browser is not None and isinstance(body, dict) and "token" in body:
                with rejections(self._metrics, SOURCE):
                    return acknowledge([await self._browser.accept(body)])
            if refused is not None:
                raise refused
            return await take(body)

        return receive

    async def rotate(self, request: web.Request) -> web.Response:
        """Sign with a new key from now on."""
        if self._browser is None:
            raise NotFound("there are no feedback tokens here (feedback.tokens is off)")
        body = await read_object(request, MAX_BODY, empty={})
        revoke = body.get("revoke", False)
        if not isinstance(revoke, bool):
            raise InvalidRequest("revoke must be true or false", param="revoke")
        await self._browser.rotate(revoke=revoke)
        return web.json_response({"status": "rotated", "revoked": revoke})

    def _refusal(self, request: web.Request) -> Unauthorised | None:
        """Why the request may not send feedback as an application; raised at once where only
        applications may."""
        try:
            require_key(request, self._settings)
        except Unauthorised as error:
            if self._browser is None:
                raise
            return error
        return None


@contextlib.contextmanager
def rejections(metrics: Metrics, source: str) -> Iterator[None]:
    """Count what is refused."""
    try:
        yield
    except SidecarError as error:
        if error.status < 500:  # noqa: PLR2004  theirs, not ours
            metrics.feedback.labels(source, "rejected").inc()
        raise
