"""What every route shares: a request id, and the check of our own keys."""

import hmac
import os
import re
from collections.abc import Awaitable, Callable

from aiohttp import web

from sidecar.core.headers import bearer
from sidecar.errors import Unauthorised
from sidecar.settings import Settings

REQUEST_ID_HEADER = "X-Request-Id"

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
    keys = [key.get_secret_value().encode() for key in settings.server.api_keys]
    if not keys:
        return
    headers = request.headers
    given = [bearer(headers.get("Authorization", "")), headers.get("X-API-Key", "")]
    # A list, so that how long it takes does not say which key it was.
    found = [
        hmac.compare_digest(candidate.encode("utf-8", "surrogateescape"), key)
        for candidate in given
        for key in keys
    ]
    if not any(found):
        raise Unauthorised("Send one of the sidecar's keys as 'Authorization: Bearer' key.")
