"""What is not a chat request: answered with advice on a session URL, passed through on `/v1`."""

import gzip
import json
import zlib

import pytest
from aiohttp import web
from support.gateway import StaticBackend, ask, running, settings
from support.provider import FakeProvider

SESSION, V1 = "/api/gepa/v1/s1/chat/completions", "/v1/chat/completions"
DEEP = b'{"messages":[{"role":"user","content":"hi"}],"x":' + b"[" * 500 + b"]" * 500 + b"}"

BAD = [
    (b"", "not_json", None),
    (b"{", "not_json", None),
    (b'{"messages":[{"role":"user","content":NaN}]}', "not_json", None),
    (b"\xff\xfe", "not_json", None),
    (b"[" * 5000, "not_json", None),
    (b"[]", "no_messages", "messages"),
    (b'"text"', "no_messages", "messages"),
    (b"{}", "no_messages", "messages"),
    (b'{"messages":null}', "bad_messages", "messages"),
    (b'{"messages":[]}', "bad_messages", "messages"),
    (b'{"messages":{"role":"user"}}', "bad_messages", "messages"),
    (b'{"messages":["hi"]}', "bad_messages", "messages[0]"),
    (b'{"messages":[{"content":"hi"}]}', "bad_messages", "messages[0].role"),
    (b'{"messages":[{"role":1,"content":"hi"}]}', "bad_messages", "messages[0].role"),
    (b'{"messages":[{"role":"user","content":7}]}', "bad_messages", "messages[0].content"),
    (b'{"messages":[{"role":"user","content":[7]}]}', "bad_messages", "messages[0].content"),
]


async def accept(_request, _body):
    return web.Response(text="fine with me")


@pytest.mark.parametrize(("body", "reason", "param"), BAD)
async def test_a_session_url_says_what_is_wrong(body, reason, param):
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        answer = await ours.post(SESSION, body)
        assert answer.status == 400
        error = answer.json["error"]
        assert (error["type"], error["param"]) == ("invalid_request_error", param)
        assert error["message"] == answer.json["detail"]
        assert answer.headers["x-request-id"]
        assert provider.seen == []
        assert ours.backend.selected == []
        assert await ours.accounted(1) == {("session", "passthrough", "failed"): 1}
        assert reason


@pytest.mark.parametrize(("body", "reason", "param"), BAD)
async def test_on_v1_it_is_the_providers_business(body, reason, param):
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        provider.script = accept
        answer = await ours.post(V1, body)
        assert answer.body == b"fine with me"
        assert provider.last.body == body
        assert answer.headers["x-sidecar-mode"] == "passthrough"
        assert ours.value("sidecar_unmatched_total", reason=reason) == 1
        assert await ours.accounted(1) == {("chat", "passthrough", "ok"): 1}
        assert ours.store.turns == []
        assert param is None or param.startswith("messages")


@pytest.mark.parametrize("path", [V1, SESSION])
async def test_a_foreign_system_message_goes_through_untouched_and_is_no_rollout(path):
    backend = StaticBackend(candidates={"c": "Be brief."})
    async with FakeProvider() as provider, running(settings(provider.base_url), backend) as ours:
        body = json.dumps({"messages": ask("hi", "Another prompt."), "model": "m"}).encode()
        answer = await ours.post(path, body)
        assert answer.status == 200
        assert provider.last.body == body
        assert answer.headers["x-sidecar-mode"] == "passthrough"
        assert "x-gepa-rollout-id" not in answer.headers
        assert backend.selected == []
        assert ours.value("sidecar_unmatched_total", reason="no_match") == 1


async def test_an_unchanged_prompt_sends_the_original_bytes():
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        body = b'{ "messages":[{"content":"You are helpful.","role":"system"},  {"role":"user"}]}'
        for path in (V1, SESSION):
            await ours.post(path, body)
            assert provider.last.body == body


async def test_a_body_nested_too_deep_to_be_written_again_goes_through():
    backend = StaticBackend(candidates={"c": "Be brief."})
    async with FakeProvider() as provider, running(settings(provider.base_url), backend) as ours:
        answer = await ours.post(V1, DEEP)
        assert answer.status == 200
        assert provider.last.body == DEEP
        assert answer.headers["x-sidecar-mode"] == "failopen"


@pytest.mark.parametrize("path", [V1, SESSION])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate", "identity"])
async def test_compressed_bodies_are_understood(path, encoding):
    plain = json.dumps({"messages": ask("hi")}).encode()
    raw = zlib.compressobj(wbits=-15)
    body = {
        "gzip": gzip.compress(plain),
        "deflate": zlib.compress(plain),
        "raw deflate": raw.compress(plain) + raw.flush(),
        "identity": plain,
    }[encoding]
    backend = StaticBackend(candidates={"c": "Be brief."})
    async with FakeProvider() as provider, running(settings(provider.base_url), backend) as ours:
        await ours.post(path, body, {"content-encoding": encoding.split()[-1]})
        assert provider.last.system == "Be brief."
        assert provider.last.header("content-encoding") is None


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("br", b"x"),
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(b"x")[:-4]),
        ("gzip", gzip.compress(b" " * 10_000_000)),
    ],
    ids=["unknown", "broken", "cut", "bomb"],
)
async def test_what_cannot_be_unpacked_is_not(encoding, body):
    config = {"server": {"max_body_bytes": 1024 * 1024}}
    async with FakeProvider() as provider, running(settings(provider.base_url, **config)) as ours:
        provider.script = accept
        sent = {"content-encoding": encoding}
        assert (await ours.post(SESSION, body, sent)).status == 400
        answer = await ours.post(V1, body, sent)
        assert provider.last.body == body
        assert provider.last.header("content-encoding") == encoding
        assert answer.headers["x-sidecar-mode"] == "passthrough"


async def test_a_body_over_the_limit():
    """50 MB: refused on a session URL, streamed through untouched on `/v1`."""
    huge = {"model": "m", "messages": [{"role": "user", "content": "x" * 50_000_000}]}
    body = json.dumps(huge).encode()
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        provider.script = accept

        async def upload():
            for start in range(0, len(body), 1 << 18):
                yield body[start : start + (1 << 18)]

        async with ours.client.post(ours.url + SESSION, data=upload()) as response:
            assert response.status == 413
            assert (await response.json())["error"]["code"] == "payload_too_large"
        assert provider.seen == []
        async with ours.client.post(ours.url + V1, data=upload()) as response:
            assert response.headers["x-sidecar-mode"] == "passthrough"
        assert provider.last.body == body
        assert ours.value("sidecar_unmatched_total", reason="too_large") == 1


async def test_a_large_body_within_the_limit_is_rewritten():
    backend = StaticBackend(candidates={"c": "Be brief."})
    async with FakeProvider() as provider, running(settings(provider.base_url), backend) as ours:
        provider.script = accept
        body = json.dumps({"messages": ask("x" * 20_000_000)}).encode()

        async def upload():
            yield body

        async with ours.client.post(ours.url + V1, data=upload()) as response:
            assert response.headers["x-sidecar-mode"] == "optimized"
        assert provider.last.system == "Be brief."


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/gepa/v1/s1/bad%20id/chat/completions", 400),
        ("/api/gepa/v1/s1/tr%61ce/chat/completions", 400),
        ("/api/gepa/v1/s1/" + "x" * 129 + "/chat/completions", 400),
        ("/api/gepa/v1/s%31/chat/completions", 400),
        ("/api/gepa/v1/" + "s" * 65 + "/chat/completions", 400),
        ("/api/gepa/v1/s1/trace_x/v2/chat/completions", 404),
        ("/api/gepa/v1/s1/models", 404),
        ("/api/other/v1/s1/chat/completions", 404),
    ],
)
async def test_odd_session_urls(path, status):
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        answer = await ours.chat(ask("hi"), path=path)
        assert answer.status == status
        assert answer.json["error"]["message"] == answer.json["detail"]
        assert provider.seen == []


async def test_errors_speak_the_dialect_of_their_route():
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        headers = {"x-request-id": "req-1"}
        async with ours.client.get(ours.url + SESSION, headers=headers) as response:
            assert response.status == 405
            assert response.headers["allow"] == "POST"
            body = await response.json()
            assert set(body["error"]) == {"message", "type", "param", "code"}
        async with ours.client.get(ours.url + "/api/nothing", headers=headers) as response:
            body = await response.json()
            assert body["detail"] == body["error"]["message"]
            assert set(body["error"]) == {"message", "code"}
        async with ours.client.get(ours.url + "/nothing?x", headers=headers) as response:
            assert response.content_type == "application/problem+json"
            problem = json.loads(await response.read())
            assert problem == {
                "type": "about:blank",
                "title": "Not Found",
                "status": 404,
                "detail": problem["detail"],
                "instance": "/nothing",
                "code": "not_found",
                "request_id": "req-1",
            }
            assert response.headers["x-request-id"] == "req-1"
