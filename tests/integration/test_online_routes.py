"""The later paths of the published API, for the sessions of either algorithm."""

import pytest
from support.api import call, refusal
from support.backends import SESSION, SYSTEM, create_request, proposing
from support.gateway import ask
from support.provider import FakeProvider
from support.whole import whole, whole_settings

PATHS = {"mipro": "/api/v1/online/sessions", "gepa": "/api/v2/online/sessions"}
STEERED = "/api/v1/online/sessions"
"""For either algorithm."""


@pytest.fixture(params=sorted(PATHS))
def algorithm(request):
    return request.param


@pytest.fixture
def base(algorithm):
    return PATHS[algorithm]


def request_of(algorithm, **changes):
    return {
        **create_request("later", algorithm),
        "kind": f"{algorithm}_online",
        "technique": "discrete_optimization",
        "system": {"name": "till"},
        **changes,
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


async def test_a_session_from_create_to_reward(ours, base, algorithm):
    created = await call(ours, "POST", base, request_of(algorithm))
    assert created.status == 200
    url = f"{ours.sidecar.url}/api/{algorithm}/v1/later"
    assert (created.json["session_id"], created.json["kind"]) == ("later", f"{algorithm}_online")
    assert created.json["proxy_url"] == created.json["online_url"] == url
    assert created.json["chat_completions_url"] == f"{url}/chat/completions"
    bound = (await call(ours, "GET", f"{base}/later/prompt?correlation_id=trace_1")).json
    assert bound["online_url"] == f"{url}/trace_1"
    answer = await ours.chat(ask("hi", SYSTEM), path=f"/api/{algorithm}/v1/later/trace_1")
    assert answer.status == 200
    body = {"rollout_id": "trace_1", "reward_info": {"score": 0.5}}
    assert (await call(ours, "POST", f"{base}/later/reward", body)).json["reward_count"] == 1
    status = (await call(ours, "GET", f"{base}/later")).json
    assert (status["rollout_count"], status["reward_count"]) == (1, 1)
    assert (status["algorithm"], status["metadata"]) == (algorithm, {"system": {"name": "till"}})


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "offline"},
        {"kind": 7},
        {"kind": None},
        {"system": "till"},
        {"metadata": []},
        {"config_body": {}},
        {"session_id": "a/b"},
    ],
)
async def test_a_session_that_cannot_be_is_refused(ours, base, algorithm, changes):
    refusal(await call(ours, "POST", base, request_of(algorithm, **changes)), 400)


async def test_a_session_of_the_other_algorithm_is_not_made_here(ours, base, algorithm):
    [other] = PATHS.keys() - {algorithm}
    own = {"kind": f"{algorithm}_online"}
    for changes in ({}, own):  # by its kind, and by its config
        refusal(await call(ours, "POST", base, request_of(other, **changes)), 400)
    await call(ours, "POST", PATHS[other], request_of(other))
    resumed = {"session_id": "later", **own}
    assert other in refusal(await call(ours, "POST", base, resumed), 400)


async def test_the_kind_is_said_by_the_path_too(ours, base, algorithm):
    assert (await call(ours, "POST", base, create_request("later", algorithm))).status == 200


async def test_a_session_of_the_other_algorithm_is_not_here_and_the_answer_says_where(
    ours, base, algorithm
):
    await call(ours, "POST", base, request_of(algorithm))
    [other] = [path for path in PATHS.values() if path != base]
    body = {"rollout_id": "r", "reward_info": {"score": 1}}
    for method, path in (("GET", ""), ("GET", "/prompt"), ("POST", "/reward")):
        answer = await call(ours, method, f"{other}/later{path}", body)
        assert f"{base}/later" in refusal(answer, 404)


async def test_a_state_is_patched_in(ours, base, algorithm):
    await call(ours, "POST", base, request_of(algorithm))
    for state, status in (("paused", "paused"), ("running", "started"), ("cancelled", "cancelled")):
        answer = await call(ours, "PATCH", f"{STEERED}/later", {"state": state})
        assert (answer.status, answer.json["status"]) == (200, status)
    refusal(await call(ours, "PATCH", f"{STEERED}/later", {"state": "running"}), 409)


@pytest.mark.parametrize("body", [[], {}, {"state": 7}, {"state": "started"}, {"state": None}])
async def test_a_state_that_is_none_is_refused(ours, body):
    refusal(await call(ours, "PATCH", f"{STEERED}/{SESSION}", body), 400)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "BASE/nobody"),
        ("GET", "BASE/nobody/prompt"),
        ("POST", "BASE/nobody/reward"),
        ("PATCH", f"{STEERED}/nobody"),
        ("GET", "/api/v1/systems/nobody/candidates"),
        ("GET", "/api/v1/candidates/cand_nobody"),
        ("GET", "/api/v1/candidates/cand_nobody?system_id=shop"),
    ],
)
async def test_what_is_unknown_is_not_found(ours, base, method, path):
    body = {"rollout_id": "r", "reward_info": {"score": 1}, "state": "paused"}
    answer = await call(ours, method, path.replace("BASE", base), body)
    assert "nobody" in refusal(answer, 404)


async def test_all_of_it_needs_a_key(provider, base):
    server = {"port": 0, "drain_seconds": 0.1, "api_keys": ("the-key",)}
    async with whole(whole_settings(provider.base_url, server=server)) as ours:
        one = f"{base}/{SESSION}"
        asked = [("POST", base), ("GET", one), ("GET", f"{one}/prompt"), ("POST", f"{one}/reward")]
        for method, path in (*asked, ("PATCH", f"{STEERED}/{SESSION}")):
            refusal(await call(ours, method, path, {}), 401)


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
    await call(ours, "POST", PATHS["gepa"], request_of("gepa"))
    found = (await call(ours, "GET", f"/api/v1/candidates/{new}")).json
    assert (found["id"], found["system_id"], found["parent_id"]) == (new, SESSION, "baseline")
    assert "Mind point" in found["text"]
    assert found["status"] in {"active", "archived"}


async def test_a_candidate_of_a_system_that_is_none_is_not_found(ours):
    refusal(await call(ours, "GET", "/api/v1/candidates/baseline?system_id=nobody"), 404)


async def test_a_candidate_of_several_systems_must_be_told_apart(ours):
    alone = (await call(ours, "GET", "/api/v1/candidates/baseline")).json
    assert (alone["system_id"], alone["text"], alone["status"]) == (SESSION, SYSTEM, "active")
    await call(ours, "POST", PATHS["gepa"], request_of("gepa"))
    assert "system_id" in refusal(await call(ours, "GET", "/api/v1/candidates/baseline"), 409)
    one = await call(ours, "GET", "/api/v1/candidates/baseline?system_id=later")
    assert one.json["system_id"] == "later"
