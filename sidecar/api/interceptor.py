"""The addresses that offline jobs hand to task apps for their model calls (wire contract,
section 5). The trial id in them is a secret of the rollout, so no key is asked for."""

from aiohttp import web

from sidecar.gateway.gateway import Desk, Gateway, SessionUrl

_TRIAL = "/api/interceptor/v1/{trial}"
_CHAT = "/chat/completions"
_CID = "cid"
"""The correlation id as a query parameter."""


def routes(gateway: Gateway, trials: Desk) -> list[web.RouteDef]:
    """The route table. A correlation id of `v1` is none: it is what OpenAI clients add."""

    async def trial(request: web.Request) -> web.StreamResponse:
        found = request.match_info
        correlation = found.get("correlation")
        named = request.query.get(_CID) if correlation in {None, "v1"} else correlation
        url = SessionUrl("", found["trial"], named, frozenset({_CID}))
        return await gateway.trial(request, url, trials)

    return [
        web.post(_TRIAL + _CHAT, trial),
        web.post(_TRIAL + "/{correlation}" + _CHAT, trial),
        web.post(_TRIAL + "/{correlation}/v1" + _CHAT, trial),
    ]
