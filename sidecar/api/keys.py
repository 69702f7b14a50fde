"""Demo keys: short-lived keys for whoever asks, as the published API gives them."""

import secrets
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from sidecar.api.body import read_object
from sidecar.api.gate import behind
from sidecar.api.middleware import DemoKeys, require_proxy_key
from sidecar.core import tokens
from sidecar.errors import Forbidden, InvalidRequest
from sidecar.loading.rules import is_loopback
from sidecar.settings import Server, Settings
from sidecar.store.base import Secret, Secrets

MAX_BODY = 64 * 1024
MAX_HOURS = 24
_DEFAULT_HOURS = 4
_SECRET = "demo-keys"  # noqa: S105  its name, not its value
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")


async def recognise(demo_keys: DemoKeys, store: Secrets) -> None:
    """Have the keys recognised that this module gives."""
    demo_keys.secret = await own_secret(store, _SECRET, demo_keys.clock())


def routes(
    store: Secrets, settings: Settings, clock: Callable[[], float] = time.time
) -> list[web.RouteDef]:
    """The route of this module. It needs no key: it gives one."""

    async def give(request: web.Request) -> web.Response:
        _check_offered(request, settings.server)
        hours = _hours(await read_object(request, MAX_BODY, empty={}))
        now = clock()
        expires = int(now + hours * 3600) + 1
        key = tokens.mint(await own_secret(store, _SECRET, now), expires, secrets.token_bytes(16))
        answer = {
            "api_key": key,
            "expires_at": datetime.fromtimestamp(expires, UTC).isoformat(),
            "ttl_hours": hours,
        }
        return web.json_response(answer, headers={"Cache-Control": "no-store"})

    return [web.post("/api/demo/keys", give)]


def proxied(routes: Iterable[web.RouteDef], settings: Settings) -> list[web.RouteDef]:
    """Proxied model routes, behind our keys if the settings say so."""

    async def check(request: web.Request) -> None:
        require_proxy_key(request, settings)

    return behind(check, routes)


async def own_secret(store: Secrets, name: str, now: float) -> bytes:
    """32 random bytes that are the same whenever this is asked. Nothing is written once they are
    there, so that a full disk keeps no sidecar from starting."""
    found = await store.secret(name)
    if found is None:
        found = await store.keep_secret(Secret(name, secrets.token_bytes(32), now))
    return found.value


def _check_offered(request: web.Request, server: Server) -> None:
    """`auto` must not open a sidecar that listens on loopback for a reverse proxy's sake."""
    if server.demo_keys == "on":
        return
    if server.demo_keys == "off":
        raise Forbidden("this sidecar gives no demo keys (server.demo_keys is off)")
    public = urlsplit(server.public_url).hostname or server.host
    proxied = any(name in request.headers for name in _FORWARDED)
    if proxied or not (is_loopback(server.host) and is_loopback(public)):
        raise Forbidden(
            "demo keys are given on the sidecar's own machine only, unless server.demo_keys is on"
        )


def _hours(body: dict[str, Any]) -> float:
    hours = body.get("ttl_hours", _DEFAULT_HOURS)
    wrong = isinstance(hours, bool) or not isinstance(hours, int | float)
    if wrong or not 0 < hours <= MAX_HOURS:
        raise InvalidRequest(
            f"ttl_hours must be a number above 0, at most {MAX_HOURS}", param="ttl_hours"
        )
    return float(hours)
