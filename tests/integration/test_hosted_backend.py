"""In front of a service that offers only what is published: everything that can work, works."""

import pytest
from support.backends import SESSION, SYSTEM
from support.gateway import ask
from support.hosted import KEY, TEXT, Hosted
from support.provider import FakeProvider
from support.remote import again_and_again, front_settings
from support.whole import SESSIONS, whole


@pytest.fixture
async def hosted():
    async with Hosted() as hosted:
        yield hosted


@pytest.fixture
async def provider():
    async with FakeProvider() as provider:
        yield provider


@pytest.fixture
async def front(hosted, provider):
    settings = front_settings(hosted.url, provider, backend={"api_key": KEY})
    async with whole(settings) as front:
        yield front


async def test_the_session_of_the_settings_is_made_there(front, hosted):
    (created,) = hosted.created
    assert created["session_id"] == SESSION
    section = created["config_body"]["prompt_learning"]
    assert section["initial_prompt"]["messages"] == [{"role": "system", "pattern": SYSTEM}]


async def test_a_call_goes_to_its_conversations_address_as_it_was(front, hosted):
    answer = await front.say("talk")
    assert answer.text == "from the service"
    assert (answer.candidate, answer.headers["x-sidecar-mode"]) == ("cand_7", "optimized")
    ((path, headers, body),) = hosted.calls
    assert path == f"/api/gepa/v1/{SESSION}/talk/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert SYSTEM.encode() in body
    assert TEXT.encode() not in body
    assert (await front.sidecar.store.assignment(SESSION, "talk")).candidate_id == "cand_7"


async def test_rewards_are_told_in_published_words_and_once_each(front, hosted):
    await front.say("talk")
    for score, events in ((0.5, 1), (0.5, 1), (0.25, 2)):
        event = {"event_id": f"e{score}", "rollout_id": "talk", "score": score, "actor": "ann"}
        await front.feedback(event | {"comment": "So so."})
        async for _ in again_and_again():
            if len(hosted.rewards) >= events:
                break
    assert [told["reward_info"]["outcome_reward"] for told in hosted.rewards] == [0.5, 0.25]
    first, second = hosted.rewards
    assert first["reward_info"] == {"score": 0.5, "outcome_reward": 0.5, "feedback": "So so."}
    assert (first["rollout_id"], first["correlation_id"]) == ("talk", "talk")
    assert first["key"] != second["key"]


async def test_what_the_service_cannot_be_told_becomes_a_dead_letter(front, hosted):
    await front.say("talk")
    await front.feedback({"event_id": "e1", "rollout_id": "talk", "thumbs": "up", "actor": "ann"})
    async for _ in again_and_again():
        if hosted.rewards:
            break
    await front.feedback({"rollout_id": "talk", "retract": True, "actor": "ann"})
    async for _ in again_and_again():
        if await front.sidecar.store.dead_letters(1):
            break


async def test_a_comment_alone_is_nothing_to_tell(front, hosted):
    await front.say("talk")
    await front.feedback({"rollout_id": "talk", "comment": "Hm."})
    async for _ in again_and_again():
        if not await front.sidecar.store.due_rewards(float("inf"), 1):
            break
    assert hosted.rewards == []
    assert await front.sidecar.store.dead_letters(1) == []


async def test_the_session_can_be_looked_at_and_steered_and_taken_home(front, hosted):
    one = f"{front.sidecar.url}{SESSIONS}/{SESSION}"
    status = await front.status()
    assert (status["algorithm"], status["best_candidate_id"]) == ("gepa", "cand_7")
    async with front.http.post(f"{one}/pause") as answer:
        assert (await answer.json())["status"] == hosted.status == "paused"
    async with front.http.get(f"{one}/export") as answer:
        exported = await answer.json()
    assert (exported["candidate_id"], exported["text"]) == ("cand_7", TEXT)
    async with front.http.get(f"{one}/export?candidate_id=nobody") as answer:
        assert answer.status == 404
    async with front.http.get(f"{front.sidecar.url}{SESSIONS}") as answer:
        (listed,) = (await answer.json())["sessions"]
    assert listed["session_id"] == SESSION


async def test_a_reward_that_says_stop_completes_the_session(front, hosted):
    await front.say("talk")
    one = f"{front.sidecar.url}{SESSIONS}/{SESSION}"
    body = {"rollout_id": "talk", "reward_info": {"score": 1.0}, "stop": True}
    async with front.http.post(f"{one}/reward", json=body) as answer:
        assert (await answer.json())["status"] == hosted.status == "completed"
    async with front.http.post(f"{one}/complete") as answer:
        assert answer.status == 400


@pytest.mark.parametrize("shown", [True, False])
async def test_the_last_good_prompt_is_the_one_that_the_status_shows(shown, hosted, provider):
    hosted.shows_texts = shown
    settings = front_settings(hosted.url, provider, backend={"api_key": KEY, "poll_seconds": 60})
    async with whole(settings) as front:
        await hosted._runner.cleanup()
        answer = await front.say("talk")
        assert (answer.status, answer.headers["x-sidecar-mode"]) == (200, "failopen")
        assert provider.last.system == (TEXT if shown else SYSTEM)


async def test_a_session_that_is_over_there_is_served_by_the_applications_own_prompt(
    front, hosted, provider
):
    await front.command("cancel")
    answer = await front.say("talk")
    assert (answer.status, answer.headers["x-sidecar-mode"]) == (200, "baseline")
    assert answer.headers["x-sidecar-reason"] == "closed"
    assert provider.last.system == SYSTEM
    assert front.sidecar.reachability.describe() == {"breaker": "closed"}


async def test_a_session_that_was_completed_there_is_served_by_its_winner(front, hosted, provider):
    hosted.status = "completed"
    await front.status()
    await front.say("talk")
    assert provider.last.system == TEXT


async def test_a_session_made_over_the_api_is_known_after_a_restart(hosted, provider, tmp_path):
    store = {"kind": "sqlite", "path": tmp_path / "front.db"}
    settings = front_settings(
        hosted.url, provider, backend={"api_key": KEY}, store=store, sessions=(), routes=()
    )
    prompt = {"messages": [{"role": "system", "pattern": SYSTEM}]}
    config = {"prompt_learning": {"algorithm": "gepa", "initial_prompt": prompt}}
    async with whole(settings) as front:
        body = {"session_id": "mine", "config_body": config}
        async with front.http.post(f"{front.sidecar.url}{SESSIONS}", json=body) as answer:
            assert answer.status == 200
    async with whole(settings) as front:
        answer = await front.chat(ask("hi", SYSTEM), "/api/gepa/v1/mine")
        assert answer.candidate == "cand_7"
        other = await front.chat(ask("hi", "Not ours."), "/api/gepa/v1/mine")
        assert other.headers["x-sidecar-mode"] == "passthrough"
