"""The routes of the request path: everything on `/v1`, and the published session URLs."""

from typing import Any, Final

from aiohttp import hdrs, web

from sidecar.gateway.gateway import Gateway, SessionUrl

RUNNER_OPTIONS: Final[dict[str, Any]] = {"handler_cancellation": True, "auto_decompress": False}
"""What the server must be run with: a client that leaves cancels its call (P4), and a compressed
request body stays as it is (P1)."""

_SESSION = "/api/{algorithm:gepa|mipro}/v1/{session}"
_CHAT = "/chat/completions"


def routes(gateway: Gateway) -> list[web.RouteDef]:
    """The route table. A correlation id of `v1` is none: it is what OpenAI clients add."""

    async def v1(request: web.Request) -> web.StreamResponse:
        return await gateway.v1(request)

    async def session(request: web.Request) -> web.StreamResponse:
        found = request.match_info
        correlation = found.get("correlation")
        url = SessionUrl(
            found["algorithm"], found["session"], None if correlation == "v1" else correlation
        )
        return await gateway.session(request, url)

    return [
        web.route(hdrs.METH_ANY, "/v1/{tail:.*}", v1),
        web.post(_SESSION + _CHAT, session),
        web.post(_SESSION + "/{correlation}" + _CHAT, session),
        web.post(_SESSION + "/{correlation}/v1" + _CHAT, session),
    ]
