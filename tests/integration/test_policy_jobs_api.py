"""The published API of policy jobs, path by path (wire contract, section 8)."""

import asyncio

import pytest
from support.api import KEY, refusal
from support.job_api import EVAL, POLICY, gepa, serving

from sidecar.jobs.base import JobFailed
from sidecar.jobs.keys import proposer_key, task_app_key

LEGACY = "/api/prompt-learning/online/jobs"
NAMES = (POLICY, LEGACY, "/api/jobs", "/api/learning/jobs", "/api/orchestration/jobs")
PROMPT = {"messages": [{"role": "system", "pattern": "Name the colour, \ud83d nothing else."}]}


def proposed_at(url):
    """A configuration whose prompts are to be written there."""
    section = gepa()
    section["gepa"]["proposer"] = {"model": "m", "inference_url": url}
    return section


class Program:
    """Finds a prompt; waits for `go` before it ends."""

    def __init__(self):
        self.go = asyncio.Event()
        self.fail = None

    async def __call__(self, record, log, control):
        best = {"best_score": 0.5, "best_prompt": PROMPT}
        await log.add("candidate.new_best", "Better", best, key="best")
        evaluated = {"rank": 1, "train_accuracy": 0.4, "val_accuracy": 0.5}
        await log.add("candidate.evaluated", "Evaluated", evaluated, key="evaluated")
        done = {"generation": 1, "best_reward": 0.5}
        await log.add("generation.completed", "Generation 1", done, key="generation:1")
        await log.add("progress", "Half way", {"iteration": 1, "rollouts": 7}, key="progress:1")
        await self.go.wait()
        if self.fail:
            raise JobFailed(self.fail)
        return {"best_score": 0.75, "best_prompt": PROMPT, "optimized_candidates": [{"rank": 1}]}


@pytest.fixture
def program():
    return Program()


@pytest.fixture
async def api(program):
    async with serving(program) as api:
        yield api


@pytest.mark.parametrize("path", [POLICY, LEGACY, "/api/jobs/gepa"])
@pytest.mark.parametrize("root", ["prompt_learning", "policy_optimization"])
async def test_a_job_is_submitted_in_every_published_form(api, path, root):
    config = {root: gepa()}
    wrapped = {"algorithm": "gepa", "config_body": config, "overrides": {}, "auto_start": True}
    wrapped["metadata"] = {"backend_base_url": "http://us/api"}
    for body in (config, wrapped):
        answer = await api.post(path, body)
        assert answer.status == 200, answer.body
        job = answer.json
        assert job["job_id"].startswith("pl_")
        assert job["status"] in {"pending", "running"}
        assert (job["algorithm"], job["mode"], job["error"]) == ("gepa", "offline", None)
    assert job["metadata"] == {"backend_base_url": "http://us/api", "algorithm": "gepa"}


@pytest.mark.parametrize("path", NAMES)
async def test_a_job_is_there_under_every_name(api, program, path):
    job_id = await api.submitted()
    program.go.set()
    done = await api.reached(f"{POLICY}/{job_id}", "succeeded")
    assert await api.status(f"{path}/{job_id}?_t=17") == done
    for what in ("events", "metrics?limit=200", "results", "workflow-state", "artifacts"):
        answer = await api.get(f"{path}/{job_id}/{what}")
        assert answer.status == 200, answer.body
    listed = (await api.get(path)).json["jobs"]
    assert [(job["job_id"], job["status"]) for job in listed] == [(job_id, "succeeded")]


async def test_a_running_job_shows_the_best_so_far_and_no_message(api):
    job_id = await api.submitted()
    await api.happened(f"{POLICY}/{job_id}", "progress")
    job = await api.status(f"{POLICY}/{job_id}")
    assert (job["status"], job["best_score"], job["best_reward"]) == ("running", 0.5, 0.5)
    assert job["best_prompt"] == job["best_candidate"] == PROMPT
    assert (job["iteration"], job["progress"]["rollouts"]) == (1, 7)
    assert (job["completed_at"], job["error"]) == (None, None)
    assert "message" not in job


async def test_a_job_that_has_succeeded_shows_what_it_found(api, program):
    job_id = await api.submitted()
    program.go.set()
    job = await api.reached(f"{POLICY}/{job_id}", "succeeded")
    assert (job["best_score"], job["best_reward"]) == (0.75, 0.75)
    assert job["best_prompt"] == PROMPT
    assert job["optimized_candidates"] == [{"rank": 1}]
    assert job["created_at"] <= job["started_at"] <= job["completed_at"]
    results = (await api.get(f"{POLICY}/{job_id}/results")).json
    assert results["history"] == [{"generation": 1, "best_reward": 0.5}]
    assert results["config"]["task_app_url"] == "http://127.0.0.1:9"
    assert results["best_score"] == 0.75


async def test_a_job_that_has_failed_says_why_and_keeps_the_best(api, program):
    program.fail = "the task app does not answer: start it"
    program.go.set()
    job_id = await api.submitted()
    job = await api.reached(f"{POLICY}/{job_id}", "failed")
    assert job["error"] == "the task app does not answer: start it"
    assert job["best_score"] == 0.5
    last = (await api.events(f"{POLICY}/{job_id}"))[-1]
    assert (last["type"], last["level"]) == ("learning.policy.gepa.job.failed", "error")


async def test_events_are_numbered_and_read_from_where_the_client_is(api, program):
    program.go.set()
    job_id = await api.submitted()
    await api.reached(f"{POLICY}/{job_id}", "succeeded")
    events = await api.events(f"{POLICY}/{job_id}")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "learning.policy.gepa.job.completed"
    assert all(event["job_id"] == job_id and event["created_at"] for event in events)
    page = (await api.get(f"{LEGACY}/{job_id}/events?since_seq=2&limit=3")).json
    assert page == {"events": events[2:5], "next_seq": 5}
    none = (await api.get(f"{LEGACY}/{job_id}/events?since_seq=999")).json
    assert none == {"events": [], "next_seq": 999}


async def test_a_long_list_of_events_comes_whole(api, program):
    async def chatty(record, log, control):
        for number in range(1200):
            await log.add("rollout.completed", "One", {"n": number}, key=f"rollout:{number}")
        return {}

    api.ours.sidecar.jobs.runs.runners = dict.fromkeys(api.ours.sidecar.jobs.runs.runners, chatty)
    job_id = await api.submitted()
    await api.reached(f"{POLICY}/{job_id}", "succeeded")
    events = await api.events(f"{POLICY}/{job_id}")
    assert [event["seq"] for event in events] == list(range(1, 1204))


async def test_the_metrics_are_points_with_a_name_a_value_and_a_step(api):
    job_id = await api.submitted()
    await api.happened(f"{POLICY}/{job_id}", "progress")
    points = (await api.get(f"{POLICY}/{job_id}/metrics?limit=200")).json["points"]
    shown = [(point["name"], point["value"], point["step"]) for point in points]
    assert shown == [("best_reward", 0.5, 3), ("reward", 0.5, 4)]
    assert len((await api.get(f"{POLICY}/{job_id}/metrics?limit=1")).json["points"]) == 1


async def test_a_job_is_cancelled_once_and_says_so_twice(api):
    job_id = await api.submitted()
    await api.happened(f"{POLICY}/{job_id}", "progress")
    for body in ({"reason": "probe"}, None):
        answer = await api.post(f"{POLICY}/{job_id}/cancel", body)
        assert answer.status == 200, answer.body
        assert answer.json["job_id"] == job_id
        assert (answer.json["status"], answer.json["attempt_id"]) == ("succeeded", None)
    assert (await api.status(f"{POLICY}/{job_id}"))["status"] == "cancelled"
    last = (await api.events(f"{POLICY}/{job_id}"))[-1]
    assert last["data"] == {"reason": "probe"}


async def test_a_job_that_has_ended_is_not_cancelled_paused_or_resumed(api, program):
    program.go.set()
    job_id = await api.submitted()
    await api.reached(f"{POLICY}/{job_id}", "succeeded")
    answer = await api.post(f"{POLICY}/{job_id}/cancel", {})
    assert (answer.status, answer.json["status"]) == (200, "failed")
    assert "succeeded" in answer.json["message"]
    for action in ("pause", "resume"):
        said = refusal(await api.post(f"/api/jobs/{job_id}/{action}", {}), 409)
        assert "succeeded" in said


async def test_a_job_is_paused_and_resumed(api):
    job_id = await api.submitted()
    await api.happened(f"{POLICY}/{job_id}", "progress")
    for action, status in (("pause", "paused"), ("resume", "running")):
        answer = await api.post(f"/api/jobs/{job_id}/{action}", {})
        assert (answer.status, answer.json["status"]) == (200, "succeeded")
        assert (await api.status(f"{POLICY}/{job_id}"))["status"] == status


async def test_a_job_without_auto_start_waits_until_it_is_resumed(api, program):
    program.go.set()
    job_id = await api.submitted(auto_start=False)
    assert await api.events(f"{POLICY}/{job_id}") == []
    assert (await api.status(f"{POLICY}/{job_id}"))["status"] == "pending"
    await api.post(f"{POLICY}/{job_id}/resume")
    await api.reached(f"{POLICY}/{job_id}", "succeeded")


async def test_the_workflow_state_says_where_a_job_stands(api):
    job_id = await api.submitted()
    await api.happened(f"{POLICY}/{job_id}", "progress")
    answer = (await api.get(f"/api/jobs/{job_id}/workflow-state")).json
    assert answer["job_id"] == answer["workflow_state"]["job_id"] == job_id
    state = answer["workflow_state"]
    assert (state["status"], state["algorithm"], state["error"]) == ("running", "gepa", None)
    assert state["progress"] == {"iteration": 1, "rollouts": 7}
    assert answer["query_name"]


async def test_the_files_of_a_job_are_listed_and_read(api):
    job_id = await api.submitted()
    await api.ours.sidecar.store.keep_artifact(job_id, "snapshots/s1", b"\x00\x01")
    await api.ours.sidecar.store.keep_artifact(job_id, "best.json", b"{}")
    listed = (await api.get(f"{LEGACY}/{job_id}/artifacts")).json["artifacts"]
    assert listed == [
        {"name": "best.json", "size_bytes": 2},
        {"name": "snapshots/s1", "size_bytes": 2},
    ]
    for path in ("artifacts/snapshots/s1", "snapshots/s1"):
        assert (await api.get(f"{LEGACY}/{job_id}/{path}")).body == b"\x00\x01"
    assert (await api.get(f"{LEGACY}/{job_id}/artifacts/best.json")).json == {}
    for path in ("artifacts/other", "snapshots/other"):
        assert "other" in refusal(await api.get(f"{LEGACY}/{job_id}/{path}"), 404)


@pytest.mark.parametrize("field", ["task_app_api_key", "localapi_api_key", "container_api_key"])
async def test_the_keys_that_come_with_a_job_are_kept_and_shown_nowhere(api, program, field, capfd):
    proposer = {"model": "m", "api_key": "sk-proposer-secret"}
    section = gepa(**{field: "env-secret"})
    section["gepa"]["proposer"] = proposer
    program.go.set()
    answer = await api.post(POLICY, {"prompt_learning": section})
    assert answer.status == 200, answer.body
    job_id, store = answer.json["job_id"], api.ours.sidecar.store
    await api.reached(f"{POLICY}/{job_id}", "succeeded")
    assert await task_app_key(store, job_id) == "env-secret"
    assert await proposer_key(store, job_id) == "sk-proposer-secret"
    places = ("", "/events", "/results", "/workflow-state")
    answers = [await api.get(f"{POLICY}/{job_id}{what}") for what in places]
    shown = [answer.body.decode() for answer in answers]
    shown += [repr(await store.jobs()), *capfd.readouterr()]
    assert not [text for text in shown if "secret" in text]


async def test_a_limit_in_dollars_needs_the_price_of_the_model(program):
    section = gepa(termination_config={"max_cost_usd": 2.0})
    async with serving(program) as api:
        answer = await api.post(POLICY, {"prompt_learning": section})
        assert "jobs.prices" in refusal(answer, 400)
    priced = {"prices": {section["policy"]["model"]: [0.4, 1.6]}}
    async with serving(program, jobs=priced) as api:
        assert (await api.post(POLICY, {"prompt_learning": section})).status == 200


async def test_overrides_reach_into_the_configuration(api):
    overrides = {"prompt_learning.gepa.rollout.budget": 123}
    job_id = await api.submitted(config_body={"prompt_learning": gepa()}, overrides=overrides)
    config = (await api.get(f"{POLICY}/{job_id}/results")).json["config"]
    assert "123" in str(config)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        [],
        {},
        {"prompt_learning": {}},
        {"prompt_learning": []},
        {"prompt_learning": None},
        {"config_body": None},
        {"config_body": {"prompt_learning": gepa(algorithm="none")}},
        {"config_body": {"prompt_learning": gepa(algorithm=["gepa"])}},
        {"config_body": {"prompt_learning": gepa()}, "algorithm": "mipro"},
        {"config_body": {"prompt_learning": gepa()}, "algorithm": 7},
        {"config_body": {"prompt_learning": gepa()}, "auto_start": "yes"},
        {"config_body": {"prompt_learning": gepa()}, "metadata": []},
        {"config_body": {"prompt_learning": gepa()}, "overrides": []},
        {"config_body": {"prompt_learning": gepa()}, "overrides": {"prompt_learning.gepa": 1}},
        {
            "config_body": {"prompt_learning": gepa()},
            "overrides": {"prompt_learning.gepa.mode": "online"},
        },
        {"config_body": {"prompt_learning": gepa(task_app_url="")}},
        {"config_body": {"prompt_learning": proposed_at("https://elsewhere.example/v1")}},
        {"config_body": {"prompt_learning": proposed_at("http://[")}},
        {"config_body": {"prompt_learning": gepa(task_app_api_key=7)}},
        {"config_body": {"prompt_learning": gepa(task_app_api_key="two\nlines")}},
    ],
)
async def test_a_job_that_cannot_be_is_refused_and_leaves_nothing(api, body):
    refusal(await api.post(POLICY, body), 400)
    assert (await api.get(POLICY)).json == {"jobs": []}


@pytest.mark.parametrize(
    "query", ["since_seq=-1", "since_seq=x", "limit=0", "limit=1.5", "limit=99999999"]
)
async def test_a_number_that_is_none_is_refused(api, query):
    job_id = await api.submitted()
    refusal(await api.get(f"{POLICY}/{job_id}/events?{query}"), 400)


ONE = ("", "/events", "/events/stream", "/metrics", "/results", "/workflow-state", "/artifacts")


@pytest.mark.parametrize("what", ONE)
async def test_an_unknown_job_is_not_found(api, what):
    for path in NAMES:
        assert "pl_nobody" in refusal(await api.get(f"{path}/pl_nobody{what}"), 404)


@pytest.mark.parametrize("action", ["cancel", "pause", "resume"])
async def test_an_unknown_job_cannot_be_steered(api, action):
    for path in NAMES:
        assert "pl_nobody" in refusal(await api.post(f"{path}/pl_nobody/{action}", {}), 404)


async def test_a_job_of_another_kind_is_asked_for_elsewhere(api):
    job_id = await api.submitted(EVAL)
    assert f"{EVAL}/{job_id}" in refusal(await api.get(f"{POLICY}/{job_id}"), 404)
    assert (await api.status(f"/api/jobs/{job_id}"))["job_id"] == job_id


async def test_either_key_header_opens_every_route_and_none_does_not(api):
    answer = await api.post(POLICY, {"prompt_learning": gepa()}, Authorization=f"Bearer {KEY}")
    one = f"{POLICY}/{answer.json['job_id']}"
    for headers in ({"X_API_Key": KEY}, {"Authorization": f"Bearer {KEY}"}):
        assert (await api.get(one, **headers)).status == 200
    for what in ONE:
        refusal(await api.get(one + what, X_API_Key="theirs"), 401)
    for action in ("cancel", "pause", "resume"):
        refusal(await api.post(f"{one}/{action}", {}, X_API_Key="theirs"), 401)
    refusal(await api.post(POLICY, {}, X_API_Key="theirs"), 401)
