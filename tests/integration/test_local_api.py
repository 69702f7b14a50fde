"""A task app made with our helper: its routes, its key, and that it always answers."""

import asyncio
import logging
import threading
from dataclasses import asdict

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from support.backends import SESSION, SYSTEM
from support.gateway import ask
from support.local_api import KEY, asked, config, instance, local_api, scored
from support.provider import FakeProvider
from support.whole import whole, whole_settings

from sidecar.client import ApiError
from sidecar.client.local_api import (
    RolloutMetrics,
    RolloutResponse,
    chat_url,
    create_local_api,
)

ROUTES = [
    ("GET", "/health"), ("GET", "/info"), ("GET", "/task_info"), ("POST", "/rollout"),
    ("POST", "/done"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _no_key_around(monkeypatch):
    monkeypatch.delenv("ENVIRONMENT_API_KEY", raising=False)


async def posted(client, body, status=200):
    """The answer to a rollout; of an error its code and message."""
    async with client.post("/rollout", json=body) as answer:
        assert answer.status == status, await answer.text()
        found = await answer.json()
        if status == 200:
            return found
        return found["detail"]["error"]["code"], found["detail"]["error"]["message"]


async def got(client, path, **headers):
    async with client.get(path, headers=headers) as answer:
        return answer.status, await answer.json()


# -- the key ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": KEY},
        {"X-API-Keys": f"other, {KEY}"},
        {"Authorization": f"Bearer {KEY}"},
        {"X-API-Key": "wrong", "Authorization": f"bearer {KEY}"},
    ],
)
async def test_the_key_may_stand_in_any_of_the_headers(headers):
    async with local_api(key="") as client:
        assert (await got(client, "/health", **headers))[0] == 200


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "wrong"}, {"Authorization": f"Basic {KEY}"}])
async def test_a_wrong_or_missing_key_is_a_400_in_the_published_shape(method, path, headers):
    async with local_api(key="") as client, client.request(method, path, headers=headers) as answer:
        assert answer.status == 400
        assert (await answer.json())["detail"]["error"]["code"] == "unauthorised"
        assert KEY not in await answer.text()


async def test_without_a_key_of_its_own_it_says_503(caplog):
    async with local_api(api_key=None) as client:
        status, body = await got(client, "/health")
    assert status == 503
    assert body["detail"]["error"]["code"] == "missing_environment_api_key"
    assert "ENVIRONMENT_API_KEY is not set" in caplog.messages[0]


async def test_the_key_is_the_environments_by_default(monkeypatch):
    monkeypatch.setenv("ENVIRONMENT_API_KEY", KEY + "\n")
    async with local_api(api_key=None) as client:
        assert (await got(client, "/health"))[0] == 200
    assert KEY not in repr(config())


async def test_a_key_need_not_be_asked_for():
    async with local_api(require_api_key=False) as client:
        status, body = await got(client, "/health", **{"X-API-Key": "wrong"})
    assert (status, body["auth"]["required"]) == (200, False)


# -- the other routes ---------------------------------------------------------------------------


async def test_anybody_may_see_that_it_is_there():
    async with local_api(key="") as client:
        assert await got(client, "/") == (200, {"status": "ok", "service": "intents"})
        async with client.head("/") as answer:
            assert answer.status == 200


async def test_health_and_done_are_in_the_published_shape():
    async with local_api() as client:
        auth = {"required": True, "expected_prefix": "enviro..."}
        assert await got(client, "/health") == (200, {"healthy": True, "auth": auth})
        async with client.post("/done") as answer:
            assert await answer.json() == {"ok": True, "service": "intents"}


async def test_info_is_made_from_the_name_or_given():
    async with local_api(rubrics={"outcome": {"criteria": []}}) as client:
        _, info = await got(client, "/info")
    task = {"id": "intents", "name": "Intents", "description": "Name the intent of a message."}
    assert info == {
        "service": {"task": task, "version": None},
        "dataset": {"id": "intents"},
        "inference": {},
        "limits": {},
        "rubrics": {"outcome": {"criteria": []}},
    }
    async with local_api(base_task_info=instance(1)) as client:
        assert (await got(client, "/info"))[1]["dataset"]["index"] == 1


async def test_task_info_describes_the_set_one_instance_or_several():
    async with local_api() as client:
        taskset = {"taskset": {"splits": ["train", "test"]}}
        assert await got(client, "/task_info") == (200, taskset)
        assert await got(client, "/task_info?seed=3") == (200, asdict(instance(3)))
        several = [asdict(instance(3)), asdict(instance(1))]
        assert await got(client, "/task_info?seed=3&seed=1") == (200, several)
        assert await got(client, "/task_info?seeds=3&seeds=1") == (200, several)
        assert (await got(client, "/task_info?seed=x"))[0] == 422


async def test_what_provides_instances_may_be_a_generator_async_or_wrong():
    async def awaited(seeds):
        await asyncio.sleep(0)
        return [asdict(instance(seed)) for seed in seeds]

    def generated(seeds):
        yield from (instance(seed) for seed in seeds)

    for provide in (awaited, generated):
        async with local_api(provide_task_instances=provide) as client:
            assert (await got(client, "/task_info?seed=3"))[1] == asdict(instance(3))
    for provide, why in (
        (lambda _: [], "0 instances for 1 seeds"),
        (lambda _: None, "not iterable"),
        (lambda _: [object()], "not JSON"),
    ):
        async with local_api(provide_task_instances=provide) as client:
            status, body = await got(client, "/task_info?seed=3")
        assert status == 500
        assert why in body["detail"]["error"]["message"]


async def test_what_does_not_exist_is_said_in_the_same_shape():
    async with local_api() as client:
        status, body = await got(client, "/nowhere")
        assert (status, body["detail"]["error"]["code"]) == (404, "not_found")
        status, body = await got(client, "/rollout")
        assert (status, body["detail"]["error"]["code"]) == (405, "method_not_allowed")


async def test_it_may_be_part_of_another_application():
    outer = web.Application()
    outer.add_subapp("/s/abc", create_local_api(config()))
    async with (
        TestClient(TestServer(outer), headers={"X-API-Key": KEY}) as client,
        client.post("/s/abc/rollout", json=asked()) as answer,
    ):
        assert (await answer.json())["reward_info"]["outcome_reward"] == 0.5


# -- rollouts -----------------------------------------------------------------------------------


async def test_a_rollout_is_told_what_was_asked():
    seen = []

    async def rollout(request, http):
        seen.append((request, http))
        return await scored(request)

    async with local_api(rollout=rollout) as client:
        answer = await posted(client, asked(safety={"max_time_s": 5}, training_session_id="pl_1"))
    (request, http), *_ = seen
    assert (request.seed, request.env.config["split"]) == (3, "train")
    assert (request.inference_url, request.policy.config["model"]) == ("http://127.0.0.1:1", "m")
    assert (request.safety.max_time_s, request.training_session_id) == (5.0, "pl_1")
    assert http.headers["X-API-Key"] == KEY
    assert answer == {
        "trace_correlation_id": "trace_7",
        "reward_info": {"outcome_reward": 0.5, "details": {"feedback": "half right"}},
    }


async def test_the_seed_may_stand_in_the_config_alone():
    async with local_api(rollout=lambda request: request.scored(request.seed)) as client:
        answer = await posted(client, asked(env={"config": {"seed": 9}}))
        assert answer["reward_info"]["outcome_reward"] == 9.0
        code, words = await posted(client, asked(env={}), 500)
        assert (code, "no seed" in words) == ("rollout_failed", True)


async def test_a_plain_function_runs_beside_others():
    together = threading.Barrier(3)  # nobody is answered before all have begun

    def rollout(request):
        together.wait(10)
        return request.scored(1)

    async with local_api(rollout=rollout) as client:
        answers = await asyncio.gather(*(posted(client, asked()) for _ in range(3)))
    assert [answer["reward_info"]["outcome_reward"] for answer in answers] == [1.0] * 3


async def test_an_answer_may_be_a_mapping_or_hold_everything():
    full = RolloutResponse(
        trace_correlation_id="trace_7",
        reward_info=RolloutMetrics(outcome_reward=1, outcome_objectives={"reward": 1.0}),
        trace={"inference": {}},
        artifact=[{"content": "x"}],
        success_status="success",
    )
    async with local_api(rollout=lambda _: full) as client:
        assert await posted(client, asked()) == {
            "trace_correlation_id": "trace_7",
            "reward_info": {
                "outcome_reward": 1.0,
                "outcome_objectives": {"reward": 1.0},
                "details": {},
            },
            "trace": {"inference": {}},
            "artifact": [{"content": "x"}],
            "success_status": "success",
        }
    async with local_api(rollout=lambda _: {"metrics": {"outcome_reward": 1}}) as client:
        answer = await posted(client, asked())
    assert answer == {"trace_correlation_id": "trace_7", "metrics": {"outcome_reward": 1}}


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ([], "the body"),
        ({}, "env"),
        (asked(env=None), "env"),
        (asked(env={"seed": "3"}), "env.seed"),
        (asked(env={"seed": True}), "env.seed"),
        (asked(env={"config": []}), "env.config"),
        (asked(policy="m"), "policy"),
        (asked(trace_correlation_id=""), "trace_correlation_id"),
        (asked(trace_correlation_id=7), "trace_correlation_id"),
        (asked(safety={"max_time_s": 0}), "safety.max_time_s"),
    ],
)
async def test_a_request_that_is_none_is_refused_by_name(body, names):
    async with local_api() as client:
        code, words = await posted(client, body, 422)
        assert code == "invalid_request"
        assert words.startswith(names)


async def test_a_body_that_is_not_json_is_refused():
    async with local_api() as client:
        for data in (b"{", b"\xff", b"[" * 100_000):
            async with client.post("/rollout", data=data) as answer:
                assert answer.status == 422


def raising(error):
    def rollout(_request):
        raise error

    return rollout


def awaiting(error):
    async def rollout(_request):
        raise error

    return rollout


@pytest.mark.parametrize("form", [raising, awaiting])
@pytest.mark.parametrize(
    "error", [ValueError("no such item"), StopIteration(), SystemExit(3), TimeoutError("slow")]
)
async def test_whatever_a_rollout_raises_is_told_and_logged(form, error, caplog):
    async with local_api(rollout=form(error)) as client:
        async with asyncio.timeout(10):
            code, words = await posted(client, asked(), 500)
        assert code == "rollout_failed"
        assert str(error) in words
        assert (await got(client, "/health"))[0] == 200, "and it goes on"
    assert [(r.levelno, r.exc_info is not None) for r in caplog.records] == [(logging.ERROR, True)]


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (None, "NoneType"),
        (0.5, "float"),
        ({"reward_info": {"outcome_reward": float("nan")}}, "not JSON"),
        (RolloutResponse("trace_7", RolloutMetrics(float("nan"))), "nan"),
        (RolloutResponse("trace_7", RolloutMetrics("much")), "much"),
        (RolloutResponse("trace_7", RolloutMetrics(1), trace={"x": object()}), "not JSON"),
    ],
)
async def test_an_answer_that_cannot_be_used_says_why(result, why):
    async with local_api(rollout=lambda _: result) as client:
        code, words = await posted(client, asked(), 500)
    assert code == "rollout_failed"
    assert why in words


async def test_a_rollout_that_takes_too_long_is_given_up():
    never = threading.Event()

    async def waits(_request):
        await asyncio.Event().wait()

    for rollout in (waits, lambda _: never.wait(30)):
        async with local_api(rollout=rollout) as client:
            code, words = await posted(client, asked(safety={"max_time_s": 0.05}), 500)
        assert (code, "longer than 0.05 seconds" in words) == ("rollout_failed", True)
    never.set()


# -- calling the model --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "called"),
    [
        ("http://h/t", "http://h/t/chat/completions"),
        ("http://h/t/", "http://h/t/chat/completions"),
        ("http://h/t?cid=trace_1", "http://h/t/chat/completions?cid=trace_1"),
        ("http://h/t/chat/completions?cid=x", "http://h/t/chat/completions?cid=x"),
    ],
)
def test_the_path_of_a_model_call_is_joined_and_its_query_kept(given, called):
    assert chat_url(given) == called


@pytest.fixture
async def served():
    async with FakeProvider() as provider, whole(whole_settings(provider.base_url)) as ours:
        base = f"{ours.sidecar.url}/api/gepa/v1/{SESSION}"
        yield provider, base


async def in_words(request):
    reply = await request.chat_async(ask("hi", SYSTEM), top_p=0.5)
    return request.scored(1.0, reply.text)


def blocking(request):
    return request.scored(1.0, request.chat(ask("hi", SYSTEM), top_p=0.5).text)


@pytest.mark.parametrize("rollout", [in_words, blocking])
async def test_a_rollout_calls_the_model_through_the_gateway(served, rollout):
    provider, base = served
    policy = {"model": "m", "temperature": 0.2, "inference_url": f"{base}/trace_9?a=b"}
    async with local_api(rollout=rollout) as client:
        answer = await posted(client, asked(policy={"config": policy}))
    assert answer["reward_info"]["details"]["feedback"] == "reply 1 to hi"
    sent = provider.last.json
    assert (sent["model"], sent["temperature"], sent["top_p"]) == ("m", 0.2, 0.5)
    assert provider.last.system == SYSTEM


@pytest.mark.parametrize("rollout", [in_words, blocking])
async def test_a_model_that_fails_fails_the_rollout_in_clear_words(served, rollout):
    provider, base = served
    for policy, why in (
        ({"model": "m", "inference_url": "http://127.0.0.1:1"}, "does not answer"),
        ({"model": "m", "inference_url": f"{base[:-1]}?/trace_9"}, "ApiError"),
        ({"inference_url": base}, "policy.config.model"),
        ({"model": "m"}, "policy.config.inference_url"),
    ):
        async with local_api(rollout=rollout) as client:
            _, words = await posted(client, asked(policy={"config": policy}), 500)
        assert why in words
    assert provider.seen == []


async def test_a_blocking_call_in_an_async_rollout_is_refused():
    async def rollout(request):
        return blocking(request)

    async with local_api(rollout=rollout) as client:
        _, words = await posted(client, asked(), 500)
    assert "await request.chat_async" in words


async def test_an_answer_without_a_message_is_an_error(served):
    provider, base = served

    async def empty(_request, _body):
        return web.json_response({"choices": []})

    provider.script = empty
    policy = {"model": "m", "inference_url": base}
    caught = []

    async def rollout(request):
        try:
            return await in_words(request)
        except ApiError as error:
            caught.append(error)
            return request.scored(0.0)

    async with local_api(rollout=rollout) as client:
        await posted(client, asked(policy={"config": policy}))
    assert "choices[0].message" in str(caught[0])
