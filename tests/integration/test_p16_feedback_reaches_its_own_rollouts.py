"""P16: feedback reaches only the rollouts that its sender may speak about.

An application has a key. A page has a token: for one rollout, for a while."""

import asyncio
import re
from collections import Counter

import openai
import pytest
from support.backends import SESSION, SYSTEM
from support.gateway import ask
from support.provider import FakeProvider
from support.whole import whole, whole_settings

from sidecar.core.feedback_token import Claim, mint, read
from sidecar.feedback.browser import MAX_BODY, MAX_EVENTS, MAX_TEXT

PAGE = "https://chat.example.com"
KEY = {"Authorization": "Bearer the-key"}
OTHER = "bank"


@pytest.fixture
async def provider():
    async with FakeProvider() as provider:
        yield provider


def settings(provider, **feedback):
    sessions = [
        {"id": name, "baseline": SYSTEM, "config": {"gepa": {}}} for name in (SESSION, OTHER)
    ]
    return whole_settings(
        provider.base_url,
        server={"port": 0, "drain_seconds": 0.1, "api_keys": ["the-key"]},
        feedback={"tokens": True, "cors_origins": [PAGE], "batch_seconds": 0.01, **feedback},
        sessions=sessions,
    )


@pytest.fixture
async def ours(provider):
    async with whole(settings(provider)) as ours:
        yield ours


async def posted(ours, event, **headers):
    url = f"{ours.sidecar.url}/feedback"
    async with ours.http.post(url, json=event, headers=headers) as answer:
        return answer.status, await answer.json()


async def token_of(ours, conversation, session=SESSION):
    path = f"/api/gepa/v1/{session}/{conversation}"
    answer = await ours.chat(ask("hi", SYSTEM), path)
    return answer.headers["x-feedback-token"]


async def events(ours, conversation, session=SESSION):
    return await ours.sidecar.store.events_of(session, conversation)


def scores(found):
    return [event.score for event in sorted(found, key=lambda event: event.received_at)]


# What a token is good for


async def test_a_page_with_a_token_needs_no_key_and_is_marked_as_a_page(ours):
    token = await token_of(ours, "c1")
    status, answer = await posted(ours, {"token": token, "thumbs": "up", "comment": "thanks"})
    assert (status, answer["status"]) == (202, "attributed")
    [event] = await events(ours, "c1")
    assert (event.source, event.score, event.comment) == ("browser", 1.0, "thanks")
    assert event.actor.startswith("browser:")
    assert token not in repr(event)


async def test_without_a_key_or_a_token_nothing_is_taken_however_well_the_ids_are_guessed(ours):
    token = await token_of(ours, "c1")
    guesses = [
        {"rollout_id": "c1", "session_id": SESSION},
        {"correlation_id": "c1"},
        {"completion_id": "chatcmpl-1"},
        {"reply_text": "reply 1 to hi"},
    ]
    for guess in guesses:
        assert (await posted(ours, {**guess, "thumbs": "down"}))[0] == 401
    status, _ = await posted(ours, [{"token": token, "thumbs": "down"}])
    assert status == 401
    assert await events(ours, "c1") == []


async def test_a_token_says_nothing_about_another_rollout_or_session(ours):
    token = await token_of(ours, "both")
    await token_of(ours, "both", OTHER)
    await token_of(ours, "c2")
    for about in (
        {"rollout_id": "c2"},
        {"correlation_id": "c2"},
        {"session_id": OTHER},
        {"rollout_id": "both", "session_id": OTHER},
    ):
        status, problem = await posted(ours, {"token": token, "thumbs": "up", **about})
        assert (status, problem["code"]) == (403, "forbidden"), about
    own = {"rollout_id": "both", "correlation_id": "both", "session_id": SESSION}
    assert (await posted(ours, {"token": token, "thumbs": "up", **own}))[0] == 202
    assert len(await events(ours, "both")) == 1
    assert await events(ours, "both", OTHER) == []
    assert await events(ours, "c2") == []


@pytest.mark.parametrize(
    "name", ["actor", "event_id", "id", "completion_id", "fingerprint", "details", "source"]
)
async def test_a_page_cannot_say_who_it_is_or_choose_an_id(ours, name):
    token = await token_of(ours, "c1")
    status, problem = await posted(ours, {"token": token, "thumbs": "up", name: "x"})
    assert status == 422
    assert f"{name} cannot be said with a token" in problem["detail"]


# Tokens that are none


def forgeries(token):
    """A genuine token, changed at every place where it says something."""
    signed, _, mac = token.rpartition(".")
    about, _, expires = signed.rpartition(".")
    session = about.removeprefix("v1.").partition("~")[0]
    last = "0" if mac[-1] != "0" else "1"
    return {
        "mac": f"{signed}.{mac[:-1]}{last}",
        "no mac": signed,
        "short mac": token[:-1],
        "capitals": f"{signed}.{mac.upper()}" if mac.upper() != mac else "",
        "rollout": token.replace("~c1.", "~c2."),
        "session": token.replace(f"v1.{session}~", f"v1.{OTHER}~"),
        "later": f"{about}.{int(expires) + 1}.{mac}",
        "zero": f"{about}.0{expires}.{mac}",
        "version": token.replace("v1.", "v2."),
        "space": f" {token}",
        "line": f"{token}\n",
        "other key": mint(b"k" * 32, Claim(SESSION, "c1", 2**33)),
        "no key": mint(b"", Claim(SESSION, "c1", 2**33)),
        "empty": "",
        "number": 7,
        "null": None,
        "list": [token],
        "long": "v1." + "a" * 5000,
    }


async def test_forged_and_malformed_tokens_are_refused(ours):
    for what, forged in forgeries(await token_of(ours, "c1")).items():
        status, problem = await posted(ours, {"token": forged, "thumbs": "up"})
        assert (status, problem["status"]) == (401, 401), what
        assert "token" in problem["detail"]
    assert await events(ours, "c1") == []


async def test_a_token_beside_a_key_is_a_page_all_the_same(ours):
    await token_of(ours, "c1")
    status, _ = await posted(ours, {"token": "v1.x", "rollout_id": "c1", "thumbs": "up"}, **KEY)
    assert status == 401
    assert (await posted(ours, {"rollout_id": "c1", "thumbs": "up"}, **KEY))[0] == 202


async def test_an_expired_token_is_refused_and_told_so(provider):
    async with whole(settings(provider, token_seconds=1.0)) as ours:
        token = await token_of(ours, "c1")
        tokens = ours.sidecar.tokens
        expires = read(tokens._keys, token).expires
        tokens._clock = lambda: expires - 0.01
        assert (await posted(ours, {"token": token, "thumbs": "up"}))[0] == 202
        tokens._clock = lambda: float(expires)
        status, problem = await posted(ours, {"token": token, "thumbs": "down"})
        assert (status, problem["detail"]) == (401, "token has expired")
        assert len(await events(ours, "c1")) == 1


async def test_who_has_no_key_may_send_little(ours):
    token = await token_of(ours, "c1")
    long = {"token": token, "thumbs": "up", "comment": "x" * (MAX_TEXT + 1)}
    assert (await posted(ours, long))[0] == 422
    url = f"{ours.sidecar.url}/feedback"
    async with ours.http.post(url, data=b" " * MAX_BODY + b"{}") as answer:
        assert answer.status == 401


# Clicks


async def test_a_storm_of_clicks_is_one_event(ours):
    token = await token_of(ours, "c1")
    event = {"token": token, "thumbs": "up"}
    answers = await asyncio.gather(*(posted(ours, event) for _ in range(20)))
    said = Counter(answer["status"] for _, answer in answers)
    assert said == {"attributed": 1, "duplicate": 19}
    assert len(await events(ours, "c1")) == 1


async def test_a_change_of_mind_counts_and_going_back_counts_too(ours):
    token = await token_of(ours, "c1")
    for thumbs in ("up", "down", "down", "up"):
        status, _ = await posted(ours, {"token": token, "thumbs": thumbs})
        assert status == 202
    found = await events(ours, "c1")
    assert scores(found) == [1.0, 0.0, 1.0]
    assert len({event.actor for event in found}) == 1


async def test_what_was_taken_back_can_be_said_again(ours):
    token = await token_of(ours, "c1")
    for said in ({"thumbs": "up"}, {"retract": True}, {"retract": True}, {"thumbs": "up"}):
        assert (await posted(ours, {"token": token, **said}))[0] == 202
    assert [event.kind.value for event in sorted(
        await events(ours, "c1"), key=lambda event: event.received_at
    )] == ["thumbs", "retraction", "thumbs"]  # fmt: skip


async def test_contrary_clicks_at_once_are_all_heard(ours):
    token = await token_of(ours, "c1")
    said = [{"token": token, "score": number / 10} for number in range(8)]
    answers = await asyncio.gather(*(posted(ours, one) for one in said))
    assert {status for status, _ in answers} == {202}
    assert len(await events(ours, "c1")) == len(said)


async def test_one_token_has_a_bounded_number_of_different_statements(ours):
    token = await token_of(ours, "c1")
    for number in range(MAX_EVENTS):
        status, _ = await posted(ours, {"token": token, "comment": f"no. {number}"})
        assert status == 202
    status, problem = await posted(ours, {"token": token, "comment": "one more"})
    assert (status, problem["code"]) == (429, "too_many")
    assert (await posted(ours, {"token": token, "comment": f"no. {MAX_EVENTS - 1}"}))[0] == 202
    assert len(await events(ours, "c1")) == MAX_EVENTS


# Handing out


async def test_a_streaming_client_of_the_openai_sdk_can_read_the_token(ours):
    async with (
        openai.AsyncOpenAI(base_url=f"{ours.sidecar.url}/v1", api_key="k") as client,
        client.chat.completions.with_streaming_response.create(
            model="m", messages=ask("hi", SYSTEM), stream=True
        ) as raw,
    ):
        token = raw.headers["x-feedback-token"]
        rollout = raw.headers["x-gepa-rollout-id"]
    assert (await posted(ours, {"token": token, "thumbs": "up"}))[0] == 202
    assert len(await events(ours, rollout)) == 1


async def test_there_are_no_tokens_unless_they_are_switched_on(provider):
    async with whole(settings(provider, tokens=False, cors_origins=[])) as ours:
        answer = await ours.say("c1")
        assert "x-feedback-token" not in answer.headers
        token = mint(b"k" * 32, Claim(SESSION, "c1", 2**33))
        assert (await posted(ours, {"token": token, "thumbs": "up"}))[0] == 401
        async with ours.http.options(f"{ours.sidecar.url}/feedback", headers=PREFLIGHT) as answer:
            assert answer.status == 405
            assert "access-control-allow-origin" not in answer.headers


async def test_calls_of_no_session_carry_no_token(ours):
    url = f"{ours.sidecar.url}/v1/models"
    async with ours.http.get(url, headers={"Origin": PAGE}) as answer:
        assert not [name for name in answer.headers if re.match("(?i)x-feedback|access-", name)]


# Rotation and replicas


async def rotated(ours, **body):
    url = f"{ours.sidecar.url}/feedback/tokens/rotate"
    async with ours.http.post(url, json=body, headers=KEY) as answer:
        return answer.status


async def test_a_token_outlives_the_key_that_signed_it(ours):
    old = await token_of(ours, "c1")
    assert await rotated(ours) == 200
    new = await token_of(ours, "c2")
    for token in (old, new):
        assert (await posted(ours, {"token": token, "thumbs": "up"}))[0] == 202


async def test_revoked_tokens_are_void_at_once(ours):
    old = await token_of(ours, "c1")
    assert await rotated(ours, revoke=True) == 200
    assert (await posted(ours, {"token": old, "thumbs": "up"}))[0] == 401
    new = await token_of(ours, "c1")
    assert (await posted(ours, {"token": new, "thumbs": "up"}))[0] == 202


async def test_changing_the_key_needs_a_key(ours):
    async with ours.http.post(f"{ours.sidecar.url}/feedback/tokens/rotate") as answer:
        assert answer.status == 401


async def test_replicas_take_each_others_tokens_also_right_after_a_rotation(
    provider, redis_url, redis_prefix
):
    store = {"kind": "redis", "url": redis_url, "prefix": redis_prefix}
    shared = settings(provider).model_copy(
        update={"store": whole_settings(provider.base_url, store=store).store}
    )
    async with whole(shared) as one, whole(shared) as two:
        early = await token_of(one, "c1")
        assert (await posted(two, {"token": early, "thumbs": "up"}))[0] == 202
        assert await rotated(one) == 200
        late = await token_of(one, "c2")
        two.sidecar.tokens._looked = float("-inf")  # more than a second ago
        assert (await posted(two, {"token": late, "thumbs": "up"}))[0] == 202


# Pages of other origins

PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type",
}


async def test_a_page_of_a_named_origin_may_post_and_read_the_answer_and_the_error(ours):
    url = f"{ours.sidecar.url}/feedback"
    async with ours.http.options(url, headers=PREFLIGHT) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert answer.headers["Access-Control-Allow-Methods"] == "POST"
        assert answer.headers["Access-Control-Allow-Headers"].lower() == "content-type"
        assert "Access-Control-Allow-Credentials" not in answer.headers
    for token, status in ((await token_of(ours, "c1"), 202), ("forged", 401)):
        body = {"token": token, "thumbs": "up"}
        async with ours.http.post(url, json=body, headers={"Origin": PAGE}) as answer:
            assert answer.status == status
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
            assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize("origin", ["https://evil.example.com", "null", PAGE + ".evil.com", ""])
async def test_a_page_of_another_origin_may_not(ours, origin):
    for path in ("/feedback", "/api/prompt-learning/online/gepa/sessions"):
        headers = {**PREFLIGHT, "Origin": origin}
        async with ours.http.options(ours.sidecar.url + path, headers=headers) as answer:
            assert answer.status == 405
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_page_of_a_named_origin_may_post_feedback_and_nothing_else(ours):
    url = f"{ours.sidecar.url}/feedback/dead-letters"
    async with ours.http.options(url, headers=PREFLIGHT) as answer:
        assert answer.status == 405
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_page_that_calls_the_model_through_us_may_read_the_token(ours, provider):
    answer = await ours.chat(ask("hi", SYSTEM), origin=PAGE)
    assert answer.headers["access-control-expose-headers"] == "x-feedback-token"
    assert "x-feedback-token" in answer.headers
    answer = await ours.chat(ask("hi", SYSTEM), origin="https://evil.example.com")
    assert "access-control-expose-headers" not in answer.headers
