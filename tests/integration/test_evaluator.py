"""Rollouts of a task app: scored, remembered, and bounded."""

import asyncio
from dataclasses import replace

import pytest
from support.gateway import until
from support.rollouts import POLICY_JOB, bench, playing
from support.task_app import BASELINE, KEY, MAGIC, FakeTaskApp, rewarded

from sidecar.core.prompt import Demo, Pattern
from sidecar.jobs.base import JobCancelled, JobFailed, Prompt

OLD = Prompt(BASELINE)
GOOD = Prompt(f"Answer with the {MAGIC}.")


def rewards(scores):
    return [score.reward for score in scores]


async def test_a_better_prompt_gets_better_rewards():
    async with playing() as (_, evaluator):
        assert rewards(await evaluator.evaluate(OLD, [1, 2])) == [0.0, 0.0]
        assert rewards(await evaluator.evaluate(GOOD, [1, 2])) == [1.0, 1.0]


async def test_a_score_says_what_was_asked_answered_and_paid():
    async with playing() as (app, evaluator):
        (score,) = await evaluator.evaluate(GOOD, [5])
    assert (score.seed, score.reward, score.error) == (5, 1.0, "")
    assert (score.asked, score.replied) == ("item 5", "yes")
    assert (score.tokens, score.cost_usd) == (1100, pytest.approx(1000 * 0.4e-6 + 100 * 1.6e-6))
    assert score.correlation_id == app.rollouts[0]["trace_correlation_id"]
    assert score.latency_ms > 0
    assert "yes" in score.feedback


async def test_scores_come_in_the_order_of_the_seeds_and_each_seed_runs_once():
    async with playing() as (app, evaluator):
        scores = await evaluator.evaluate(OLD, [9, 2, 9, 4])
    assert [score.seed for score in scores] == [9, 2, 9, 4]
    assert scores[0] == scores[2]
    assert sorted(app.seeds) == [2, 4, 9]


async def test_never_more_rollouts_at_once_than_agreed_also_of_two_batches():
    async def slowly(request, body):
        await asyncio.sleep(0.01)

    async with playing(slowly, concurrency=3) as (app, evaluator):
        await asyncio.gather(
            evaluator.evaluate(OLD, range(10)), evaluator.evaluate(GOOD, range(10))
        )
    assert app.most_at_once == 3


async def test_a_second_evaluator_over_the_same_journal_calls_nothing_again():
    prompt = replace(GOOD, demos=(Demo("r", "item 1", "red"),))
    async with bench() as at:
        async with FakeTaskApp() as app, at.evaluator(app.url) as evaluator:
            first = await evaluator.evaluate(prompt, [1, 2, 3], split="validation", repeat=2)
        async with at.evaluator(app.url) as again:  # where nobody listens any more
            assert await again.evaluate(prompt, [3, 1, 2], split="validation", repeat=2) == [
                first[2],
                first[0],
                first[1],
            ]
        assert len(at.provider.seen) == 3
        assert len(await at.events()) == 3


async def test_only_what_is_missing_is_run_after_a_crash():
    async with bench() as at, FakeTaskApp() as app:
        async with at.evaluator(app.url) as evaluator:
            await evaluator.evaluate(OLD, [1, 2])
        async with at.evaluator(app.url) as evaluator:
            await evaluator.evaluate(OLD, [1, 2, 3])
    assert sorted(app.seeds) == [1, 2, 3]


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": GOOD},
        {"prompt": replace(OLD, demos=(Demo("r", "u", "a"),))},
        {"split": "validation"},
        {"repeat": 1},
    ],
)
async def test_another_prompt_split_or_repeat_is_another_rollout(other):
    async with playing() as (app, evaluator):
        await evaluator.evaluate(OLD, [1])
        prompt = other.pop("prompt", OLD)
        await evaluator.evaluate(prompt, [1], **other)
    assert app.seeds == [1, 1]


async def test_the_journal_tells_each_rollout_in_words_and_never_the_key():
    async with bench() as at, FakeTaskApp() as app:
        async with at.evaluator(app.url) as evaluator:
            await evaluator.evaluate(OLD, [1], split="validation")
        (event,) = await at.events()
    assert event.type == "learning.policy.gepa.rollout.completed"
    assert event.message == "Rollout of seed 1: reward 0.000"
    assert event.data["seed"] == 1
    assert event.data["split"] == "validation"
    assert event.data["error"] is None
    assert KEY not in str(event)


async def test_a_batch_knocks_once_and_what_is_known_does_not_knock_at_all():
    async with bench() as at, FakeTaskApp() as app:
        async with at.evaluator(app.url) as evaluator:
            await evaluator.evaluate(OLD, [1, 2])
            await evaluator.evaluate(OLD, [3])
        async with at.evaluator(app.url) as evaluator:
            await evaluator.evaluate(OLD, [1, 2, 3])
    assert app.requests.count("GET /health") == 1


async def test_a_paused_job_begins_no_rollout_until_it_is_resumed():
    async with bench() as at, FakeTaskApp() as app:

        async def pause_at_second(request, body):
            if len(app.rollouts) == 2:
                at.control.pause()

        app.behave = pause_at_second
        async with at.evaluator(app.url, concurrency=1) as evaluator:
            work = asyncio.create_task(evaluator.evaluate(OLD, [1, 2, 3, 4]))
            await at.counted(2)
            await asyncio.sleep(0.05)  # time for a third one to begin
            assert len(app.rollouts) == 2
            at.control.resume()
            assert len(await work) == 4


async def test_a_cancelled_job_begins_no_rollout():
    async with bench() as at, FakeTaskApp() as app, at.evaluator(app.url) as evaluator:
        at.control.cancel()
        with pytest.raises(JobCancelled):
            await evaluator.evaluate(OLD, [1, 2])
    assert app.requests == []


async def test_stopping_in_the_middle_leaves_nothing_running_and_nothing_wrong_in_the_journal():
    async def stall_on_odd(request, body):
        if body["env"]["seed"] % 2:
            await asyncio.Event().wait()

    async with bench() as at, FakeTaskApp(stall_on_odd) as app:
        async with at.evaluator(app.url) as evaluator:
            work = asyncio.create_task(evaluator.evaluate(OLD, range(6)))
            await at.counted(3)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            await until(lambda: app.at_once == 0)
        assert sorted(event.data["seed"] for event in await at.events()) == [0, 2, 4]
        app.behave = None
        async with at.evaluator(app.url) as evaluator:
            assert len(await evaluator.evaluate(OLD, range(6))) == 6
    assert sorted(app.seeds) == [0, 1, 1, 2, 3, 3, 4, 5, 5]


async def test_a_prompt_that_reaches_no_call_ends_the_job_with_the_reason():
    async with bench() as at, FakeTaskApp() as app:
        app.system = "You are something else."
        async with at.evaluator(app.url) as evaluator:
            with pytest.raises(JobFailed, match="initial_prompt"):
                await evaluator.evaluate(OLD, range(20))


async def test_a_task_app_that_calls_no_model_of_ours_ends_the_job_with_the_reason():
    async with bench() as at, FakeTaskApp() as app:
        app.calls_model = False
        async with at.evaluator(app.url) as evaluator:
            with pytest.raises(JobFailed, match="inference_url"):
                await evaluator.evaluate(OLD, range(20))


async def test_a_task_app_that_takes_its_prompt_from_the_template_may_call_as_it_likes():
    template = (("system", BASELINE), ("user", "{item}"))
    async with bench() as at, FakeTaskApp() as app:
        app.calls_model = False
        async with at.evaluator(app.url, template=template) as evaluator:
            assert len(await evaluator.evaluate(OLD, range(20))) == 20

        async def rendered(request, body):
            sections = body["policy"]["config"]["prompt_template"]["sections"]
            app.system = "Preamble. " + sections[0]["content"]

        app.calls_model, app.behave = True, rendered
        async with at.evaluator(
            app.url, record=replace(POLICY_JOB, job_id="pl_2"), template=template, concurrency=1
        ) as evaluator:
            assert rewards(await evaluator.evaluate(GOOD, range(10))) == [1.0] * 10


async def test_calls_of_an_application_without_system_prompt_get_the_prompt():
    async with bench() as at, FakeTaskApp() as app:
        app.system = None
        async with at.evaluator(app.url, baseline=Pattern.parse("")) as evaluator:
            assert rewards(await evaluator.evaluate(GOOD, [1])) == [1.0]


async def test_a_reward_in_its_old_place_counts():
    async def older(request, body):
        return rewarded(metrics={"reward_mean": 0.5})

    async with playing(older) as (_, evaluator):
        assert rewards(await evaluator.evaluate(OLD, [1])) == [0.5]
