"""P19: secrets, and what users write, stay out of logs, metrics and errors, also at DEBUG.

A whole sidecar is taken through what may happen to it, with canaries in every place where a secret
or somebody's words may stand. `make leaks` looks for the same in all other tests.
"""

import contextlib
import io
import logging

import aiohttp
import pytest
import structlog
from aiohttp import web
from prometheus_client import generate_latest
from support.backends import FAILURES, SESSION, SYSTEM, create_request, proposing
from support.gateway import ask
from support.provider import FakeProvider, delta
from support.whole import SESSIONS, whole, whole_settings

from sidecar.telemetry import logs

SECRETS = {
    "our key": "canary-our-key-5f1e",
    "provider key": "sk-canaryproviderkey5f1e",
    "proposer key": "canary-proposer-key-5f1e",
    "client key": "sk-canaryclientkey5f1e",
    "odd client key": "canary.odd.client.key.5f1e",
    "wrong key": "canary-wrong-key-5f1e",
    "cookie": "canarycookie5f1e",
}
CONTENT = {
    "question": "canary question of Ada Lovelace",
    "answer": "canary answer about her diagnosis",
    "comment": "canary comment with her address",
    "correction": "canary correction of her name",
    "prompt": "canary prompt of the house",
    "raw": "canary in what is no JSON",
}
OUR_KEY = {"Authorization": f"Bearer {SECRETS['our key']}"}


@pytest.fixture
def written():
    """All that was logged, by our own configuration and at DEBUG."""
    root, settings = logging.getLogger(), structlog.get_config()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("debug", "json", stream)
    yield stream.getvalue
    structlog.configure(**settings)
    root.handlers[:], level = before
    root.setLevel(level)


@pytest.fixture
async def provider():
    async with FakeProvider() as provider:
        proposing(provider)
        regular = provider.script

        async def answers(request, body):
            if b"die" in body:
                response = web.StreamResponse(headers={"content-type": "text/event-stream"})
                await response.prepare(request)
                await response.write(delta(CONTENT["answer"]))
                request.transport.abort()
                return response
            if b"refuse" in body:  # as real ones do, with the key in the message
                said = f"Incorrect API key: {request.headers.get('Authorization')}. {body.decode()}"
                return web.json_response({"error": {"message": said}}, status=401)
            return await regular(request, body)

        provider.script = answers
        yield provider


def settings(provider, tmp_path):
    config = {"online_proposer_min_rollouts": 1, "online_proposer_max_candidates": 1}
    return whole_settings(
        provider.base_url,
        config,
        server={"port": 0, "drain_seconds": 0.1, "api_keys": [SECRETS["our key"]]},
        provider={"base_url": provider.base_url, "api_key": SECRETS["provider key"]},
        engine={"proposer_model": "reflect", "proposer_api_key": SECRETS["proposer key"]},
        feedback={"tokens": True, "batch_seconds": 0.01},
        store={"kind": "sqlite", "path": tmp_path / "sidecar.db"},
    )


async def calls(ours):
    """Calls of every kind, and how they can go wrong; what they answered."""
    answers = []
    credentials = [
        {"Authorization": f"Bearer {SECRETS['client key']}"},
        {"Authorization": SECRETS["odd client key"], "Cookie": f"s={SECRETS['cookie']}"},
        {"x-api-key": SECRETS["odd client key"], "x-correlation-id": "named"},
        {"x-correlation-id": f"bad id {CONTENT['question']}"},
    ]
    for headers in credentials:
        for text in (CONTENT["question"], f"refuse {CONTENT['question']}", "die"):
            url = f"{ours.sidecar.url}/v1/chat/completions"
            body = {"model": "m", "messages": ask(text, SYSTEM)}
            with contextlib.suppress(aiohttp.ClientError):  # that died, as it should
                async with ours.http.post(url, json=body, headers=headers) as answer:
                    answers.append(await answer.text())
        for path in (f"/api/gepa/v1/{SESSION}", "/api/gepa/v1/nobody", "/v1"):
            url = f"{ours.sidecar.url}{path}/chat/completions"
            for body in (f'{{"messages": "{CONTENT["raw"]}"}}', CONTENT["raw"], "{}"):
                async with ours.http.post(url, data=body, headers=headers) as answer:
                    answers.append(await answer.text())
    return answers


async def learning(ours):
    """Feedback, good and bad, until a candidate was proposed; the refusals."""
    refusals = []
    for number in range(FAILURES):
        answer = await ours.say(f"talk{number}", CONTENT["question"])
        said = {"thumbs": "down", "comment": CONTENT["comment"]}
        if number % 2:
            said |= {"token": answer.headers["x-feedback-token"]}
        else:
            said |= {"rollout_id": f"talk{number}", "correction": CONTENT["correction"]}
        url = f"{ours.sidecar.url}/feedback"
        async with ours.http.post(url, json=said, headers=OUR_KEY) as accepted:
            assert accepted.status == 202
    token = answer.headers["x-feedback-token"]
    bad = [
        {"rollout_id": "talk0", "thumbs": CONTENT["comment"]},
        {"rollout_id": CONTENT["comment"], "thumbs": "up"},
        {"rollout_id": "talk0", "score": CONTENT["comment"]},
        {"reply_text": [CONTENT["answer"]], "thumbs": "up"},
        {"token": token[:-1], "thumbs": "up"},
        {"token": token, "thumbs": "up", "actor": CONTENT["comment"]},
        {"token": token, "comment": CONTENT["comment"] * 100},
        CONTENT["raw"],
    ]
    for body in bad:
        for headers in (OUR_KEY, {"Authorization": f"Bearer {SECRETS['wrong key']}"}):
            async with ours.http.post(url, json=body, headers=headers) as refused:
                assert refused.status in {401, 422}
                refusals.append(await refused.text())
    return refusals, token


async def administration(ours):
    """Sessions with keys of their own, and refusals of others."""
    answers = []
    url = f"{ours.sidecar.url}{SESSIONS}"
    own = {"proposer_api_key": SECRETS["proposer key"]}
    for request in (
        create_request("own", **own),
        create_request("odd", proposer_api_key=[SECRETS["proposer key"]]),
        create_request("odd", **own, proposer_url=f"https://u:{SECRETS['our key']}@x.example"),
        create_request("odd", **{CONTENT["prompt"]: 1}),
        create_request(CONTENT["prompt"]),
    ):
        async with ours.http.post(url, json=request, headers=OUR_KEY) as answer:
            answers.append(await answer.text())
    wrong = {"X-API-Key": SECRETS["wrong key"]}
    async with ours.http.get(f"{url}/own", headers=wrong) as answer:
        assert answer.status == 401
        answers.append(await answer.text())
    async with ours.http.get(f"{url}/own", headers=OUR_KEY) as answer:
        assert answer.status == 200
        answers.append(await answer.text())
    for path in ("/readyz?verbose", "/metrics"):
        async with ours.http.get(ours.sidecar.url + path) as answer:
            answers.append(await answer.text())
    return answers


def found(canaries, *texts):
    return [name for name, canary in canaries.items() for text in texts if canary in text]


async def test_a_whole_life_at_debug_tells_nobody(written, provider, tmp_path):
    async with whole(settings(provider, tmp_path)) as ours:
        logs.configure("debug", "json", (stream := io.StringIO()))  # `whole` has one of its own
        answers = await calls(ours)
        refusals, token = await learning(ours)
        answers += await administration(ours)
        live = ours.sidecar.backend._live[SESSION]
        await live._thinking
        assert len(live.state.candidates) == 2
        metrics = generate_latest(ours.sidecar.metrics.registry).decode()
    log = stream.getvalue() + written()
    assert "candidate proposed" in log
    assert found(SECRETS | CONTENT | {"token": token}, log, metrics) == []
    # The provider's own errors pass through as they are; ours repeat no secret.
    ours_only = [text for text in answers if "Incorrect API key" not in text]
    assert found(SECRETS, *ours_only, *refusals) == []
    assert found(CONTENT | {"token": token}, *refusals) == []


async def test_keys_of_callers_are_not_in_the_store(provider, tmp_path):
    async with whole(settings(provider, tmp_path)) as ours:
        await calls(ours)
        _, token = await learning(ours)
        await ours.sidecar.store.prune(0.0)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert CONTENT["comment"].encode() in kept  # so that it is the right place to look
    keys = {name: key for name, key in SECRETS.items() if name != "proposer key"}
    assert [name for name, key in keys.items() if key.encode() in kept] == []
    assert token.encode() not in kept


def test_the_search_finds_what_it_looks_for():
    assert found(CONTENT, f"… {CONTENT['comment']} …") == ["comment"]


def test_a_logged_secret_and_a_logged_traceback_are_hidden(written):
    try:
        int(f"refused {SECRETS['provider key']}")
    except ValueError:
        structlog.get_logger().exception("failed", api_key=SECRETS["our key"])
    assert "failed" in written()
    assert found(SECRETS, written()) == []
