"""What every route shares: a request id, and the check of our own keys."""

import hmac
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from sidecar.core.headers import bearer
from sidecar.core.tokens import is_token, is_valid
from sidecar.errors import Unauthorised, Unavailable
from sidecar.settings import Settings

REQUEST_ID_HEADER = "X-Request-Id"


@dataclass(slots=True)
class DemoKeys:
    """Tells a valid demo key from others."""

    clock: Callable[[], float]
    secret: bytes | None = field(default=None, repr=False)
    """None until the store has said it."""

    def admit(self, key: str) -> bool:
        """Whether the key is one that we gave and that has not ended. Raises `Unavailable` for one
        that cannot be judged yet."""
        if self.secret is not None:
            return is_valid(self.secret, key, self.clock())
        if is_token(key):
            raise Unavailable("Demo keys cannot be checked yet; try again later")
        return False


DEMO_KEYS = web.AppKey("demo_keys", DemoKeys)
"""Where the application keeps it; demo keys count only there."""

_REQUEST_ID = web.RequestKey("request_id", str)
_WELL_FORMED = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


@web.middleware
async def request_ids(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answers carry the request's id, except where the provider's own answer passes through (its
    headers are on the wire by then, its id among them)."""
    response = await handler(request)
    if not response.prepared:
        response.headers[REQUEST_ID_HEADER] = request_id(request)
    return response


def request_id(request: web.Request) -> str:
    """The id that the client gave, if it can be one, else one of ours."""
    known = request.get(_REQUEST_ID)
    if known is None:
        given = request.headers.get(REQUEST_ID_HEADER, "")
        known = given if _WELL_FORMED.fullmatch(given) else "req_" + os.urandom(12).hex()
        request[_REQUEST_ID] = known
    return known


def require_key(request: web.Request, settings: Settings) -> None:
    """Raise `Unauthorised` unless the request brings one of our keys, as a bearer token or in
    `X-API-Key`. Without configured keys everybody may (settings allow that on loopback only)."""
    if settings.server.api_keys:
        _require(request, settings)


def require_proxy_key(request: web.Request, settings: Settings) -> None:
    """The same for the proxied model routes, which are open unless the settings say otherwise. If
    they do and no keys are configured, only demo keys are let in."""
    if settings.server.require_proxy_key:
        _require(request, settings)


def _require(request: web.Request, settings: Settings) -> None:
    keys = [key.get_secret_value().encode() for key in settings.server.api_keys]
    headers = request.headers
    given = [bearer(headers.get("Authorization", "")), headers.get("X-API-Key", "")]
    # A list, so that how long it takes does not say which key it was.
    found = [
        hmac.compare_digest(candidate.encode("utf-8", "surrogateescape"), key)
        for candidate in given
        for key in keys
    ]
    demo_keys = request.app.get(DEMO_KEYS)
    if demo_keys is not None and not any(found):
        found += [demo_keys.admit(candidate) for candidate in given]
    if not any(found):
        raise Unauthorised(
            "Send one of the sidecar's keys as 'Authorization: Bearer' key or as 'X-API-Key'."
        )
