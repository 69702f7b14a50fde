"""An improvement in the simulation can only have come through the loop.

A tiny optimiser of the test's own stands where the sidecar will: a real proxy on loopback that
tries one reflection's proposal at a time against what it serves, on true thumbs. It must find a
good prompt. Deprived of the words it must find less, and deprived of the thumbs' meaning nothing.
"""

import json
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import fmean

import aiohttp
import pytest
from aiohttp import web
from gepa.strategies.instruction_proposal import InstructionProposalSignature

from sidecar.simulation.provider import SimulatedProvider
from sidecar.simulation.users import Endpoints, Users
from sidecar.simulation.world import BASELINE, World


@dataclass
class Rollout:
    text: str
    asked: str
    answered: str
    up: bool | None = None
    comment: str = ""


class HillClimber:
    """Proxy and optimiser in one: half of the rollouts by the best text, half by its rival."""

    def __init__(self, provider_url, http):
        self.texts = [BASELINE, BASELINE]
        self.rollouts = {}
        self.events = []
        self._names = {}
        self._provider = provider_url
        self._http = http
        self._count = 0

    async def chat(self, request):
        body = await request.json()
        assert body["messages"][0]["content"] == BASELINE
        correlation = request.headers.get("x-correlation-id")
        known = self.rollouts.get(self._names.get(correlation or body["messages"][1]["content"]))
        text = known.text if known else self.texts[self._count % 2]
        self._count += known is None
        body["messages"][0]["content"] = text
        url = f"{self._provider}/chat/completions"
        async with self._http.post(url, json=body) as response:
            answer = await response.json()
        rollout = f"r{self._count}"
        said = answer["choices"][0]["message"]["content"]
        self.rollouts[rollout] = Rollout(text, body["messages"][-1]["content"], said)
        for name in (rollout, correlation, answer["id"], body["messages"][1]["content"]):
            self._names[name] = rollout
        return web.json_response(answer, headers={"x-gepa-rollout-id": rollout})

    async def feedback(self, request):
        body = await request.json()
        for event in body if isinstance(body, list) else [body]:
            self.events.append(event)
            [name] = [value for key, value in event.items() if key in ID_FIELDS]
            rollout = self.rollouts[self._names[name]]
            rollout.up, rollout.comment = event["thumbs"] == "up", event.get("comment", "")
        return web.json_response({}, status=202)

    def decide(self):
        """Keep the better of the two, by what users said since the last decision."""
        means = []
        for text in self.texts:
            ups = [r.up for r in self.rollouts.values() if r.text == text and r.up is not None]
            means.append(fmean(ups or [0]))
        best = self.texts[means[1] > means[0] + 0.02]
        self.texts = [best, best]
        return best

    async def propose(self, *, words):
        examples = [
            {
                "Inputs": r.asked,
                "Generated Outputs": r.answered,
                "Feedback": f'Reward 0.\nThe user wrote: "{r.comment}"' if words else "Reward 0.",
            }
            for r in self.rollouts.values()
            if r.up is False and r.comment and r.text == self.texts[0]
        ]
        text = InstructionProposalSignature.prompt_renderer(
            {"current_instruction_doc": self.texts[0], "dataset_with_feedback": examples[-20:]}
        )
        body = {"model": "sim-reflect", "messages": [{"role": "user", "content": text}]}
        async with self._http.post(f"{self._provider}/chat/completions", json=body) as response:
            answer = (await response.json())["choices"][0]["message"]["content"]
        self.texts[1] = InstructionProposalSignature.output_extractor(answer)["new_instruction"]


ID_FIELDS = {"rollout_id", "completion_id", "correlation_id"}


@asynccontextmanager
async def climbing(seed):
    """World, provider and climber, with the URLs users need."""
    provider = SimulatedProvider(World.seeded(seed), seed)
    async with aiohttp.ClientSession() as http:
        climber = HillClimber(await provider.start(), http)
        app = web.Application()
        app.router.add_post("/v1/chat/completions", climber.chat)
        app.router.add_post("/feedback", climber.feedback)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        base = f"http://{host}:{port}"
        try:
            yield (
                provider,
                climber,
                Endpoints([f"{base}/v1/chat/completions"], f"{base}/feedback"),
            )
        finally:
            await runner.cleanup()
            await provider.stop()


async def climbed(seed, *, rounds=14, talks=240, shuffle=False, words=True):
    """The truth of the best text after a climb, and of the baseline."""
    async with climbing(seed) as (provider, climber, endpoints):
        for number in range(rounds):
            users = Users(provider.world, 1000 * seed + number, endpoints, shuffle=shuffle)
            tally = await users.run(talks)
            assert tally.failures == []
            climber.decide()
            await climber.propose(words=words)
            climber.rollouts = {k: r for k, r in climber.rollouts.items() if r.up is False}
        world = provider.world
        return world.success_rate(climber.decide()), world.success_rate(BASELINE)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_hill_climb_on_true_feedback_finds_a_good_prompt(seed):
    reached, baseline = await climbed(seed)
    assert reached > baseline + 0.15


async def test_users_come_by_every_id_say_what_they_mean_and_are_all_heard():
    async with climbing(3) as (provider, climber, endpoints):
        tally = await Users(provider.world, 3, endpoints).run(400)
        assert tally.failures == []
        assert sorted(visit.number for visit in tally.visits) == list(range(400))
        assert tally.feedback == len(climber.events)
        assert len({event["event_id"] for event in climber.events}) == tally.feedback
        assert tally.feedback == pytest.approx(0.7 * 400, rel=0.15)
        for field in ID_FIELDS:
            assert sum(field in event for event in climber.events) > 60
        said = json.dumps(climber.events).lower()
        assert not any(word in said for word in ("trait", "behaviour", "candidate", "wish:"))
        rate = fmean(visit.happy for visit in tally.visits)
        assert rate == pytest.approx(provider.world.success_rate(BASELINE), abs=0.08)
        assert provider.calls["policy"] == pytest.approx(1.25 * 400, rel=0.1)


async def test_two_runs_of_a_seed_are_the_same_run():
    async def events():
        async with climbing(4) as (provider, climber, endpoints):
            await Users(provider.world, 4, endpoints, concurrency=1).run(60)
            return climber.events

    assert await events() == await events()


async def test_the_control_hands_in_the_same_thumbs_without_words_or_meaning():
    runs = {}
    for shuffle in (False, True):
        async with climbing(5) as (provider, climber, endpoints):
            users = Users(provider.world, 5, endpoints, shuffle=shuffle, concurrency=1)
            await users.run(300)
            runs[shuffle] = sorted(climber.events, key=lambda event: event["event_id"])
    true, control = runs[False], runs[True]
    assert [e["event_id"] for e in true] == [e["event_id"] for e in control]
    thumbs = [[e["thumbs"] for e in run] for run in (true, control)]
    assert sorted(thumbs[0]) == sorted(thumbs[1])
    assert thumbs[0] != thumbs[1]
    assert any("comment" in e for e in true)
    assert not any("comment" in e for e in control)


async def test_a_sidecar_that_refuses_everything_is_reported_not_raised():
    async def refuse(_request):
        return web.Response(status=503)

    app = web.Application()
    app.router.add_post("/{anything:.*}", refuse)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = "http://{}:{}".format(*runner.addresses[0])
    try:
        endpoints = Endpoints([f"{base}/v1/chat/completions"], f"{base}/feedback")
        tally = await Users(World.seeded(1), 1, endpoints).run(20)
    finally:
        await runner.cleanup()
    assert tally.visits == []
    assert len(tally.failures) == 20


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_what_a_prompt_says_is_all_that_matters(seed):
    """A rate measured by users over the wire is the world's truth of the served prompt."""
    async with climbing(seed) as (provider, climber, endpoints):
        climber.texts = [f"{BASELINE}\n- Ask for the order number.\n- Use plain words."] * 2
        tally = await Users(provider.world, seed, endpoints).run(900)
        served = {provider.prompt_of(visit.completion_id) for visit in tally.visits}
    assert served == {climber.texts[0]}
    truth = provider.world.success_rate(climber.texts[0])
    assert fmean(visit.happy for visit in tally.visits) == pytest.approx(truth, abs=0.05)


async def test_users_share_nothing_with_the_global_random_state():
    async with climbing(6) as (provider, _, endpoints):
        random.seed(1)
        state = random.getstate()
        await Users(provider.world, 6, endpoints).run(10)
        assert random.getstate() == state
