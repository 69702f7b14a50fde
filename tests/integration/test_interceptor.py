"""The addresses that task apps get for their model calls."""

import json

import pytest
from support.gateway import Answer, ask, until
from support.provider import FakeProvider
from support.rollouts import POLICY_JOB, bench
from support.task_app import BASELINE

from sidecar.core.job import JobKind, JobRecord
from sidecar.core.prompt import Demo, Pattern, Wildcard
from sidecar.jobs.base import Prompt

NEW = Prompt("Name the colour, as one word.", (Demo("r1", "item 1", "red"),))


async def post(at, url, messages, headers=None, **fields):
    body = {"model": "gpt-4.1-mini", "messages": messages, **fields}
    async with at.http.post(url, json=body, headers=headers or {}) as answer:
        return Answer(answer.status, dict(answer.headers), await answer.read())


def on_trial(at, prompt=NEW, baseline=BASELINE, record=POLICY_JOB):
    return at.trials.trial(record, Pattern.parse(baseline), prompt)


def sent(at):
    return at.provider.last.json["messages"]


async def test_the_prompt_on_trial_takes_the_place_of_the_baseline():
    async with bench() as at:
        with on_trial(at) as trial, at.trials.rollout(trial) as (correlation, url):
            answer = await post(at, url + "/chat/completions", ask("item 7", BASELINE))
            heard = await at.trials.heard(correlation)
    assert answer.status == 200
    assert [(m["role"], m["content"]) for m in sent(at)] == [
        ("system", NEW.text),
        ("user", "item 1"),
        ("assistant", "red"),
        ("user", "item 7"),
    ]
    assert (heard.calls, heard.matched, heard.tokens) == (1, 1, 1100)
    assert heard.turns[0].request[-1] == ("user", "item 7")
    assert heard.turns[0].reply == "no"


async def test_every_published_form_of_the_address_leads_to_the_same_rollout():
    async with bench() as at:
        with on_trial(at) as trial, at.trials.rollout(trial) as (correlation, url):
            short = url.removesuffix("/" + correlation)
            for form in (
                f"{url}/chat/completions",
                f"{url}/v1/chat/completions",
                f"{short}/chat/completions?cid={correlation}",
                f"{short}/v1/chat/completions?a=1&cid={correlation}&b=2",
            ):
                answer = await post(at, form, ask("x", BASELINE))
                assert answer.correlation == correlation
            heard = await at.trials.heard(correlation)
    assert heard.matched == 4
    assert [seen.target for seen in at.provider.seen[2:]] == [
        "/v1/chat/completions",
        "/v1/chat/completions?a=1&b=2",
    ]


async def test_no_key_is_asked_for_and_none_that_comes_in_goes_on():
    async with bench(provider={"api_key": "sk-ours"}, server={"require_proxy_key": False}) as at:
        with on_trial(at) as trial, at.trials.rollout(trial) as (_, url):
            theirs = {"Authorization": "Bearer sk-theirs", "X-API-Key": "sk-theirs"}
            for headers in ({}, theirs):
                answer = await post(at, url + "/chat/completions", ask("x", BASELINE), headers)
                assert answer.status == 200
                assert at.provider.last.header("Authorization") == "Bearer sk-ours"
                assert at.provider.last.header("X-API-Key") is None


async def test_a_call_that_does_not_hold_the_prompt_passes_as_it_is_and_is_noted():
    async with bench() as at:
        with on_trial(at) as trial, at.trials.rollout(trial) as (correlation, url):
            answer = await post(at, url + "/chat/completions", ask("x", "You are a judge."))
            heard = await at.trials.heard(correlation)
    assert answer.headers["x-sidecar-mode"] == "passthrough"
    assert sent(at) == ask("x", "You are a judge.")
    assert (heard.calls, heard.matched, heard.tokens) == (1, 0, 1100)


async def test_a_task_app_that_was_told_the_candidate_may_send_that():
    async with bench() as at:
        with on_trial(at) as trial, at.trials.rollout(trial) as (correlation, url):
            await post(at, url + "/chat/completions", ask("item 7", NEW.text))
            heard = await at.trials.heard(correlation)
    assert [m["role"] for m in sent(at)] == ["system", "user", "assistant", "user"]
    assert heard.matched == 1


async def test_what_the_task_app_fills_in_is_carried_over():
    pattern = Pattern.parse("Colours: {colours}.", (Wildcard("colours"),))
    async with bench() as at:
        prompt = Prompt("Choose of {colours}, one word.")
        with (
            at.trials.trial(POLICY_JOB, pattern, prompt) as trial,
            at.trials.rollout(trial) as (_, url),
        ):
            await post(at, url + "/chat/completions", ask("x", "Colours: red, blue."))
    assert sent(at)[0]["content"] == "Choose of red, blue, one word."


@pytest.mark.parametrize("system", ["Anything {at} all", None])
async def test_without_a_prompt_calls_go_on_byte_for_byte(system):
    record = JobRecord("eval-1", JobKind.EVAL, "", {}, 1.0)
    body = (
        b'{ "model":"m", "odd":  1.50, "messages": ' + json.dumps(ask("x", system)).encode() + b"}"
    )
    async with bench() as at:
        with (
            at.trials.trial(record, None, None) as trial,
            at.trials.rollout(trial) as (correlation, url),
        ):
            async with at.http.post(url + "/chat/completions", data=body) as answer:
                assert answer.status == 200
            heard = await at.trials.heard(correlation)
    assert at.provider.last.body == body
    assert correlation.startswith("eval_")
    assert (heard.matched, heard.usage) == (1, {"m": (1000, 100)})


async def test_a_stream_is_passed_on_and_its_usage_noted():
    async with bench() as at:
        at.provider.script = FakeProvider.completions.__get__(at.provider)
        with on_trial(at) as trial, at.trials.rollout(trial) as (correlation, url):
            answer = await post(at, url + "/chat/completions", ask("x", BASELINE), stream=True)
            heard = await at.trials.heard(correlation)
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert (heard.tokens, heard.turns[0].reply) == (10, "reply 1 to x")


async def test_a_rollouts_calls_do_not_show_in_the_numbers_of_sessions():
    async with bench() as at:
        with on_trial(at) as trial, at.trials.rollout(trial) as (_, url):
            await post(at, url + "/chat/completions", ask("x", BASELINE))
        await until(lambda: sum(at.requests().values()) == 1)
    assert at.requests() == {("trial", "optimized", "ok"): 1.0}
    assert at.turns.turns == []
    assert [s for m in at.metrics.turns.collect() for s in m.samples] == []


async def test_a_trial_that_is_over_answers_404_as_models_do():
    async with bench() as at:
        with on_trial(at) as trial, at.trials.rollout(trial) as (_, url):
            pass
        answer = await post(at, url + "/chat/completions", ask("x", BASELINE))
    assert answer.status == 404
    assert "trial" in answer.json["error"]["message"]
    assert at.provider.seen == []


async def test_a_call_with_an_id_of_its_own_is_served():
    async with bench() as at:
        with on_trial(at) as trial, at.trials.rollout(trial) as (correlation, url):
            own = url.replace(correlation, "my-own-id")
            answer = await post(at, own + "/chat/completions", ask("x", BASELINE))
            heard = await at.trials.heard(correlation)
    assert (answer.status, answer.correlation, heard.calls) == (200, "my-own-id", 0)
    assert sent(at)[0]["content"] == NEW.text


@pytest.mark.parametrize(
    ("tail", "body", "status"),
    [
        ("/bad%20id/chat/completions", b'{"messages": []}', 400),
        ("/trace_1/chat/completions", b"not json", 400),
        ("/trace_1/chat/completions", b'{"messages": "x"}', 400),
        ("/chat/completions?cid=" + "x" * 200, b'{"messages": [{"role": "user"}]}', 400),
    ],
)
async def test_what_cannot_be_read_is_refused_and_never_a_500(tail, body, status):
    async with bench() as at:
        with on_trial(at) as trial:
            base = at.trials.url(trial.trial_id, "").rstrip("/")
            async with at.http.post(base + tail, data=body) as answer:
                assert answer.status == status
                assert (await answer.json())["error"]["message"]


async def test_a_body_that_cannot_be_written_again_is_refused():
    deep: object = "x"
    for _ in range(300):
        deep = [deep]
    async with bench() as at:
        with on_trial(at) as trial, at.trials.rollout(trial) as (_, url):
            answer = await post(at, url + "/chat/completions", ask("x", BASELINE), extra=deep)
    assert (answer.status, "nested" in answer.json["error"]["message"]) == (400, True)


async def test_ids_cannot_be_guessed_and_begin_as_the_sdk_expects():
    async with bench() as at:
        with (
            on_trial(at) as one,
            on_trial(at) as two,
            at.trials.rollout(one) as (first, url),
            at.trials.rollout(one) as (second, _),
        ):
            pass
    assert one.trial_id != two.trial_id
    assert first != second
    assert first.startswith("trace_")
    assert len(first) == len("trace_") + 32
    assert url == f"{at.url}/api/interceptor/v1/{one.trial_id}/{first}"
