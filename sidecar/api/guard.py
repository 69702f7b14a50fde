"""Routes that need a key."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from sidecar.api.middleware import require_key
from sidecar.settings import Settings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guarded(handler: Handler, settings: Settings) -> Handler:
    """The handler, behind the configured keys."""

    async def checked(request: web.Request) -> web.StreamResponse:
        require_key(request, settings)
        return await handler(request)

    return checked
