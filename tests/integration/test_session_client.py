"""The session client against the whole sidecar: both methods, every form, and what the guide to it
says."""

import asyncio
import re
from pathlib import Path

import pytest
from support.api import KEY
from support.backends import SYSTEM
from support.gateway import ask
from support.provider import FakeProvider
from support.session_client import CLASSES, FORMS, VARIABLES
from support.whole import whole, whole_settings

from sidecar.client import ApiError

GUIDE = (Path(__file__).parents[2] / "docs/client.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def ours():
    server = {"port": 0, "drain_seconds": 0.1, "api_keys": (KEY,)}
    async with (
        FakeProvider() as provider,
        whole(whole_settings(provider.base_url, server=server)) as ours,
    ):
        yield ours


@pytest.fixture(params=CLASSES)
def algorithm(request):
    return request.param


@pytest.fixture(params=FORMS)
def call(request):
    return FORMS[request.param]


def config(algorithm):
    prompt = {"messages": [{"role": "system", "pattern": SYSTEM}]}
    mode = {"mode": "online"}
    section = {"algorithm": algorithm, "initial_prompt": prompt, algorithm: mode}
    return {"prompt_learning": section}


@pytest.fixture
def where(ours):
    return {"backend_url": ours.sidecar.url, "api_key": KEY}


@pytest.fixture
async def session(algorithm, call, where):
    return await call(CLASSES[algorithm], "create", config=config(algorithm), **where)


async def rollout(ours, algorithm, url):
    """One call at the URL: which rollout and candidate it was."""
    body = {"model": "m", "messages": ask("hi", SYSTEM)}
    async with ours.http.post(url, json=body) as answer:
        assert answer.status == 200
        names = ("rollout_id", "candidate_id")
        return {n: answer.headers[f"x-{algorithm}-{n.replace('_', '-')}"] for n in names}


async def test_a_session_runs_its_course(ours, algorithm, session, call):
    served = await rollout(ours, algorithm, session.chat_completions_url)
    counted = await call(session, "update_reward", reward_info={"score": 1.0}, **served)
    assert (counted["reward_count"], counted["candidate_id"]) == (1, served["candidate_id"])
    status = await call(session, "status")
    assert (status["session_id"], status["status"]) == (session.session_id, "started")
    assert (status["rollout_count"], status["reward_count"]) == (1, 1)
    for action, word in (("pause", "paused"), ("resume", "started"), ("cancel", "cancelled")):
        assert (await call(session, action))["status"] == word
        assert (await call(session, "get_status"))["status"] == word
    with pytest.raises(ApiError) as raised:
        await call(session, "resume")
    assert raised.value.status == 409


async def test_stop_completes(ours, algorithm, session, call):
    served = await rollout(ours, algorithm, session.chat_completions_url)
    counted = await call(session, "update_reward", reward_info={"score": 1}, stop=True, **served)
    assert counted["status"] == "completed"


async def test_a_conversation_has_its_own_url_and_needs_no_rollout_id(
    ours, algorithm, session, call
):
    urls = await call(session, "get_prompt_urls", correlation_id="trace_7")
    assert urls["online_url"] == f"{session.online_url}/trace_7"
    served = await rollout(ours, algorithm, urls["chat_completions_url"])
    assert served["rollout_id"] == "trace_7"
    session.correlation_id = "trace_7"
    assert await call(session, "get_prompt_urls") == urls
    counted = await call(session, "update_reward", reward_info={"outcome_reward": 0.5})
    assert (counted["rollout_id"], counted["reward_count"]) == ("trace_7", 1)


async def test_a_session_is_found_again_by_its_id(algorithm, session, call, where):
    kind = CLASSES[algorithm]
    again = kind(session.session_id, **where)
    assert (await call(again, "status"))["session_id"] == session.session_id
    url = await call(kind, "get_online_url", session.session_id, **where)
    assert url == session.online_url == session.proxy_url
    same = await call(
        kind, "create", config_body=config(algorithm), session_id=session.session_id, **where
    )
    assert (same.session_id, same.online_url) == (session.session_id, url)


async def test_the_sidecars_refusals_are_errors_in_its_words(algorithm, call, where):
    kind = CLASSES[algorithm]
    with pytest.raises(ApiError, match="nobody") as raised:
        await call(kind("nobody", **where), "status")
    assert raised.value.status == 404
    assert raised.value.detail == str(raised.value)
    with pytest.raises(ApiError) as raised:
        await call(kind("nobody", **where | {"api_key": "wrong"}), "status")
    assert raised.value.status == 401
    other = next(name for name in CLASSES if name != algorithm)
    with pytest.raises(ApiError, match=f"algorithm '{other}'") as raised:
        await call(kind, "create", config=config(other), **where)
    assert raised.value.status == 400
    with pytest.raises(ApiError, match="config_body") as raised:
        await call(kind, "create", **where)
    assert raised.value.status == 400


async def test_overrides_reach_into_the_config(algorithm, call, where):
    overrides = {f"prompt_learning.{algorithm}.mode": "offline"}
    with pytest.raises(ApiError, match="offline"):
        await call(
            CLASSES[algorithm], "create", config=config(algorithm), overrides=overrides, **where
        )


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


async def test_the_guides_example_does_what_it_says(ours, where, monkeypatch, capsys):
    monkeypatch.setenv("SIDECAR_URL", where["backend_url"])
    monkeypatch.setenv("SIDECAR_KEY", KEY)
    await asyncio.to_thread(Path("support.toml").write_text, blocks("toml")[0], "utf-8")
    await asyncio.to_thread(exec, compile(blocks("python")[0], "docs/client.md", "exec"), {})
    assert capsys.readouterr().out == "started 1 baseline\n"
    assert "This prints `started 1 baseline`." in GUIDE
