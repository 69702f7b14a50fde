"""Jobs in online mode: sessions under another name."""

import pytest
from support.api import KEY, call, refusal
from support.backends import create_request
from support.provider import FakeProvider
from support.whole import whole, whole_settings

JOBS = "/api/prompt-learning/online/jobs"


@pytest.fixture(params=["gepa", "mipro"])
def algorithm(request):
    return request.param


@pytest.fixture
async def ours():
    async with FakeProvider() as provider:
        server = {
            "port": 0,
            "drain_seconds": 0.1,
            "api_keys": (KEY,),
            "public_url": "https://prompts.example.com/",
        }
        async with whole(whole_settings(provider.base_url, server=server)) as ours:
            yield ours


def config(algorithm, **keys):
    return create_request(None, algorithm, **{"mode": "online", **keys})["config_body"]


async def post(ours, body, **headers):
    return await call(ours, "POST", JOBS, body, **(headers or {"X_API_Key": KEY}))


async def get(ours, job_id, query=""):
    return await call(ours, "GET", f"{JOBS}/{job_id}?{query}", X_API_Key=KEY)


async def created(ours, algorithm, **fields):
    answer = await post(ours, {"config_body": config(algorithm), **fields})
    assert answer.status == 200, answer.body
    return answer.json


async def test_a_job_says_which_session_it_is_and_where_its_calls_go(ours, algorithm):
    job = await created(ours, algorithm, metadata={"team": "till"})
    assert (job["algorithm"], job["mode"], job["status"]) == (algorithm, "online", "running")
    assert isinstance(job["best_score"], float)
    session = job["session_id"]
    assert job["metadata"] == {
        "team": "till",
        "algorithm": algorithm,
        f"{algorithm}_system_id": session,
        f"{algorithm}_proxy_url": f"https://prompts.example.com/api/{algorithm}/v1/{session}",
    }
    assert (await get(ours, job["job_id"])).json == job


async def test_what_a_job_says_of_its_session_cannot_be_overwritten(ours):
    job = await created(ours, "mipro", metadata={"mipro_system_id": "x", "mipro_proxy_url": "y"})
    assert job["metadata"]["mipro_system_id"] == job["session_id"]
    assert job["metadata"]["mipro_proxy_url"].endswith(job["session_id"])


async def test_the_config_may_be_the_body_itself(ours, algorithm):
    answer = await post(ours, config(algorithm))
    assert (answer.status, answer.json["algorithm"]) == (200, algorithm)
    renamed = {"policy_optimization": config(algorithm)["prompt_learning"]}
    assert (await post(ours, renamed)).status == 200


async def test_a_demo_may_name_the_system_to_go_on_with(ours):
    first = await post(ours, {"config_body": config("mipro", system_id="mine", system_name="M")})
    again = await post(ours, {"config_body": config("mipro", system_id="mine")})
    assert first.json["session_id"] == again.json["session_id"] == "mine"
    assert first.json["job_id"] == again.json["job_id"]


async def test_every_job_is_a_session_of_its_own(ours, algorithm):
    assert (await created(ours, algorithm))["job_id"] != (await created(ours, algorithm))["job_id"]


async def test_a_session_made_elsewhere_is_found_by_its_job_id(ours, algorithm):
    path = f"/api/prompt-learning/online/{algorithm}/sessions"
    request = create_request("till", algorithm)
    job_id = (await call(ours, "POST", path, request, X_API_Key=KEY)).json["job_id"]
    assert (await get(ours, job_id)).json["metadata"][f"{algorithm}_system_id"] == "till"


async def test_a_job_shows_what_it_is_asked_for(ours, algorithm):
    job = await created(ours, algorithm)
    await ours.sidecar.backend.command(job["session_id"], "pause", {})
    short = (await get(ours, job["job_id"], "include_metadata=False")).json
    assert not {"metadata", "events", "snapshot", "candidates"} & short.keys()
    full = (await get(ours, job["job_id"], "include_events=true&include_snapshot=1")).json
    assert [event["event_type"] for event in full["events"]] == [f"{algorithm}.pause"]
    assert full["snapshot"]["system_id"] == job["session_id"]
    assert set(full["snapshot"]["candidates"]) == {"baseline"}


@pytest.mark.parametrize(
    ("actions", "status"),
    [
        (["pause"], "paused"),
        (["pause", "resume"], "running"),
        (["complete"], "succeeded"),
        (["cancel"], "cancelled"),
    ],
)
async def test_the_status_is_in_the_words_of_jobs(ours, actions, status):
    job = await created(ours, "mipro")
    for action in actions:
        await ours.sidecar.backend.command(job["session_id"], action, {})
    assert (await get(ours, job["job_id"])).json["status"] == status


@pytest.mark.parametrize("mode", [{"mode": "offline"}, {"mode": None}, {}])
async def test_a_job_that_is_not_online_makes_no_session(ours, algorithm, mode):
    before = await ours.sidecar.backend.sessions()
    config = create_request(None, algorithm, **mode)["config_body"]
    said = refusal(await post(ours, {"algorithm": algorithm, "config_body": config}), 400)
    assert "task app's address" in said
    assert await ours.sidecar.backend.sessions() == before


@pytest.mark.parametrize("mode", [7, "", "live", ["online"]])
async def test_a_mode_that_is_none_is_refused(ours, algorithm, mode):
    body = {"config_body": create_request(None, algorithm, mode=mode)["config_body"]}
    assert "mode" in refusal(await post(ours, body), 400)


@pytest.mark.parametrize("path", ["/api/policy-optimization/online/jobs", "/api/jobs"])
async def test_an_online_job_is_there_under_the_other_names_too(ours, algorithm, path):
    job = await created(ours, algorithm)
    found = await call(ours, "GET", f"{path}/{job['job_id']}", X_API_Key=KEY)
    assert found.json == job


@pytest.mark.parametrize(
    ("action", "status"), [("pause", "paused"), ("cancel", "cancelled"), ("resume", "running")]
)
async def test_an_online_job_is_steered_like_any_other(ours, algorithm, action, status):
    job = await created(ours, algorithm)
    if action == "resume":
        await ours.sidecar.backend.command(job["session_id"], "pause", {})
    path = f"/api/policy-optimization/online/jobs/{job['job_id']}/{action}"
    answer = await call(ours, "POST", path, {}, X_API_Key=KEY)
    assert (answer.status, answer.json["status"]) == (200, "succeeded")
    assert (await get(ours, job["job_id"])).json["status"] == status


async def test_the_events_of_an_online_job_are_typed_like_those_of_any_other(ours, algorithm):
    job = await created(ours, algorithm)
    await ours.sidecar.backend.command(job["session_id"], "pause", {})
    path = f"{JOBS}/{job['job_id']}/events"
    first = (await call(ours, "GET", path + "?since_seq=0&limit=10000", X_API_Key=KEY)).json
    kinds = [event["type"] for event in first["events"]]
    assert kinds
    assert all(kind.startswith(f"learning.policy.{algorithm}.") for kind in kinds)
    assert first["next_seq"] == first["events"][-1]["seq"]
    later = await call(ours, "GET", f"{path}?since_seq={first['next_seq']}", X_API_Key=KEY)
    assert later.json == {"events": [], "next_seq": first["next_seq"]}


@pytest.mark.parametrize(
    "body",
    [
        [],
        b"",
        b"{",
        {},
        {"algorithm": "mipro"},
        {"algorithm": 7, "config_body": config("mipro")},
        {"algorithm": "none", "config_body": config("mipro")},
        {"algorithm": "gepa", "config_body": config("mipro")},
        {"algorithm": "mipro", "config_body": config("gepa")},
        {"config_body": None},
        {"config_body": "x.toml"},
        {"config_body": {}},
        {"config_body": {"prompt_learning": []}},
        {"config_body": {"prompt_learning": {"algorithm": ["mipro"]}}},
        {"config_body": {"prompt_learning": {"algorithm": "mipro", "mipro": "online"}}},
        {"config_body": {"prompt_learning": {"algorithm": "mipro", "mipro": {"mode": "online"}}}},
        {"config_body": config("mipro", surprise=1)},
        {"config_body": config("mipro"), "overrides": []},
        {"config_body": config("mipro"), "overrides": {"prompt_learning.mipro.mode": "offline"}},
        {"config_body": config("mipro"), "metadata": []},
        {"config_body": config("mipro"), "auto_start": False},
    ],
)
async def test_a_job_that_cannot_be_is_refused_and_leaves_nothing(ours, body):
    before = await ours.sidecar.backend.sessions()
    refusal(await post(ours, body), 400)
    assert await ours.sidecar.backend.sessions() == before


@pytest.mark.parametrize("query", ["include_events=yes", "include_snapshot=", "include_metadata=2"])
async def test_a_flag_that_is_none_is_refused(ours, query):
    job = await created(ours, "mipro")
    refusal(await get(ours, job["job_id"], query), 400)


async def test_an_unknown_job_is_not_found(ours):
    assert "pl_nobody" in refusal(await get(ours, "pl_nobody"), 404)


async def test_all_of_it_needs_a_key(ours):
    refusal(await post(ours, {"config_body": config("mipro")}, X_API_Key="theirs"), 401)
    refusal(await call(ours, "GET", f"{JOBS}/pl_1"), 401)
