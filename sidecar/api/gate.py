"""Routes behind a gate: something that every call of theirs must pass first."""

from collections.abc import Awaitable, Callable, Iterable
from typing import cast

from aiohttp import web

from sidecar.api.guard import Handler

Gate = Callable[[web.Request], Awaitable[None]]
"""Returns when a call may go on. Raises what the caller is told when it may not."""


def behind(gate: Gate, routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
    """The same routes, behind the gate."""

    def gated(handler: Handler) -> Handler:
        async def passed(request: web.Request) -> web.StreamResponse:
            await gate(request)
            return await handler(request)

        return passed

    return [
        web.route(route.method, route.path, gated(cast(Handler, route.handler))) for route in routes
    ]
