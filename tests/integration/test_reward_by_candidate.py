"""A reward that names only a candidate: it is for that candidate's newest rollout without one."""

import asyncio

import pytest
from support.api import call, refusal
from support.backends import SESSION, SYSTEM
from support.feedback_loop import Loop, event
from support.feedback_server import application
from support.gateway import ask
from support.provider import FakeProvider
from support.whole import SESSIONS, whole, whole_settings

from sidecar.api.session_rewards import SessionRewards
from sidecar.errors import Conflict, Unavailable
from sidecar.store.memory import MemoryStore
from sidecar.store.sqlite import SqliteStore

REWARD = f"{SESSIONS}/{SESSION}/reward"


@pytest.fixture(params=["memory", "sqlite"])
async def loop(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "s.db")
    await store.open()
    yield Loop(store=store)
    await store.close()


@pytest.fixture
async def client(loop, aiohttp_client):
    return await aiohttp_client(application(loop))


def reward(candidate_id="cand_a", score=1.0, **fields):
    return {"candidate_id": candidate_id, "reward_info": {"score": score}} | fields


async def rewarded(client, **fields):
    answer = await client.post(REWARD, json=reward(**fields))
    assert answer.status == 200, await answer.text()
    return (await answer.json())["rollout_id"]


async def test_the_newest_rollout_is_rewarded_first_and_each_one_once(client, loop):
    for rollout in ("r1", "r2", "r3"):
        await loop.rollout(rollout)
    assert [await rewarded(client, score=score) for score in (0.3, 0.2, 0.2)] == ["r3", "r2", "r1"]
    assert loop.backend.values() == {"r3": 0.3, "r2": 0.2, "r1": 0.2}


async def test_rollouts_of_other_candidates_and_sessions_are_passed_over(client, loop):
    await loop.rollout("mine")
    await loop.rollout("other", candidate_id="cand_b")
    await loop.rollout("elsewhere", "bank")
    assert await rewarded(client) == "mine"
    assert (await client.post(REWARD, json=reward())).status == 409


async def test_a_rollout_that_was_rewarded_by_name_is_passed_over(client, loop):
    for rollout in ("r1", "r2"):
        await loop.rollout(rollout)
    await client.post(REWARD, json=reward(rollout_id="r2"))
    assert await rewarded(client) == "r1"


async def test_a_rollout_that_users_spoke_about_is_passed_over(client, loop):
    for rollout in ("r1", "r2"):
        await loop.rollout(rollout)
    await loop.intake.accept([event("e1", "r2", score=0.0)])
    assert await rewarded(client) == "r1"


async def test_a_reward_that_could_not_be_counted_yet_keeps_its_rollout(client, loop):
    for rollout in ("r1", "r2"):
        await loop.rollout(rollout)
    loop.backend.before = lambda _rewards: Unavailable("busy")
    assert (await client.post(REWARD, json=reward(score=0.5))).status == 503
    loop.backend.before = lambda _rewards: None
    assert await rewarded(client, score=0.25) == "r1"
    await loop.drain()
    assert loop.backend.values() == {"r2": 0.5, "r1": 0.25}


async def test_rewards_at_the_same_time_are_for_different_rollouts(client, loop):
    names = {f"r{number}" for number in range(20)}
    for name in names:
        await loop.rollout(name)
    found = await asyncio.gather(*(rewarded(client) for _ in names))
    assert set(found) == names


async def test_a_reward_that_waited_for_one_that_ended_the_session_is_not_stored(loop):
    for rollout in ("r1", "r2"):
        await loop.rollout(rollout)
    rewards = SessionRewards(loop.backend, loop.store, loop.intake, loop.reporter, loop.clock)
    session = await loop.backend.status(SESSION)
    requests = (reward(stop=True), reward())
    ended, late = await asyncio.gather(
        *(rewards.count(session, request) for request in requests), return_exceptions=True
    )
    assert (ended["rollout_id"], ended["status"]) == ("r2", "completed")
    assert isinstance(late, Conflict)
    assert await loop.store.events_of(SESSION, "r1") == []


async def test_a_session_that_is_over_counts_none(client, loop):
    await loop.rollout("r1")
    await loop.backend.command(SESSION, "cancel", {})
    assert (await client.post(REWARD, json=reward())).status == 409
    assert await loop.store.events_of(SESSION, "r1") == []


async def test_a_conversation_that_is_named_goes_before_the_candidate(client, loop):
    for rollout in ("r1", "r2"):
        await loop.rollout(rollout)
    assert await rewarded(client, correlation_id="r1") == "r1"


async def test_what_the_session_has_counted_is_passed_over_in_the_whole_sidecar():
    async with FakeProvider() as provider, whole(whole_settings(provider.base_url)) as ours:
        for name in ("r1", "r2"):
            await ours.chat(ask("hi", SYSTEM), x_correlation_id=name)
        body = reward("baseline")
        for name in ("r2", "r1"):
            assert (await call(ours, "POST", REWARD, body)).json["rollout_id"] == name
        assert "without a reward" in refusal(await call(ours, "POST", REWARD, body), 409)
        unknown = refusal(await call(ours, "POST", REWARD, reward("cand_nobody")), 404)
        assert "unknown candidate_id" in unknown
        assert (await ours.status())["reward_count"] == 2
