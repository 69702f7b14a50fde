"""P11: 202 means stored; a store that cannot answers 503 and acknowledges nothing."""

import pytest
from support.failing_store import FailingStore
from support.feedback_loop import SESSION, Loop
from support.feedback_server import application

GOOD = {"rollout_id": "r1", "thumbs": "up", "event_id": "e1"}


@pytest.fixture
async def loop():
    loop = Loop(store=FailingStore())
    await loop.rollout("r1")
    return loop


@pytest.fixture
async def client(loop, aiohttp_client):
    return await aiohttp_client(application(loop))


@pytest.mark.parametrize("method", ["*", "add_feedback", "locate"])
@pytest.mark.parametrize("body", [GOOD, [GOOD, {**GOOD, "event_id": "e2"}]])
async def test_a_store_that_is_down_acknowledges_nothing(client, loop, method, body):
    loop.store.down = {method}
    answer = await client.post("/feedback", json=body)
    assert answer.status == 503
    assert answer.headers["Retry-After"]
    assert (await answer.json())["code"] == "store_unavailable"
    loop.store.down = set()
    counts = await loop.store.counts()
    assert (counts.feedback, counts.waiting) == (0, 0)
    again = await client.post("/feedback", json=body)
    assert again.status == 202
    assert (await again.json())["events"][0]["status"] == "attributed"


async def test_what_is_stored_is_acknowledged_even_if_it_cannot_be_attributed_yet(client, loop):
    loop.store.down = {"attribute"}
    answer = await client.post("/feedback", json=GOOD)
    assert answer.status == 202
    assert (await answer.json())["status"] == "accepted"
    loop.store.down = set()
    await loop.drain()
    assert loop.backend.values() == {"r1": 1.0}


async def test_a_reward_of_the_session_api_is_counted_or_not_acknowledged(client, loop):
    url = f"/api/prompt-learning/online/gepa/sessions/{SESSION}/reward"
    body = {"rollout_id": "r1", "reward_info": {"score": 1.0}}
    for method in ("events_of", "add_feedback", "attribute"):
        loop.store.down = {method}
        answer = await client.post(url, json=body)
        assert answer.status == 503, method
        assert loop.backend.counted == 0
    loop.store.down = set()
    answer = await client.post(url, json=body)
    assert (answer.status, (await answer.json())["reward_count"]) == (200, 1)
    assert len(await loop.store.events_of(SESSION, "r1")) == 1
