"""P21: a conversation keeps its candidate, whatever happens to the session around it.

Pause freezes the shares, cancel returns everybody to the baseline."""

import asyncio

import pytest
from support.backends import FAILURES, SESSION, SYSTEM, proposing
from support.provider import FakeProvider
from support.talks import ONE_CANDIDATE, Talks, with_candidate, with_failures
from support.whole import whole, whole_settings


@pytest.fixture
async def provider():
    async with FakeProvider() as provider:
        proposing(provider)
        yield provider


@pytest.fixture
def settings(provider, tmp_path):
    store = {"kind": "sqlite", "path": tmp_path / "sidecar.db"}
    return whole_settings(provider.base_url, ONE_CANDIDATE, store=store)


async def promoted(ours, candidate):
    """Show that the candidate is better until it serves everybody."""
    number = 0
    while (await ours.status())["incumbent_id"] != candidate:
        answers = [await ours.say(f"proof{number + n}") for n in range(50)]
        await ours.feedback(
            *(
                {
                    "rollout_id": a.correlation,
                    "thumbs": "up" if a.candidate == candidate else "down",
                }
                for a in answers
            )
        )
        number += 50
        await ours.reached(reward_count=FAILURES + number)
        assert number < 3000


async def test_across_turns_whatever_the_session_is_told(settings, provider):
    async with whole(settings) as ours:
        candidate = await with_candidate(ours)
        talks = Talks()
        await talks.begin(ours)
        await talks.go_on(ours, provider)
        for action, arguments in (
            ("pin", {"candidate_id": candidate}),
            ("pin", {"candidate_id": "baseline"}),
            ("unpin", {}),
            ("pause", {}),
            ("resume", {}),
            ("rollback", {}),
            ("complete", {}),
        ):
            await ours.command(action, **arguments)
            await talks.go_on(ours, provider)


async def test_across_a_restart_and_a_change_of_the_shares(settings, provider):
    talks = Talks()
    async with whole(settings) as ours:
        candidate = await with_candidate(ours)
        await talks.begin(ours)
    async with whole(settings) as ours:
        await talks.go_on(ours, provider)
        await ours.command("pin", candidate_id=candidate)
    async with whole(settings) as ours:
        assert (await ours.say("somebody new")).candidate == candidate
        await talks.go_on(ours, provider)


async def test_of_more_conversations_than_fit_in_memory(provider, tmp_path):
    store = {"kind": "sqlite", "path": tmp_path / "sidecar.db"}
    few = whole_settings(provider.base_url, ONE_CANDIDATE, store=store, gateway={"remember": 100})
    async with whole(few) as ours:
        await with_candidate(ours)
        talks = Talks()
        await talks.begin(ours, least=130)
        await talks.go_on(ours, provider)
    async with whole(few) as ours:
        await talks.go_on(ours, provider)


async def test_across_a_promotion(provider):
    async with whole(whole_settings(provider.base_url, ONE_CANDIDATE)) as ours:
        candidate = await with_candidate(ours)
        talks = Talks()
        await talks.begin(ours)
        await promoted(ours, candidate)
        await talks.go_on(ours, provider)


async def test_a_pause_freezes_the_shares_although_rewards_arrive(settings, provider):
    async with whole(settings) as ours:
        await with_candidate(ours)
        paused = await ours.command("pause")
        for number in range(40):
            await ours.say(f"c{number}")
        events = [{"rollout_id": f"c{n}", "thumbs": "down"} for n in range(40)]
        await ours.feedback(*events)
        after = await ours.reached(reward_count=FAILURES + 40)
        shares = {c["candidate_id"]: c["share"] for c in paused["candidates"]}
        assert {c["candidate_id"]: c["share"] for c in after["candidates"]} == shares


async def test_a_prompt_that_was_being_written_when_the_pause_came_waits_for_its_end(provider):
    write, reflecting = asyncio.Event(), asyncio.Event()
    answer = provider.script

    async def slowly(request, body):
        if b'"reflect"' in body:
            reflecting.set()
            await write.wait()
        return await answer(request, body)

    provider.script = slowly
    async with whole(whole_settings(provider.base_url, ONE_CANDIDATE)) as ours:
        await with_failures(ours)
        async with asyncio.timeout(10):
            await reflecting.wait()
        await ours.command("pause")
        write.set()
        status = await ours.reached(candidate_count=2)
        assert {c["candidate_id"]: c["share"] for c in status["candidates"]}["baseline"] == 1.0
        for number in range(60):
            assert (await ours.say(f"paused{number}")).candidate == "baseline"
        await ours.command("resume")
        await with_failures(ours, first=100)
        await with_failures(ours, first=200)
        await ours.reached(reward_count=3 * FAILURES)
        drawn = {(await ours.say(f"resumed{number}")).candidate for number in range(200)}
        assert len(drawn) == 2


async def test_a_cancelled_session_serves_the_baseline_to_everybody(settings, provider):
    talks = Talks()
    async with whole(settings) as ours:
        await with_candidate(ours)
        await talks.begin(ours)
        await ours.command("cancel")
        await baseline_for_all(ours, talks, provider)
    async with whole(settings) as ours:
        await baseline_for_all(ours, talks, provider)


async def baseline_for_all(ours, talks, provider):
    for name in ("talk1", "talk3", "talk5", "somebody-new"):
        answer = await ours.say(name)
        assert answer.candidate == "baseline"
        assert answer.headers["x-sidecar-mode"] == "baseline"
        assert provider.last.system == SYSTEM
    for name in talks.messages:
        answer = await ours.chat(talks.messages[name], path=f"/api/gepa/v1/{SESSION}")
        assert answer.candidate == "baseline"
