"""An improvement in the simulation can only have come through the loop.

First over the wire, with a stand-in for the sidecar: users judge what was served and nothing else.
Then the whole demo: with true feedback what is served gets better, and no promotion is a mistake.
(`tests/unit/test_simulation_loop.py` has the same without sockets, with and without information.)
"""

import json
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import fmean

import aiohttp
import pytest
from aiohttp import web

from sidecar.simulation.demo import DemoOptions, run_demo
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


class Stand:
    """A proxy with the sidecar's routes, where a prompt can be put in place of the baseline."""

    def __init__(self, provider_url, http):
        self.text = BASELINE
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
        text = known.text if known else self.text
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


ID_FIELDS = {"rollout_id", "completion_id", "correlation_id"}


@asynccontextmanager
async def standing_in(seed):
    """World, provider and stand, with the URLs users need."""
    provider = SimulatedProvider(World.seeded(seed), seed)
    async with aiohttp.ClientSession() as http:
        stand = Stand(await provider.start(), http)
        app = web.Application()
        app.router.add_post("/v1/chat/completions", stand.chat)
        app.router.add_post("/feedback", stand.feedback)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        base = f"http://{host}:{port}"
        try:
            yield (
                provider,
                stand,
                Endpoints([f"{base}/v1/chat/completions"], f"{base}/feedback"),
            )
        finally:
            await runner.cleanup()
            await provider.stop()


async def test_users_come_by_every_id_say_what_they_mean_and_are_all_heard():
    async with standing_in(3) as (provider, stand, endpoints):
        tally = await Users(provider.world, 3, endpoints).run(400)
        assert tally.failures == []
        assert sorted(visit.number for visit in tally.visits) == list(range(400))
        assert tally.feedback == len(stand.events)
        assert len({event["event_id"] for event in stand.events}) == tally.feedback
        assert tally.feedback == pytest.approx(0.7 * 400, rel=0.15)
        for field in ID_FIELDS:
            assert sum(field in event for event in stand.events) > 60
        said = json.dumps(stand.events).lower()
        assert not any(word in said for word in ("trait", "behaviour", "candidate", "wish:"))
        rate = fmean(visit.happy for visit in tally.visits)
        assert rate == pytest.approx(provider.world.success_rate(BASELINE), abs=0.08)
        assert provider.calls["policy"] == pytest.approx(1.25 * 400, rel=0.1)


async def test_two_runs_of_a_seed_are_the_same_run():
    async def events():
        async with standing_in(4) as (provider, stand, endpoints):
            await Users(provider.world, 4, endpoints, concurrency=1).run(60)
            return stand.events

    assert await events() == await events()


async def test_the_control_hands_in_the_same_thumbs_without_words_or_meaning():
    runs = {}
    for shuffle in (False, True):
        async with standing_in(5) as (provider, stand, endpoints):
            users = Users(provider.world, 5, endpoints, shuffle=shuffle, concurrency=1)
            await users.run(300)
            runs[shuffle] = sorted(stand.events, key=lambda event: event["event_id"])
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
    async with standing_in(seed) as (provider, stand, endpoints):
        stand.text = f"{BASELINE}\n- Ask for the order number.\n- Use plain words."
        tally = await Users(provider.world, seed, endpoints).run(900)
        served = {provider.prompt_of(visit.completion_id) for visit in tally.visits}
    assert served == {stand.text}
    truth = provider.world.success_rate(stand.text)
    assert fmean(visit.happy for visit in tally.visits) == pytest.approx(truth, abs=0.05)


async def test_users_share_nothing_with_the_global_random_state():
    async with standing_in(6) as (provider, _, endpoints):
        random.seed(1)
        state = random.getstate()
        await Users(provider.world, 6, endpoints).run(10)
        assert random.getstate() == state


async def test_the_demo_gets_better_by_true_feedback_and_adds_up():
    lines = []
    result = await run_demo(DemoOptions(seed=1, conversations=2500, json=True), lines.append)
    said = [json.loads(line) for line in lines]
    assert said[-1] == result
    assert list(result) == [
        *("seed", "baseline", "served_last_fifth", "proposed", "promoted"),
        *("promoted_below_baseline", "rolled_back", "rollouts", "feedback", "rewards"),
    ]
    assert result["served_last_fifth"] > result["baseline"] + 0.03
    assert result["promoted_below_baseline"] == 0
    assert result["rollouts"] == 2500
    assert result["feedback"] == result["rewards"] == pytest.approx(0.7 * 2500, rel=0.05)
    assert {line["type"] for line in said[:-1]} == {"begin", "progress", "event", "best"}


async def test_the_demo_reads_well_in_a_hundred_columns_without_colour():
    lines = []
    await run_demo(DemoOptions(seed=2, conversations=300), lines.append)
    learned = next(n for n, line in enumerate(lines) if line.startswith("What was learned"))
    shown = "\n".join(lines[:learned]).splitlines()
    assert len(shown) > 5
    assert all(len(line) <= 100 for line in shown)
    assert "\x1b" not in "".join(lines)
    assert json.loads(lines[-1])["seed"] == 2
