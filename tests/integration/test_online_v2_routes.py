"""The later paths of the published API, for GEPA sessions."""

import pytest
from support.api import call, refusal
from support.backends import SESSION, SYSTEM, create_request, proposing
from support.gateway import ask
from support.provider import FakeProvider
from support.whole import whole, whole_settings

V2 = "/api/v2/online/sessions"
V1 = "/api/v1/online/sessions"
REQUEST = {
    **create_request("later"),
    "kind": "gepa_online",
    "technique": "discrete_optimization",
    "system": {"name": "till"},
}


@pytest.fixture
async def provider():
    async with FakeProvider() as provider:
        yield provider


@pytest.fixture
async def ours(provider):
    async with whole(whole_settings(provider.base_url)) as ours:
        yield ours


async def candidate(ours, provider):
    """Have a prompt proposed, and no more after it; its id."""
    proposing(provider)
    for number in range(200):
        await ours.say(f"r{number}")
        await ours.feedback({"rollout_id": f"r{number}", "score": 0, "comment": "bad"})
        found = [c["candidate_id"] for c in (await ours.status())["candidates"]]
        if len(found) > 1:
            await ours.command("pause")
            return found[1]
    raise AssertionError("nothing was proposed")


async def test_a_session_from_create_to_reward(ours):
    created = await call(ours, "POST", V2, REQUEST)
    assert created.status == 200
    url = f"{ours.sidecar.url}/api/gepa/v1/later"
    assert (created.json["session_id"], created.json["kind"]) == ("later", "gepa_online")
    assert created.json["proxy_url"] == created.json["online_url"] == url
    assert created.json["chat_completions_url"] == f"{url}/chat/completions"
    bound = (await call(ours, "GET", f"{V2}/later/prompt?correlation_id=trace_1")).json
    assert bound["online_url"] == f"{url}/trace_1"
    answer = await ours.chat(ask("hi", SYSTEM), path="/api/gepa/v1/later/trace_1")
    assert answer.status == 200
    body = {"rollout_id": "trace_1", "reward_info": {"score": 0.5}}
    assert (await call(ours, "POST", f"{V2}/later/reward", body)).json["reward_count"] == 1
    status = (await call(ours, "GET", f"{V2}/later")).json
    assert (status["rollout_count"], status["reward_count"]) == (1, 1)
    assert status["metadata"] == {"system": {"name": "till"}}


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "mipro_online"},
        {"kind": 7},
        {"kind": None},
        {"system": "till"},
        {"metadata": []},
        {"config_body": {}},
        {"session_id": "a/b"},
    ],
)
async def test_a_session_that_cannot_be_is_refused(ours, changes):
    refusal(await call(ours, "POST", V2, {**REQUEST, **changes}), 400)


async def test_the_kind_is_said_by_the_path_too(ours):
    request = {name: REQUEST[name] for name in ("session_id", "config_body")}
    assert (await call(ours, "POST", V2, request)).status == 200


async def test_a_state_is_patched_in(ours):
    for state, status in (("paused", "paused"), ("running", "started"), ("cancelled", "cancelled")):
        answer = await call(ours, "PATCH", f"{V1}/{SESSION}", {"state": state})
        assert (answer.status, answer.json["status"]) == (200, status)
    refusal(await call(ours, "PATCH", f"{V1}/{SESSION}", {"state": "running"}), 409)


@pytest.mark.parametrize("body", [[], {}, {"state": 7}, {"state": "started"}, {"state": None}])
async def test_a_state_that_is_none_is_refused(ours, body):
    refusal(await call(ours, "PATCH", f"{V1}/{SESSION}", body), 400)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{V2}/nobody"),
        ("GET", f"{V2}/nobody/prompt"),
        ("POST", f"{V2}/nobody/reward"),
        ("PATCH", f"{V1}/nobody"),
        ("GET", "/api/v1/systems/nobody/candidates"),
        ("GET", "/api/v1/candidates/cand_nobody"),
        ("GET", "/api/v1/candidates/cand_nobody?system_id=shop"),
    ],
)
async def test_what_is_unknown_is_not_found(ours, method, path):
    body = {"rollout_id": "r", "reward_info": {"score": 1}, "state": "paused"}
    assert "nobody" in refusal(await call(ours, method, path, body), 404)


# -- candidates ---------------------------------------------------------------------------------

LIST = f"/api/v1/systems/{SESSION}/candidates"


async def ids(ours, query=""):
    answer = await call(ours, "GET", f"{LIST}?{query}")
    assert answer.status == 200
    return [item["id"] for item in answer.json["items"]], answer.json["next_cursor"]


async def test_candidates_are_listed_page_by_page(ours, provider):
    new = await candidate(ours, provider)
    everything, cursor = await ids(ours)
    assert (everything[:2], cursor) == (["baseline", new], None)
    seen, cursor = await ids(ours, "limit=1")
    assert (seen, cursor) == (["baseline"], "baseline")
    while cursor is not None:
        page, cursor = await ids(ours, f"limit=1&cursor={cursor}")
        seen += page
    assert seen == everything


async def test_candidates_are_chosen_by_what_they_are_like(ours, provider):
    await candidate(ours, provider)
    session = await ours.status()
    active = [c["candidate_id"] for c in session["candidates"] if c["role"] != "retired"]
    assert (await ids(ours, "status=active"))[0] == active
    for query in (f"job_id={session['job_id']}", "algorithm=gepa", "mode=online", "include=text"):
        assert (await ids(ours, query))[0][0] == "baseline"
    for query in ("job_id=pl_other", "algorithm=mipro", "mode=offline"):
        assert await ids(ours, query) == ([], None)


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "cursor=no", "status=x", "sort=reward"])
async def test_a_page_that_cannot_be_is_refused(ours, query):
    refusal(await call(ours, "GET", f"{LIST}?{query}"), 400)


async def test_a_candidate_can_be_looked_at_by_itself(ours, provider):
    new = await candidate(ours, provider)
    await call(ours, "POST", V2, REQUEST)
    found = (await call(ours, "GET", f"/api/v1/candidates/{new}")).json
    assert (found["id"], found["system_id"], found["parent_id"]) == (new, SESSION, "baseline")
    assert "Mind point" in found["text"]
    assert found["status"] in {"active", "archived"}


async def test_a_candidate_of_a_system_that_is_none_is_not_found(ours):
    refusal(await call(ours, "GET", "/api/v1/candidates/baseline?system_id=nobody"), 404)


async def test_a_candidate_of_several_systems_must_be_told_apart(ours):
    alone = (await call(ours, "GET", "/api/v1/candidates/baseline")).json
    assert (alone["system_id"], alone["text"], alone["status"]) == (SESSION, SYSTEM, "active")
    await call(ours, "POST", V2, REQUEST)
    assert "system_id" in refusal(await call(ours, "GET", "/api/v1/candidates/baseline"), 409)
    one = await call(ours, "GET", "/api/v1/candidates/baseline?system_id=later")
    assert one.json["system_id"] == "later"
