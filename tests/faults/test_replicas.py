"""Several sidecars on one Redis server are one: what any of them does holds for all (P12, P21).

A call may reach any of them; one of them leads, and another takes over when it is gone.
"""

import asyncio
import time
from collections.abc import Callable

import pytest
from support.backends import FAILURES, SESSION, SYSTEM, create_request, proposing
from support.gateway import ask
from support.provider import FakeProvider
from support.redis_faults import BUDGET_MS, SLACK_SECONDS
from support.replicas import Balanced, leader, replicas
from support.talks import ONE_CANDIDATE, Talks, with_candidate, with_failures
from support.whole import SESSIONS, whole_settings

REPLICAS = 3


@pytest.fixture
async def provider():
    async with FakeProvider() as provider:
        proposing(provider)
        yield provider


@pytest.fixture
def settings(server, provider):
    return whole_settings(
        provider.base_url,
        ONE_CANDIDATE,
        store={"kind": "redis", "url": server.url, "timeout_ms": BUDGET_MS},
        gateway={"store_wait_ms": BUDGET_MS},
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


async def test_a_conversation_keeps_its_candidate_whichever_it_reaches(settings, provider):
    async with replicas(settings) as ours:
        everywhere = Balanced(ours)
        await with_candidate(everywhere)
        talks = Talks()
        await talks.begin(everywhere)
        for _ in range(REPLICAS):
            await talks.go_on(everywhere, provider)
            await ours[0].say("spare")  # so that each sidecar gets another turn
        counted = await everywhere.sidecar.store.counts(SESSION)
        assert counted.rollouts == FAILURES + len(talks.ids) + 1


async def test_two_that_are_asked_at_once_give_a_new_conversation_one_candidate(settings):
    """Their tables differ, as they do for a moment after each change of the shares."""
    async with replicas(settings, 2) as ours:
        candidate = await with_candidate(ours[0])
        first, second = (one.sidecar.backend._session(SESSION) for one in ours)
        await ours[0].command("pin", candidate_id=candidate)
        assert (first.state.pinned, second.state.pinned) == (candidate, "")
        for number in range(20):
            answers = await asyncio.gather(*(one.say(f"new{number}") for one in ours))
            assert len({answer.candidate for answer in answers}) == 1


async def test_there_is_one_learning_loop_whoever_is_told_what(settings):
    async with replicas(settings) as ours:
        everywhere = Balanced(ours)
        await with_candidate(everywhere)
        await until(lambda: [o.sidecar.leadership.leads for o in ours].count(True) == 1)
        texts = [[c["text"] for c in (await one.status())["candidates"]] for one in ours]
        assert texts == [texts[0]] * REPLICAS
        assert sum(one.total("sidecar_candidates_total", outcome="proposed") for one in ours) == 1
        states = [one.sidecar.backend._session(SESSION).state for one in ours]
        await until(lambda: {state.rewards for state in states} == {FAILURES})
        assert {(s.seq, s.version, *sorted(s.weights.items())) for s in states} == {
            (states[0].seq, states[0].version, *sorted(states[0].weights.items()))
        }


async def test_a_command_to_one_holds_for_all(settings):
    async with replicas(settings) as ours:
        for action, status in (("pause", "paused"), ("resume", "started"), ("cancel", "cancelled")):
            await ours[0].command(action)
            assert [(await one.status())["status"] for one in ours] == [status] * REPLICAS


async def test_a_session_made_at_one_is_served_by_another_at_once(settings):
    async with replicas(settings, 2) as ours:
        request = create_request("fresh")
        async with ours[0].http.post(f"{ours[0].sidecar.url}{SESSIONS}", json=request) as made:
            assert made.status < 300, await made.text()
        answer = await ours[1].chat(ask("hi", SYSTEM), path="/api/gepa/v1/fresh")
        assert answer.status == 200
        (event,) = await ours[1].feedback({"rollout_id": answer.correlation, "thumbs": "up"})
        assert event["status"] == "attributed"
        unknown = await ours[1].chat(ask("hi", SYSTEM), path="/api/gepa/v1/unheard-of")
        assert unknown.status == 404


async def test_when_the_leader_leaves_another_learns_on(settings):
    async with replicas(settings) as ours:
        await until(lambda: any(one.sidecar.leadership.leads for one in ours))
        gone = leader(ours)
        left = [one for one in ours if one is not gone]
        await gone.sidecar.stop()
        await with_candidate(Balanced(left))
        assert leader(left).sidecar.leadership.token > gone.sidecar.leadership.token


async def test_what_a_deposed_leader_thought_of_is_dropped(settings, provider):
    """It is frozen while it writes a prompt; its lease goes to another; it wakes up and writes."""
    async with replicas(settings, 2) as ours:
        await until(lambda: any(one.sidecar.leadership.leads for one in ours))
        old = leader(ours)
        (other,) = [one for one in ours if one is not old]
        writing, write = asyncio.Event(), asyncio.Event()
        answer = provider.script

        async def slowly(request, body):
            if b'"reflect"' in body and not writing.is_set():
                writing.set()
                await write.wait()
            return await answer(request, body)

        provider.script = slowly
        await with_failures(old)
        async with asyncio.timeout(20):
            await writing.wait()
        lease = other.sidecar.leadership
        await old.sidecar.store.release("optimiser", old.sidecar.leadership._holder)
        old.sidecar.leadership.seek = asyncio.Event().wait  # it does not get to renew
        await until(lambda: lease.leads)
        await with_failures(other, first=100)
        status = await other.reached(candidate_count=2)
        write.set()
        thinking = old.sidecar.backend._session(SESSION)._thinking
        await asyncio.wait({thinking})
        assert not old.sidecar.leadership.leads
        assert (await other.status())["candidate_count"] == status["candidate_count"] == 2


async def test_while_the_server_is_frozen_a_call_costs_at_most_the_budget(settings, server):
    async with replicas(settings, 2) as ours:
        for number in range(4):
            await ours[0].say(f"talk{number}")
        server.freeze()
        try:
            for number in range(6):
                began = time.monotonic()
                answer = await ours[1].say(f"talk{number}")
                assert time.monotonic() - began < 2 * BUDGET_MS / 1000 + SLACK_SECONDS
                assert answer.status == 200
        finally:
            server.thaw()
        assert ours[1].total("sidecar_failopen_total", reason="store_recall") >= 1
