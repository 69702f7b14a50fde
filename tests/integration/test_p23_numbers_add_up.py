"""P23: the metrics add up, with each other, with the store, and with what was really done."""

import asyncio
import contextlib

import aiohttp
import pytest
from aiohttp import web
from support.backends import SESSION, SYSTEM
from support.gateway import RawClient, ask, until
from support.provider import FakeProvider, delta
from support.whole import whole, whole_settings

CHAT = "/v1/chat/completions"
REQUESTS = "sidecar_requests_total"
FEEDBACK = "sidecar_feedback_total"


async def moody(request, body):
    """Answers as the user asks it to."""
    if b"fail!" in body:
        return web.json_response({"error": {"message": "no"}}, status=503)
    if b"die!" in body:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(delta("first"))
        request.transport.abort()
    if b"hang!" in body or b"die!" in body:
        await asyncio.Event().wait()
    return None


@pytest.fixture
async def provider():
    async with FakeProvider() as provider:

        async def answer(request, body):
            return await moody(request, body) or await provider.completions(request, body)

        provider.script = answer
        yield provider


@pytest.fixture(params=["memory", "sqlite"])
async def ours(request, provider, tmp_path):
    settings = whole_settings(
        provider.base_url,
        store={"kind": request.param, "path": tmp_path / "sidecar.db"},
        # Long enough for thumbs that overtake their answer, over soon for those without one.
        feedback={"batch_seconds": 0.01, "park_seconds": 1.5},
    )
    async with whole(settings) as ours:
        yield ours


async def served(ours, count=10):
    for number in range(count):
        assert (await ours.say(f"ok{number}")).status == 200


async def provider_trouble(ours, count=5):
    for number in range(count):
        assert (await ours.say(f"failed{number}", "fail!")).status == 503
        with pytest.raises(aiohttp.ClientError):
            await ours.say(f"died{number}", "die!")


async def departures(ours, provider, count=5):
    for _ in range(count):
        provider.arrived.clear()
        async with RawClient(int(ours.sidecar.url.rpartition(":")[2])) as client:
            await client.chat({"model": "m", "messages": ask("hang!", SYSTEM)})
            await provider.arrived.wait()


async def strangers(ours, count=5):
    """Calls that are the session's by their route only, and calls that are nobody's."""
    for _ in range(count):
        assert (await ours.chat(ask("hi", "Another application."))).status == 200
        async with ours.http.post(ours.sidecar.url + CHAT, data=b"{") as answer:
            await answer.read()
        async with ours.http.get(f"{ours.sidecar.url}/v1/models") as answer:
            assert answer.status == 200
        url = f"{ours.sidecar.url}/api/gepa/v1/nobody/chat/completions"
        async with ours.http.post(url, json={"model": "m", "messages": ask("hi")}) as answer:
            assert answer.status == 404


@contextlib.contextmanager
def optimiser_down(ours):
    """The session's assigner is broken for a while."""
    session = ours.sidecar.backend._live[SESSION]
    assigner, session.assigner = session.assigner, None
    yield
    session.assigner = assigner


async def idle(ours):
    await until(lambda: ours.total("sidecar_in_flight_requests") == 0)


async def test_requests_are_those_that_were_made_and_turns_those_of_the_session(ours, provider):
    await served(ours)
    await provider_trouble(ours)
    await departures(ours, provider)
    await strangers(ours)
    with optimiser_down(ours):
        for number in range(5):
            assert (await ours.say(f"open{number}")).headers["x-sidecar-mode"] == "failopen"
    await idle(ours)
    outcomes = {o: ours.total(REQUESTS, outcome=o) for o in ("ok", "failed", "aborted")}
    # Five bodies that are no JSON and five calls of an unknown session failed, beside the ten.
    assert outcomes == {"ok": 10 + 5 + 5 + 5, "failed": 5 + 5 + 5 + 5, "aborted": 5}
    assert ours.total(REQUESTS) == sum(outcomes.values())
    modes = {m: ours.total(REQUESTS, mode=m) for m in ("baseline", "passthrough", "failopen")}
    assert modes == {"baseline": 25, "passthrough": 20, "failopen": 5}
    assert ours.total("sidecar_failopen_total") == modes["failopen"]
    assert ours.total("sidecar_unmatched_total") == 10
    turns = {o: ours.total("sidecar_turns_total", outcome=o) for o in ("done", "failed", "aborted")}
    assert turns == {"done": 10, "failed": 10, "aborted": 5}
    await ours.sidecar.store.prune(before=0.0)  # what was queued is written
    counts = await ours.sidecar.store.counts(SESSION)
    assert counts.turns == sum(turns.values()) == modes["baseline"]
    assert counts.rollouts == (await ours.status())["rollout_count"] == 25


async def test_feedback_is_attributed_expired_or_waiting_and_rewards_are_rollouts(ours):
    await served(ours)
    named = [{"rollout_id": f"ok{n}", "thumbs": "up", "event_id": f"e{n}"} for n in range(10)]
    await ours.feedback(*named)
    await ours.feedback(*named[:4])  # sent again: no news
    early = [{"correlation_id": f"late{n}", "thumbs": "down"} for n in range(3)]
    lost = [{"completion_id": f"chatcmpl-nobody{n}", "thumbs": "up"} for n in range(4)]
    assert {one["status"] for one in await ours.feedback(*early, *lost)} == {"parked"}
    await balanced(ours, accepted=17)
    for number in range(3):
        await ours.say(f"late{number}")
    await until(lambda: ours.total(FEEDBACK, outcome="attributed") == 13)
    await balanced(ours, accepted=17)
    await until(lambda: ours.total(FEEDBACK, outcome="expired") == 4)
    assert await balanced(ours, accepted=17) == 0
    await ours.reached(reward_count=13)
    await until(lambda: ours.total("sidecar_rewards_reported_total", outcome="counted") == 13)
    counts = await ours.sidecar.store.counts(SESSION)
    assert (counts.feedback, counts.rewards) == (13, 13)
    assert ours.total(FEEDBACK, outcome="duplicate") == 4
    assert ours.total(FEEDBACK, outcome="parked") == 7
    assert ours.total("sidecar_deadletters") == 0


async def balanced(ours, accepted):
    """accepted = attributed + expired + waiting; how many wait."""
    async with asyncio.timeout(5):
        while True:  # the numbers are those of one moment when they have not changed meanwhile
            before = attributed_and_expired(ours)
            waiting = (await ours.sidecar.store.counts()).waiting
            if attributed_and_expired(ours) == before:
                break
    assert ours.total(FEEDBACK, outcome="accepted") == accepted
    assert before + waiting == accepted
    return waiting


def attributed_and_expired(ours):
    return ours.total(FEEDBACK, outcome="attributed") + ours.total(FEEDBACK, outcome="expired")


async def test_a_reward_that_changes_is_counted_again_and_is_still_one_rollout(ours):
    await served(ours, 3)
    for thumbs, actor in (("up", "ann"), ("down", "bob"), ("up", "cyd")):
        events = [
            {"rollout_id": f"ok{n}", "thumbs": thumbs, "actor": actor, "event_id": f"{actor}{n}"}
            for n in range(3)
        ]
        await ours.feedback(*events)
        await ours.sidecar.reporter.flush()
    status = await ours.reached(reward_count=3)
    (baseline,) = status["candidates"]
    assert baseline["reward_count"] == 3
    assert baseline["avg_reward"] == pytest.approx(2 / 3, abs=1e-6)
    journal = await ours.sidecar.store.journal(SESSION, 0, 100)
    await until(lambda: ours.total("sidecar_rewards_reported_total", outcome="counted") == 9)
    assert len(journal) == 9
    assert ours.total("sidecar_rewards_reported_total", outcome="failed") == 0
