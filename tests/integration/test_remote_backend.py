"""Application → sidecar → sidecar → provider: the optimiser is elsewhere, and everything holds."""

import asyncio
import json

import pytest
from aiohttp import web
from support.backends import FAILURES, SESSION, SYSTEM, create_request, proposing
from support.fault_proxy import NONE, Fault, FaultProxy
from support.gateway import ask
from support.provider import FakeProvider
from support.remote import (
    BACK_PROVIDER_KEY,
    again_and_again,
    back_settings,
    came_directly,
    front_settings,
    on_disk,
    pair,
)
from support.whole import SESSIONS, whole

CLIENT_KEY = "sk-of-the-application"


@pytest.fixture
async def provider():
    async with FakeProvider() as provider:
        proposing(provider)
        yield provider


@pytest.fixture
async def both(provider):
    async with pair(provider) as both:
        yield both


# -- a call --------------------------------------------------------------------------------------


async def test_a_call_is_served_by_the_candidate_that_the_backend_chooses(both, provider):
    text = await both.pinned()
    answer = await both.front.say("talk")
    assert answer.status == 200
    assert provider.last.system == text
    assert not came_directly(provider.last)
    chosen = (await both.back_status())["safety"]["pinned"]
    assert answer.candidate == chosen
    assert answer.headers["x-gepa-rollout-id"] == answer.correlation == "talk"
    assert answer.headers["x-gepa-system-id"] == SESSION
    assert answer.headers["x-sidecar-mode"] == "optimized"
    assert "x-sidecar-reason" not in answer.headers
    for where in (both.front, both.back):
        recorded = await where.sidecar.store.assignment(SESSION, "talk")
        assert recorded.candidate_id == chosen


async def test_the_applications_body_arrives_as_it_was_sent(both, provider):
    body = b'{ "messages": [{"role":"system","content":"You are helpful."},\n {"role":"user",'
    body += b'"content":"\\u00e9"}], "model":"m", "x_unknown": 1.50 }'
    headers = {"content-type": "application/json"}
    async with both.front.http.post(
        f"{both.front.sidecar.url}/v1/chat/completions", data=body, headers=headers
    ) as answer:
        assert answer.status == 200
    assert provider.last.body == body


async def test_an_answer_streams_through_both(both, provider):
    gate = asyncio.Event()

    async def paced(request, _body):
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"id":"chatcmpl-9","choices":[{"delta":{"content":"a"}}]}\n\n')
        await gate.wait()
        await response.write(b"data: [DONE]\n\n")
        return response

    provider.script = paced
    asked = {"model": "m", "messages": ask("hi", SYSTEM), "stream": True}
    url = f"{both.front.sidecar.url}/v1/chat/completions"
    async with both.front.http.post(url, json=asked) as answer:
        assert answer.headers["x-gepa-candidate-id"] == "baseline"
        assert b"chatcmpl-9" in await answer.content.readany()
        gate.set()
        assert (await answer.read()).endswith(b"data: [DONE]\n\n")
    await both.front.feedback({"completion_id": "chatcmpl-9", "thumbs": "up"})
    await both.front.reached(reward_count=1)


async def test_the_keys_stay_where_they_belong(both, provider):
    headers = {
        "authorization": f"Bearer {CLIENT_KEY}",
        "x_api_key": CLIENT_KEY,
        "cookie": f"a={CLIENT_KEY}",
        "openai_organization": CLIENT_KEY,
    }
    assert (await both.front.chat(ask("hi", SYSTEM), **headers)).status == 200
    seen = json.dumps([[k.decode(), v.decode()] for k, v in provider.last.raw_headers])
    assert CLIENT_KEY not in seen
    assert f"Bearer {BACK_PROVIDER_KEY}" in seen
    await both.between.refuse()
    assert (await both.front.chat(ask("hi", SYSTEM), **headers)).status == 200
    assert came_directly(provider.last)
    assert provider.last.header("authorization") == f"Bearer {CLIENT_KEY}"


async def test_a_call_that_is_not_the_sessions_goes_to_the_provider(both, provider):
    answer = await both.front.chat(ask("hi", "You are somebody else."))
    assert answer.headers["x-sidecar-mode"] == "passthrough"
    assert came_directly(provider.last)


async def test_the_sessions_own_url_works_at_the_front_too(both, provider):
    path = f"/api/gepa/v1/{SESSION}/trace_1"
    answer = await both.front.chat(ask("hi", SYSTEM), path)
    assert (answer.status, answer.correlation) == (200, "trace_1")
    assert not came_directly(provider.last)
    assert (await both.front.chat(ask("hi", SYSTEM), "/api/gepa/v1/nobody")).status == 404


async def test_the_providers_own_error_is_passed_on_and_is_nobodys_failure(both, provider):
    async def busy(_request, _body):
        error = {"error": {"message": "slow down", "code": "rate_limit"}}
        return web.json_response(error, status=429, headers={"retry-after": "7"})

    provider.script = busy
    before = len(provider.seen)
    for _ in range(8):
        answer = await both.front.say("talk")
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")
        assert answer.json["error"]["message"] == "slow down"
    assert len(provider.seen) == before + 8
    assert both.front.sidecar.reachability.describe() == {"breaker": "closed"}


# -- conversations -------------------------------------------------------------------------------


async def test_a_conversation_keeps_its_candidate(provider, tmp_path):
    async with whole(back_settings(provider)) as back, FaultProxy(back.sidecar.url) as between:
        settings = front_settings(between.url, provider, store=on_disk(tmp_path, "front"))
        served = {}
        for again in (False, True, True):  # and again after a restart of the front one
            async with whole(settings) as front:
                if not again:
                    await _two_candidates(front, back)
                for number in range(40):
                    answer = await front.say(f"talk{number}")
                    assert served.setdefault(f"talk{number}", answer.candidate) == answer.candidate
        assert len(set(served.values())) == 2


async def test_a_conversation_is_recognised_by_its_content(both):
    messages = ask("Who are you?", SYSTEM)
    first = await both.front.chat(messages)
    messages += [{"role": "assistant", "content": first.text}, {"role": "user", "content": "And?"}]
    second = await both.front.chat(messages)
    assert second.correlation == first.correlation
    assert (await both.back_status())["rollout_count"] == 1


async def _two_candidates(front, back):
    for number in range(FAILURES):
        await front.say(f"failure{number}")
        said = {"thumbs": "down", "comment": "No use."}
        await front.feedback({"rollout_id": f"failure{number}", **said})
    async for _ in again_and_again():
        if len((await back.sidecar.backend.status(SESSION))["candidates"]) >= 2:
            break


# -- rewards -------------------------------------------------------------------------------------


async def test_feedback_at_the_front_reaches_the_session_at_the_back(both):
    for number in range(60):
        await both.front.say(f"talk{number}")
    events = [{"rollout_id": f"talk{n}", "score": n % 2 / 2} for n in range(60)]
    await both.front.feedback(*events)
    await both.front.reached(reward_count=60)
    candidates = (await both.back_status())["candidates"]
    assert sum(c["reward_count"] for c in candidates) == 60
    assert sum(c["reward_count"] * (c["avg_reward"] or 0) for c in candidates) == pytest.approx(15)
    async for _ in again_and_again():
        if both.front.total("sidecar_rewards_reported_total", outcome="counted") >= 60:
            break
    assert both.front.total("sidecar_rewards_reported_total", outcome="duplicate") == 0


async def test_repeats_and_second_thoughts_count_as_one_reward(both):
    await both.front.say("talk")
    up = {"event_id": "e1", "rollout_id": "talk", "thumbs": "up", "actor": "ann"}
    down = {"event_id": "e2", "rollout_id": "talk", "thumbs": "down", "actor": "ann"}
    for event in (up, up, down, up, down):
        await both.front.feedback(event)
        await asyncio.sleep(0.02)
    await both.front.reached(reward_count=1)
    async for _ in again_and_again():
        if (await both.back_status())["candidates"][0]["avg_reward"] == 0.0:
            break
    back = {"event_id": "e3", "rollout_id": "talk", "retract": True, "actor": "ann"}
    await both.front.feedback(back)
    await both.front.reached(reward_count=0)


async def test_a_reward_whose_answer_was_lost_counts_once(both):
    await both.front.say("talk")
    both.between.fault = Fault(half_open=True)
    await both.front.feedback({"rollout_id": "talk", "score": 0.5})
    async for _ in again_and_again():
        if (await both.back_status())["reward_count"] > 0:
            break
    both.between.fault = NONE
    store = both.front.sidecar.store
    async for _ in again_and_again():
        if not await store.due_rewards(float("inf"), 1):
            break
    baseline = (await both.back_status())["candidates"][0]
    assert (baseline["reward_count"], baseline["avg_reward"]) == (1, 0.5)
    assert len(await both.back.sidecar.store.events_of(SESSION, "talk")) == 1


async def test_what_is_said_while_the_backend_is_away_is_counted_when_it_is_back(both):
    await both.front.say("talk")
    await both.between.refuse()
    await both.front.feedback({"rollout_id": "talk", "thumbs": "up"})
    async for _ in again_and_again():
        if both.front.total("sidecar_rewards_reported_total", outcome="failed"):
            break
    await both.between.listen()
    async for _ in again_and_again():
        if (await both.back_status())["reward_count"] == 1:
            break


async def test_a_reward_for_a_session_that_is_over_becomes_a_dead_letter(both):
    await both.front.say("talk")
    await both.back.command("cancel")
    await both.front.feedback({"rollout_id": "talk", "thumbs": "up"})
    async for _ in again_and_again():
        if await both.front.sidecar.store.dead_letters(1):
            break


# -- steering ------------------------------------------------------------------------------------


async def test_a_cancel_made_elsewhere_is_followed(both, provider):
    text = await both.pinned()
    await both.front.say("talk")
    assert provider.last.system == text
    await both.back.command("cancel")
    answer = await both.front.say("talk")
    assert (provider.last.system, answer.headers["x-sidecar-mode"]) == (SYSTEM, "baseline")
    await both.known(lambda good: good is None)
    await both.between.refuse()
    answer = await both.front.say("talk")
    assert came_directly(provider.last)
    assert (provider.last.system, answer.headers["x-sidecar-mode"]) == (SYSTEM, "failopen")


async def test_a_pause_made_elsewhere_shows_here_also_while_the_backend_is_away(both):
    await both.back.command("pause")
    assert (await both.front.status())["status"] == "paused"
    await both.between.refuse()
    shown = await both.front.status()
    assert (shown["status"], shown["stale"]) == ("paused", True)


async def test_the_session_api_at_the_front_is_that_of_the_back(both):
    url, http = both.front.sidecar.url, both.front.http
    async with http.post(f"{url}{SESSIONS}", json=create_request("mine")) as answer:
        made = await answer.json()
    assert made["online_url"] == f"{url}/api/gepa/v1/mine"
    async with http.post(f"{url}{SESSIONS}/mine/pause") as answer:
        assert (await answer.json())["status"] == "paused"
    assert (await both.back.sidecar.backend.status("mine"))["status"] == "paused"
    served = await both.front.chat(ask("hi", SYSTEM), "/api/gepa/v1/mine/trace_1")
    reward = {"rollout_id": "trace_1", "reward_info": {"score": 1.0}}
    async with http.post(f"{url}{SESSIONS}/mine/reward", json=reward) as answer:
        assert (await answer.json())["candidate_id"] == served.candidate == "baseline"
    async with http.get(f"{url}{SESSIONS}") as answer:
        listed = (await answer.json())["sessions"]
    assert {s["session_id"]: s["reward_count"] for s in listed} == {SESSION: 0, "mine": 1}
    async with http.get(f"{url}{SESSIONS}/{SESSION}/export") as answer:
        assert (await answer.json())["text"] == SYSTEM
    async with http.post(f"{url}{SESSIONS}", json={"config_body": {}}) as answer:
        assert answer.status == 400


# -- finding each other --------------------------------------------------------------------------


async def test_it_starts_without_its_backend_and_finds_it_later(provider):
    async with whole(back_settings(provider)) as back, FaultProxy(back.sidecar.url) as between:
        await between.refuse()
        async with whole(front_settings(between.url, provider)) as front:
            answer = await front.say("talk")
            assert (answer.status, answer.headers["x-sidecar-reason"]) == (200, "backend_session")
            assert came_directly(provider.last)
            await between.listen()
            async for _ in again_and_again():
                if (await front.say("talk")).headers["x-sidecar-mode"] == "baseline":
                    break
            assert not came_directly(provider.last)


async def test_a_session_that_somebody_else_made_is_found_by_its_id(provider):
    async with whole(back_settings(provider)) as back:
        await back.sidecar.backend.create(create_request(SESSION, "mipro"))
        settings = front_settings(back.sidecar.url, provider, sessions=())
        async with whole(settings) as front:
            async for _ in again_and_again():
                if front.sidecar.backend.describe()["sessions"]["found"] == 1:
                    break
            answer = await front.say("talk")
            assert answer.headers["x-mipro-candidate-id"] == "baseline"
            other = await front.chat(ask("hi", "You are somebody else."))
            assert other.headers["x-sidecar-mode"] == "passthrough"
            assert came_directly(provider.last)


async def test_a_backend_that_forgot_the_session_is_told_again(both, provider):
    await both.front.say("talk")
    async with whole(back_settings(provider)) as new:
        both.between.target(new.sidecar.url)
        await both.between.refuse()
        await both.between.listen()
        async for _ in again_and_again():
            if (await both.front.say("new")).headers["x-sidecar-mode"] == "baseline":
                break
        assert (await new.sidecar.backend.status(SESSION))["rollout_count"] == 1


@pytest.mark.parametrize("allowed", [False, True])
async def test_a_proxy_url_is_used_only_if_its_origin_is_allowed(provider, allowed):
    async with FakeProvider() as elsewhere:
        other = elsewhere.base_url.removesuffix("/v1")
        server = {"port": 0, "drain_seconds": 0.1, "public_url": other}
        async with whole(back_settings(provider, server=server)) as back:
            backend = {"allowed_origins": [other] if allowed else []}
            settings = front_settings(back.sidecar.url, provider, backend=backend)
            async with whole(settings) as front:
                answer = await front.say("talk")
                assert answer.status == 200
                assert bool(elsewhere.seen) is allowed
                if not allowed:
                    assert answer.headers["x-sidecar-reason"] == "backend_session"


async def test_a_key_that_the_backend_refuses_costs_learning_and_no_call(provider):
    async with whole(back_settings(provider)) as back:
        backend = {"api_key": "wrong"}
        async with whole(front_settings(back.sidecar.url, provider, backend=backend)) as front:
            answer = await front.say("talk")
            assert (answer.status, answer.headers["x-sidecar-mode"]) == (200, "failopen")
            async with front.http.get(f"{front.sidecar.url}{SESSIONS}/{SESSION}") as refused:
                assert refused.status == 503
                assert "backend.api_key" in (await refused.json())["detail"]


async def test_an_operator_sees_how_the_backend_is(both):
    async def part():
        async with both.front.http.get(f"{both.front.sidecar.url}/readyz?verbose") as answer:
            assert answer.status == 200
            return (await answer.json())["parts"]["backend"]

    found = {"followed": 1, "found": 1}
    shown = {"kind": "remote", "url": both.between.url, "up": True, "sessions": found}
    assert await part() == {**shown, "breaker": "closed"}
    await both.between.refuse()
    await both.breaker("open")
    assert await part() == {**shown, "up": False, "breaker": "open", "reason": "gone"}
    assert both.front.total("sidecar_backend_breaker", state="open") == 1
    assert both.front.total("sidecar_backend_breaker") == 1
