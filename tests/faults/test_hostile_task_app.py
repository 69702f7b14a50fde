"""Task apps on a bad day: a rollout may fail, a job may have to end, nothing hangs."""

import asyncio

import pytest
from aiohttp import web
from support.gateway import until
from support.rollouts import bench, playing
from support.task_app import BASELINE, KEY, FakeTaskApp, reset, rewarded, stall

from sidecar.jobs import task_app
from sidecar.jobs.base import JobFailed, Prompt

OLD = Prompt(BASELINE)


def every(count, fault):
    """A fault in each rollout whose seed divides by `count`; all others are as they should be."""

    async def behave(request, body):
        return await fault(request) if body["env"]["seed"] % count == 0 else None

    return behave


async def error_500(request):
    return web.json_response({"detail": "the dataset is gone"}, status=500)


async def hang(request):
    return await stall()


async def no_reward(request):
    return rewarded(trace={}, success_status="runtime_error", status_detail="no answer parsed")


async def nan(request):
    return web.Response(text='{"reward_info": {"outcome_reward": NaN}}')


async def billion(request):
    return rewarded(reward_info={"outcome_reward": 1e9})


async def huge(request):
    return web.Response(body=b"x" * (task_app.MAX_ANSWER + 1))


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (error_500, "HTTP 500: the dataset is gone"),
        (reset, "closed the connection"),
        (hang, "no answer within 2 seconds"),
        (no_reward, "no reward"),
        (nan, "NaN"),
        (billion, "1e+09"),
        (huge, "larger than"),
    ],
)
async def test_a_failed_rollout_is_worth_nothing_says_why_and_stops_nobody(
    monkeypatch, fault, says
):
    monkeypatch.setattr(task_app, "MAX_ANSWER", 100_000)
    async with playing(every(20, fault), timeout=2.0 if fault is hang else 30.0) as (_, evaluator):
        scores = await evaluator.evaluate(OLD, range(1, 41))
    failed = {score.seed: score for score in scores if score.error}
    assert set(failed) == {20, 40}
    assert {score.reward for score in failed.values()} == {0.0}
    assert all(says in score.error for score in failed.values())
    assert len(scores) == 40


async def test_a_failure_is_remembered_like_any_other_end():
    async with bench() as at, FakeTaskApp(every(2, error_500)) as app:
        async with at.evaluator(app.url) as evaluator:
            first = await evaluator.evaluate(OLD, range(4))
        async with at.evaluator(app.url) as evaluator:
            assert await evaluator.evaluate(OLD, range(4)) == first
    assert len(app.rollouts) == 4


async def test_a_broken_connection_is_tried_once_more_as_another_rollout():
    async def first_time(request, body):
        return await reset(request) if len(app.rollouts) == 1 else None

    async with playing(first_time) as (app, evaluator):
        (score,) = await evaluator.evaluate(OLD, [1])
    assert score.error == ""
    first, second = (body["trace_correlation_id"] for body in app.rollouts)
    assert first != second == score.correlation_id


async def test_a_try_that_broke_after_its_model_call_is_paid_for_too():
    async def first_time(request, body):
        if len(app.rollouts) == 1:
            await app.ask(body)
            return await reset(request)
        return None

    async with playing(first_time) as (app, evaluator):
        (score,) = await evaluator.evaluate(OLD, [1])
    assert score.tokens == 2 * 1100


async def test_a_busy_task_app_is_asked_once_more():
    async def first_time(request, body):
        return web.Response(status=503) if len(app.rollouts) == 1 else None

    async with playing(first_time) as (app, evaluator):
        (score,) = await evaluator.evaluate(OLD, [1])
    assert (score.error, len(app.rollouts)) == ("", 2)


async def test_a_connection_that_always_breaks_is_not_tried_for_ever():
    async with playing(every(1, reset)) as (app, evaluator):
        (score,) = await evaluator.evaluate(OLD, [1])
    assert "closed the connection" in score.error
    assert len(app.rollouts) == 2


async def test_a_wrong_key_ends_the_job_and_says_what_to_do():
    async with bench() as at, FakeTaskApp() as app:
        await at.upload("not-the-key-of-this-app")
        async with at.evaluator(app.url) as evaluator:
            with pytest.raises(JobFailed) as failure:
                await evaluator.evaluate(OLD, range(10))
        assert await at.events() == []
    text = str(failure.value)
    assert "ENVIRONMENT_API_KEY" in text
    assert "not-the-key" not in text
    assert KEY[:15] not in text
    assert app.rollouts == []


async def test_a_key_that_stops_working_ends_the_job_and_scores_nothing():
    async with bench() as at, FakeTaskApp() as app:

        async def lock(request, body):
            app.key = "another"

        app.behave = lock
        async with at.evaluator(app.url, concurrency=1) as evaluator:
            with pytest.raises(JobFailed, match="refused our key"):
                await evaluator.evaluate(OLD, range(5))
        assert [event.data["error"] for event in await at.events()] == [None]


async def test_a_job_that_has_to_end_does_not_wait_for_rollouts_that_stall():
    async def lock_or_stall(request, body):
        if body["env"]["seed"] == 0:
            return await stall()
        app.key = "another"
        return None

    async with playing(lock_or_stall, timeout=60.0) as (app, evaluator), asyncio.timeout(5):
        with pytest.raises(JobFailed, match="refused our key"):
            await evaluator.evaluate(OLD, range(100))
        await until(lambda: app.at_once == 0)


async def test_a_key_that_no_header_can_carry_ends_the_job():
    async with bench() as at, FakeTaskApp() as app:
        await at.upload("two\nlines")
        with pytest.raises(JobFailed, match="upload it again") as failure:
            async with at.evaluator(app.url):
                pass
    assert "two" not in str(failure.value)


async def test_a_task_app_that_is_not_there_ends_the_job_soon():
    async with bench() as at:
        async with FakeTaskApp() as app:
            pass
        async with asyncio.timeout(5), at.evaluator(app.url) as evaluator:
            with pytest.raises(JobFailed, match="cannot be reached") as failure:
                await evaluator.evaluate(OLD, range(10))
        assert await at.events() == []
    assert app.url in str(failure.value)


async def test_a_task_app_that_comes_back_is_waited_for():
    async with bench() as at:
        at.patience = 10.0
        async with FakeTaskApp() as app, at.evaluator(app.url) as evaluator:
            await evaluator.evaluate(OLD, [1])
            port = int(app.url.rsplit(":", 1)[1])
            await app.__aexit__()
            work = asyncio.create_task(evaluator.evaluate(OLD, [2, 3]))
            await asyncio.sleep(0.3)
            await app.listen(port)
            assert [score.error for score in await work] == ["", ""]
    assert sorted(app.seeds) == [1, 2, 3]


@pytest.mark.parametrize("fault", [error_500, no_reward, nan, billion])
async def test_a_task_app_that_never_works_does_not_get_the_whole_budget(fault):
    async with playing(every(1, fault), concurrency=4) as (app, evaluator):
        with pytest.raises(JobFailed, match="first 8 rollouts all failed"):
            await evaluator.evaluate(OLD, range(500))
    assert len(app.rollouts) < 20


async def test_the_same_failures_asked_for_again_make_no_verdict():
    async with playing(every(1, error_500)) as (app, evaluator):
        for _ in range(3):
            await evaluator.evaluate(OLD, range(7))
        app.behave = None
        (score,) = await evaluator.evaluate(OLD, [7])
    assert score.error == ""


async def test_a_job_that_was_going_nowhere_goes_nowhere_after_a_restart_either():
    async with bench() as at, FakeTaskApp(every(1, error_500)) as app:
        for _ in range(2):
            async with at.evaluator(app.url, concurrency=1) as evaluator:
                with pytest.raises(JobFailed, match="the dataset is gone"):
                    await evaluator.evaluate(OLD, range(20))
    assert len(app.rollouts) == 8


async def test_all_of_it_at_once_and_every_rollout_has_an_end():
    faults = [error_500, reset, hang, no_reward, nan, billion]

    async def bad_day(request, body):
        seed = body["env"]["seed"]
        return await faults[seed // 20 % len(faults)](request) if seed % 20 == 0 else None

    async with bench() as at, FakeTaskApp(bad_day) as app:
        async with asyncio.timeout(60), at.evaluator(app.url, timeout=4.0) as evaluator:
            scores = await evaluator.evaluate(OLD, range(1, 241))
        assert len(await at.events()) == 240
    assert [score.seed for score in scores if score.error] == list(range(20, 241, 20))
