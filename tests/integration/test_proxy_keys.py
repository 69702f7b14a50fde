"""The proxied model routes: open by default, behind our keys on request, which go no further."""

import contextlib

import pytest
from support.api import KEY, call
from support.backends import SESSION, SYSTEM
from support.gateway import ask
from support.provider import FakeProvider
from support.whole import whole, whole_settings

BODY = {"model": "m", "messages": ask("hi", SYSTEM)}
FORMS = [f"/api/gepa/v1/{SESSION}{tail}" for tail in ("", "/v1", "/trace_1", "/trace_1/v1")]
SESSION_URLS = [f"{form}/chat/completions" for form in FORMS]
PATHS = [*SESSION_URLS, "/v1/chat/completions", "/v1/models"]


@pytest.fixture
async def provider():
    async with FakeProvider() as provider:
        yield provider


@contextlib.asynccontextmanager
async def serving(provider, **server):
    server = {"port": 0, "drain_seconds": 0.1, "api_keys": (KEY,), **server}
    async with whole(whole_settings(provider.base_url, server=server)) as ours:
        yield ours


async def ask_for(ours, path, **headers):
    return await call(ours, "POST", path, BODY, **headers)


@pytest.mark.parametrize("path", PATHS)
async def test_by_default_no_key_is_needed(provider, path):
    async with serving(provider) as ours:
        assert (await ask_for(ours, path)).status == 200


@pytest.mark.parametrize("path", PATHS)
async def test_a_call_without_a_key_is_refused_as_openai_would(provider, path):
    async with serving(provider, require_proxy_key=True) as ours:
        for headers in ({}, {"Authorization": "Bearer sk-theirs"}, {"X_API_Key": "sk_demo_1"}):
            answer = await ask_for(ours, path, **headers)
            assert answer.status == 401
            error = answer.json["error"]
            assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
            assert error["message"]
            assert answer.headers["www-authenticate"] == "Bearer"
    assert provider.seen == []


@pytest.mark.parametrize("path", SESSION_URLS)
@pytest.mark.parametrize("header", ["Authorization", "X_API_Key"])
async def test_a_key_lets_a_call_through_and_stays_here(provider, path, header):
    async with serving(provider, require_proxy_key=True) as ours:
        demo = (await call(ours, "POST", "/api/demo/keys")).json["api_key"]
        for key in (KEY, demo):
            value = f"Bearer {key}" if header == "Authorization" else key
            answer = await ask_for(ours, path, **{header: value})
            assert answer.status == 200
            assert answer.headers["x-gepa-candidate-id"] == "baseline"
            assert key not in str(provider.last.raw_headers)
            assert provider.last.header("Authorization") == "Bearer sk-test"


async def test_on_v1_our_key_stands_beside_the_clients_own(provider):
    async with serving(provider, require_proxy_key=True) as ours:
        demo = (await call(ours, "POST", "/api/demo/keys")).json["api_key"]
        for key in (KEY, demo):
            for path in ("/v1/chat/completions", "/v1/models"):
                theirs = {"Authorization": "Bearer sk-theirs", "X_API_Key": key}
                assert (await ask_for(ours, path, **theirs)).status == 200
                assert provider.last.header("Authorization") == "Bearer sk-theirs"
                assert provider.last.header("X-API-Key") is None


@pytest.mark.parametrize("server", [{}, {"api_keys": ()}, {"require_proxy_key": True}])
async def test_a_demo_key_never_reaches_the_provider(provider, server):
    async with serving(provider, **server) as ours:
        demo = (await call(ours, "POST", "/api/demo/keys")).json["api_key"]
        for headers in ({"Authorization": f"Bearer {demo}"}, {"X_API_Key": demo}):
            assert (await ask_for(ours, "/v1/chat/completions", **headers)).status == 200
            assert demo not in str(provider.last.raw_headers)
            assert provider.last.header("Authorization") == "Bearer sk-test"


async def test_with_no_keys_configured_only_demo_keys_are_let_in(provider):
    async with serving(provider, require_proxy_key=True, api_keys=()) as ours:
        assert (await ask_for(ours, SESSION_URLS[0])).status == 401
        demo = (await call(ours, "POST", "/api/demo/keys")).json["api_key"]
        assert (await ask_for(ours, SESSION_URLS[0], X_API_Key=demo)).status == 200
