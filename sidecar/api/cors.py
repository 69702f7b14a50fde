"""Pages of other origins (CORS): those of the settings may post feedback and read the answer.

Nothing else is opened to them: what a page sends needs a token, which is in the body, so that no
header of its own is needed and cookies play no part.
"""

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from sidecar.api.middleware import REQUEST_ID_HEADER

PATH = "/feedback"
_MAX_AGE = "600"
"""Seconds that a browser may remember the answer to a preflight."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def cross_origin(allowed: frozenset[str]) -> Callable[..., Awaitable[web.StreamResponse]]:
    """The middleware for these origins. It stands outside the one that writes errors, because pages
    read those, too."""

    @web.middleware
    async def checked(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if request.path != PATH or not allowed:
            return await handler(request)
        known = request.headers.get(hdrs.ORIGIN, "") in allowed
        response = _preflight() if known and _is_preflight(request) else await handler(request)
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        if known:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = request.headers[hdrs.ORIGIN]
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = REQUEST_ID_HEADER
        return response

    return checked


def _is_preflight(request: web.Request) -> bool:
    asked = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
    return request.method == hdrs.METH_OPTIONS and asked is not None


def _preflight() -> web.Response:
    headers = {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: hdrs.METH_POST,
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: hdrs.CONTENT_TYPE,
        hdrs.ACCESS_CONTROL_MAX_AGE: _MAX_AGE,
    }
    return web.Response(status=204, headers=headers)
