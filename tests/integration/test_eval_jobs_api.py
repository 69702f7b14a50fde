"""The published API of eval jobs (wire contract, section 9)."""

import asyncio
import io
import json
import zipfile

import pytest
from support.api import KEY, refusal
from support.job_api import EVAL, POLICY, scoring, serving

from sidecar.jobs.keys import task_app_key

BARE = "/eval/jobs"
REWARDS = {1: 1.0, 2: 0.0, 3: 0.5}


class Program:
    """Scores the seeds in another order than they were asked for; waits for `go` to end."""

    def __init__(self, store=None):
        self.go = asyncio.Event()

    async def __call__(self, record, log, control):
        for number, seed in enumerate(sorted(record.config["seeds"]), 1):
            failed = "the task app answered 500" if seed == 2 else None
            cost = {"tokens": 7, "cost_usd": 0.25, "latency_ms": 12.5}
            row = {"seed": seed, "reward": REWARDS[seed], **cost, "error": failed}
            await log.add("seed.completed", f"Seed {seed}", row, key=f"seed:{seed}")
            totals = {"total_tokens": 7 * number, "total_cost_usd": 0.25 * number}
            done = {"completed": number, "total": 3, "mean_reward": 0.5, **totals}
            await log.add("progress", f"{number} of 3", done, key=f"progress:{number}")
        await self.go.wait()
        return {"mean_reward": 0.5}


@pytest.fixture
def program():
    return Program()


@pytest.fixture
async def api(program):
    async with serving(program) as api:
        yield api


@pytest.fixture(params=[EVAL, BARE])
def path(request):
    return request.param


async def test_an_eval_is_submitted_and_completes(api, program, path):
    answer = await api.post(path, scoring())
    assert answer.status == 200, answer.body
    job_id = answer.json["job_id"]
    assert job_id.startswith("eval-")
    program.go.set()
    job = await api.reached(f"{path}/{job_id}", "completed")
    assert job["error"] is None
    assert job["created_at"] <= job["started_at"] <= job["completed_at"]
    assert job["config"]["seeds"] == [3, 1, 2]
    totals = {"mean_reward": 0.5, "total_tokens": 21, "total_cost_usd": 0.75}
    assert job["results"] == {"completed": 3, "total": 3, **totals}


async def test_the_results_have_each_seed_in_the_order_it_was_asked_for(api, program):
    job_id = await api.submitted(EVAL)
    program.go.set()
    await api.reached(f"{EVAL}/{job_id}", "completed")
    found = (await api.get(f"{EVAL}/{job_id}/results")).json
    assert (found["job_id"], found["status"]) == (job_id, "completed")
    counts = {"num_seeds": 3, "num_successful": 2, "num_failed": 1}
    totals = {"mean_reward": 0.5, "total_tokens": 21, "total_cost_usd": 0.75}
    assert found["summary"] == {**totals, **counts}
    cost = {"tokens": 7, "cost_usd": 0.25, "latency_ms": 12.5}
    assert found["results"] == [
        {"seed": 3, "score": 0.5, **cost, "error": None},
        {"seed": 1, "score": 1.0, **cost, "error": None},
        {"seed": 2, "score": 0.0, **cost, "error": "the task app answered 500"},
    ]


async def test_an_eval_that_runs_shows_what_it_has(api):
    job_id = await api.submitted(EVAL)
    await api.happened(f"{EVAL}/{job_id}", "progress")
    assert (await api.status(f"{EVAL}/{job_id}"))["status"] == "running"
    assert len((await api.get(f"{EVAL}/{job_id}/results")).json["results"]) == 3
    points = (await api.get(f"{EVAL}/{job_id}/metrics")).json["points"]
    assert [(point["name"], point["value"]) for point in points] == [
        ("reward", 1.0),
        ("reward", 0.0),
        ("reward", 0.5),
    ]


async def test_an_eval_that_has_not_begun_has_no_results(api):
    api.ours.sidecar.jobs.runs.at_once = 0
    job_id = await api.submitted(EVAL)
    job = await api.status(f"{EVAL}/{job_id}")
    assert (job["status"], job["results"]["completed"], job["results"]["total"]) == (
        "pending",
        0,
        3,
    )
    found = (await api.get(f"{EVAL}/{job_id}/results")).json
    assert (found["results"], found["summary"]["mean_reward"]) == ([], None)


async def test_an_eval_is_cancelled(api):
    job_id = await api.submitted(EVAL)
    await api.happened(f"{EVAL}/{job_id}", "progress")
    answer = await api.post(f"{EVAL}/{job_id}/cancel", {"reason": "probe"})
    assert (answer.status, answer.json["status"]) == (200, "succeeded")
    assert (await api.status(f"{EVAL}/{job_id}"))["status"] == "cancelled"
    assert (await api.get(f"/api/jobs/{job_id}/workflow-state")).json["job_id"] == job_id


async def test_the_traces_come_as_a_zip_of_json_files(api):
    job_id = await api.submitted(EVAL)
    store = api.ours.sidecar.store
    for seed in (1, 2):
        content = json.dumps({"seed": seed}).encode()
        await store.keep_artifact(job_id, f"traces/seed_{seed}.json", content)
    await store.keep_artifact(job_id, "other.json", b"{}")
    answer = await api.get(f"{EVAL}/{job_id}/traces")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.testzip() is None
        read = {name: json.loads(archive.read(name)) for name in archive.namelist()}
    assert read == {"seed_1.json": {"seed": 1}, "seed_2.json": {"seed": 2}}


async def test_an_eval_without_traces_has_an_empty_zip(api):
    job_id = await api.submitted(EVAL)
    answer = await api.get(f"{EVAL}/{job_id}/traces")
    assert zipfile.ZipFile(io.BytesIO(answer.body)).namelist() == []


async def test_the_key_in_the_body_is_kept_and_shown_nowhere(api, program, capfd):
    program.go.set()
    job_id = await api.submitted(EVAL, task_app_api_key="env-secret")
    await api.reached(f"{EVAL}/{job_id}", "completed")
    assert await task_app_key(api.ours.sidecar.store, job_id) == "env-secret"
    places = ("", "/events", "/results")
    answers = [await api.get(f"{EVAL}/{job_id}{what}") for what in places]
    shown = [answer.body.decode() for answer in answers]
    shown += [repr(await api.ours.sidecar.store.jobs()), *capfd.readouterr()]
    assert not [text for text in shown if "env-secret" in text]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        [],
        {},
        scoring(seeds=[]),
        scoring(seeds="1"),
        scoring(seeds=None),
        scoring(task_app_url=None),
        scoring(task_app_url="ftp://x"),
        scoring(task_app_api_key=["k"]),
        scoring(task_app_api_key="two\r\nlines"),
        scoring(metadata=[]),
        scoring(policy=[]),
        scoring(max_concurrent=0),
        scoring(timeout=-1),
    ],
)
async def test_an_eval_that_cannot_be_is_refused_and_leaves_nothing(api, body):
    refusal(await api.post(EVAL, body), 400)
    assert (await api.get(EVAL)).json == {"jobs": []}


async def test_an_unknown_eval_is_not_found(api, path):
    for what in ("", "/results", "/traces", "/events", "/events/stream"):
        assert "eval-nobody" in refusal(await api.get(f"{path}/eval-nobody{what}"), 404)
    refusal(await api.post(f"{path}/eval-nobody/cancel", {}), 404)


async def test_a_policy_job_is_no_eval(api):
    job_id = await api.submitted()
    assert f"{POLICY}/{job_id}" in refusal(await api.get(f"{EVAL}/{job_id}/traces"), 404)


async def test_evals_need_a_key(api, path):
    refusal(await api.post(path, scoring(), X_API_Key="theirs"), 401)
    job_id = (await api.post(path, scoring(), Authorization=f"Bearer {KEY}")).json["job_id"]
    for what in ("", "/results", "/traces", "/events", "/events/stream"):
        refusal(await api.get(f"{path}/{job_id}{what}", X_API_Key="theirs"), 401)
