"""Demo keys, and the two headers in which any key may come."""

import re
import time

import pytest
from support.api import KEY, call, refusal
from support.whole import SESSIONS, whole, whole_settings

from sidecar.api import keys
from sidecar.api.middleware import DemoKeys
from sidecar.core import tokens
from sidecar.store.memory import MemoryStore

DEMO = "/api/demo/keys"
NOWHERE = "http://127.0.0.1:9/v1"


def serving(store=None, **server):
    server = {"port": 0, "drain_seconds": 0.1, "api_keys": (KEY,), **server}
    return whole(whole_settings(NOWHERE, server=server, store=store or {"kind": "memory"}))


@pytest.fixture
async def ours():
    async with serving() as ours:
        yield ours


async def test_a_demo_key_opens_what_a_key_opens(ours):
    assert (await call(ours, "GET", SESSIONS)).status == 401
    minted = await call(ours, "POST", DEMO, {"ttl_hours": 4})
    assert (minted.status, minted.headers["cache-control"]) == (200, "no-store")
    key = minted.json["api_key"]
    assert minted.json["expires_at"] > "2"
    for path in (SESSIONS, "/feedback/dead-letters", "/api/files"):
        assert (await call(ours, "GET", path, Authorization=f"Bearer {key}")).status == 200
        assert (await call(ours, "GET", path, X_API_Key=key)).status == 200


async def test_no_two_demo_keys_are_the_same(ours):
    given = {(await call(ours, "POST", DEMO)).json["api_key"] for _ in range(5)}
    assert len(given) == 5


async def test_a_demo_key_that_was_altered_is_none(ours):
    key = (await call(ours, "POST", DEMO)).json["api_key"]
    _, _, ends, nonce, mac = key.split("_")
    other = "0" if mac[0] != "0" else "1"
    for altered in (
        key[:-1],
        f"{key}0",
        key.upper(),
        f"sk_demo_{int(ends) + 9999}_{nonce}_{mac}",
        f"sk_demo_{ends}_{'0' * 32}_{mac}",
        f"sk_demo_{ends}_{nonce}_{other}{mac[1:]}",
        f"sk_demo_{'9' * 40}_{nonce}_{mac}",
        f"sk_demo_{ends}_{nonce}_",
        "sk_demo_",
    ):
        assert (await call(ours, "GET", SESSIONS, X_API_Key=altered)).status == 401, altered


async def test_a_demo_key_ends():
    known = DemoKeys(lambda: 1000.0)
    await keys.recognise(known, MemoryStore())
    ends_later = tokens.mint(known.secret, 1001, bytes(16))
    ended = tokens.mint(known.secret, 1000, bytes(16))
    assert [known.admit(key) for key in (ends_later, ended)] == [True, False]
    assert repr(known.secret) not in repr(known)


async def test_a_demo_key_that_cannot_be_judged_yet_is_neither_taken_nor_refused(ours):
    key = (await call(ours, "POST", DEMO)).json["api_key"]
    ours.sidecar.demo_keys.secret = None  # as while the store is away
    waits = await call(ours, "GET", "/api/files", X_API_Key=key)
    assert (waits.status, waits.headers["retry-after"]) == (503, "1")
    assert (await call(ours, "GET", "/api/files", X_API_Key=KEY)).status == 200
    assert (await call(ours, "GET", "/api/files", X_API_Key="another")).status == 401


async def test_a_demo_key_lives_as_long_as_was_asked(ours):
    for hours in (0.001, 1, 24):
        minted = (await call(ours, "POST", DEMO, {"ttl_hours": hours})).json
        left = int(minted["api_key"].split("_")[2]) - time.time()
        assert hours * 3600 - 60 < left <= hours * 3600 + 1
        assert minted["ttl_hours"] == hours


@pytest.mark.parametrize("ttl", [0, -1, 24.01, 1e300, True, "4", None, [], 10**30])
async def test_a_life_that_is_none_or_too_long_is_refused(ours, ttl):
    assert "24" in refusal(await call(ours, "POST", DEMO, {"ttl_hours": ttl}), 400)


@pytest.mark.parametrize("body", [b"[]", b"{", b"4", b'{"ttl_hours": NaN}'])
async def test_a_body_that_is_no_object_is_refused(ours, body):
    refusal(await call(ours, "POST", DEMO, body), 400)


async def test_demo_keys_can_be_switched_off():
    async with serving(demo_keys="off") as ours:
        assert "server.demo_keys" in refusal(await call(ours, "POST", DEMO), 403)


async def test_switched_off_the_keys_given_before_count_no_more(tmp_path):
    store = {"kind": "sqlite", "path": tmp_path / "s.db"}
    async with serving(store) as ours:
        key = (await call(ours, "POST", DEMO)).json["api_key"]
    async with serving(store) as again:
        assert (await call(again, "GET", SESSIONS, X_API_Key=key)).status == 200, "a restart"
    async with serving(store, demo_keys="off") as off:
        assert (await call(off, "GET", SESSIONS, X_API_Key=key)).status == 401


@pytest.mark.parametrize("header", ["X_Forwarded_For", "Forwarded", "X_Real_IP"])
async def test_nobody_gets_one_through_a_reverse_proxy_unless_told(ours, header):
    assert "demo_keys" in refusal(await call(ours, "POST", DEMO, **{header: "203.0.113.9"}), 403)
    async with serving(demo_keys="on") as on:
        assert (await call(on, "POST", DEMO, **{header: "203.0.113.9"})).status == 200


@pytest.mark.parametrize(
    "server", [{"host": "0.0.0.0"}, {"public_url": "https://prompts.example.com"}]
)
async def test_beyond_this_machine_nobody_gets_one_unless_told(server):
    async with serving(**server) as ours:
        refusal(await call(ours, "POST", DEMO), 403)
    async with serving(**server, demo_keys="on") as ours:
        assert (await call(ours, "POST", DEMO)).status == 200


def guarded_routes(ours):
    """Method and path of every route that needs a key."""
    for route in ours.sidecar._web().router.routes():
        path = route.resource.canonical.replace("{action}", "pause").replace("{algorithm}", "gepa")
        own = {DEMO, "/api/health", "/feedback/{source}"}  # a source goes by its signature
        open_to_all = path in own or path.endswith("/chat/completions")
        if path.startswith(("/api/", "/feedback")) and not open_to_all and route.method != "HEAD":
            yield route.method, re.sub(r"\{\w+\}", "nobody", path)


async def test_either_header_is_enough_on_every_route(ours):
    routes = list(guarded_routes(ours))
    assert len(routes) > 25
    for method, path in routes:
        for headers in ({}, {"Authorization": f"Basic {KEY}"}, {"X_API_Key": f"{KEY}x"}):
            assert (await call(ours, method, path, b"{", **headers)).status == 401, path
        for headers in (
            {"Authorization": f"Bearer {KEY}"},
            {"X_API_Key": KEY},
            {"X_API_Key": KEY, "Authorization": "Bearer wrong"},
            {"X_API_Key": "wrong", "Authorization": f"bearer {KEY}"},
        ):
            assert (await call(ours, method, path, b"{", **headers)).status in {200, 400, 404}, path
