"""Forgetting a user: their words, their name, and what they did to the rewards."""

import asyncio

import pytest
from support.feedback_loop import SESSION, Loop, event
from support.feedback_server import application

from sidecar.core.feedback import Kind
from sidecar.store.memory import MemoryStore
from sidecar.store.redis.store import RedisStore
from sidecar.store.sqlite import SqliteStore


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def store(request, tmp_path):
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")
        store = RedisStore(url, prefix=tmp_path.name)
    else:
        store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "s.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def loop(store):
    loop = Loop(store=store)
    await loop.rollout("r1", completion_id="c1")
    await loop.rollout("r2")
    await loop.intake.accept(
        [
            event("e1", score=0.0, actor="ann/1", comment="I am Ann"),
            event("e2", score=1.0, actor="bob", comment="fine"),
            event("e3", "r2", score=0.0, actor="ann/1"),
            event("e4", "late", score=0.0, actor="ann/1", comment="Ann again"),
            event("e5", None, completion_id="c1", kind=Kind.CORRECTION, correction="By Ann",
                  actor="ann/1"),
        ]
    )  # fmt: skip
    await loop.drain()
    return loop


async def erase(loop, aiohttp_client, actor="ann%2F1"):
    client = await aiohttp_client(application(loop))
    answer = await client.delete(f"/feedback/actors/{actor}")
    assert answer.status == 200
    return await answer.json()


async def test_what_an_erased_user_said_counts_no_more(loop, aiohttp_client):
    assert loop.backend.values() == {"r1": 0.5, "r2": 0.0}
    before = loop.backend.ledger[SESSION, "r1"].revision
    assert await erase(loop, aiohttp_client) == {"events": 4, "status": "erased"}
    await loop.drain()
    assert loop.backend.values() == {"r1": 1.0, "r2": None}
    assert loop.backend.ledger[SESSION, "r1"].revision > before
    assert loop.backend.ledger[SESSION, "r1"].comments == ("fine",)


async def test_neither_words_nor_name_are_left_in_the_store(loop, aiohttp_client):
    await erase(loop, aiohttp_client)
    await loop.rollout("late")
    await loop.drain()
    assert loop.backend.values()["late"] is None
    found = [
        *await loop.store.events_of(SESSION, "r1"),
        *await loop.store.events_of(SESSION, "r2"),
        *await loop.store.events_of(SESSION, "late"),
        *await loop.store.waiting_feedback(100),
    ]
    assert len(found) == 9
    assert not [one for one in found if "ann" in repr(one).lower()]


async def test_erasing_twice_is_erasing_once(loop, aiohttp_client):
    first, again = await asyncio.gather(erase(loop, aiohttp_client), erase(loop, aiohttp_client))
    assert first == again
    await loop.drain()
    assert loop.backend.values() == {"r1": 1.0, "r2": None}
    assert (await erase(loop, aiohttp_client, "nobody"))["events"] == 0


async def test_an_erased_event_that_is_sent_again_is_refused(loop, aiohttp_client):
    await erase(loop, aiohttp_client)
    client = await aiohttp_client(application(loop))
    again = {"event_id": "e1", "rollout_id": "r1", "score": 0, "comment": "I am Ann"}
    assert (await client.post("/feedback", json=again | {"actor": "ann/1"})).status == 409
