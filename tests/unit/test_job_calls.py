"""The job clients against a server that plays a script: what is sent, in every form alike, and how
answers and failures read."""

import json

import pytest
from support.job_server import EVAL, EVALS, JOB, KEY, POLICY, archive, job_server
from support.local_api import KEY as APP_KEY
from support.local_api import local_api
from support.session_client import FORMS, VARIABLES

from sidecar.client import (
    ApiError,
    ConfigError,
    EvalJob,
    EvalJobConfig,
    EvalStatus,
    JobStatus,
    PolicyOptimizationJob,
    upload_environment_key,
    upload_environment_key_async,
)

PROMPT = {"messages": [{"role": "system", "pattern": "Name the intent of {text}."}]}
BEST = {"messages": [{"role": "system", "pattern": "Name the one intent of {text}."}]}
RUNNING = {"job_id": JOB, "status": "running", "algorithm": "gepa"}
DONE = {**RUNNING, "status": "succeeded", "best_score": 0.75, "best_prompt": BEST, "error": None}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in (*VARIABLES, "ENVIRONMENT_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def server():
    async with job_server() as server:
        yield server


@pytest.fixture
async def app():
    async with local_api() as client:
        yield str(client.make_url("")).rstrip("/")


@pytest.fixture(params=FORMS)
def call(request):
    return FORMS[request.param]


@pytest.fixture
def where(server):
    return {"backend_url": server.url, "api_key": KEY}


def gepa(url, root="policy_optimization", name="localapi_url", **more):
    return {root: {"algorithm": "gepa", name: url, "initial_prompt": PROMPT, "gepa": {}, **more}}


def policy_job(where, url="http://127.0.0.1:1", **options):
    options = {"skip_health_check": True, **options}
    return PolicyOptimizationJob.from_dict(gepa(url), **options, **where)


def known(where, kind=PolicyOptimizationJob):
    return kind.from_job_id(JOB if kind is PolicyOptimizationJob else EVAL, **where)


# -- submitting ---------------------------------------------------------------------------------


async def test_submit_checks_the_app_uploads_its_key_and_posts_the_job(server, app, call, where):
    config = gepa(app, policy={"model": "m"})
    before = json.dumps(config)
    job = PolicyOptimizationJob.from_dict(
        config, localapi_api_key=APP_KEY, overrides={"a.b": 1}, metadata={"team": "x"}, **where
    )
    assert job.job_id is None
    assert await call(job, "submit") == job.job_id == JOB
    assert server.called() == ["/api/v1/crypto/public-key", "/api/v1/env-keys", POLICY]
    assert server.opened() == APP_KEY
    assert server.body(POLICY) == {
        "algorithm": "gepa",
        "config_body": {
            "prompt_learning": {
                "algorithm": "gepa",
                "task_app_url": app,
                "initial_prompt": PROMPT,
                "gepa": {},
                "policy": {"model": "m"},
            }
        },
        "overrides": {"a.b": 1},
        "metadata": {"team": "x"},
        "auto_start": True,
    }
    assert json.dumps(config) == before, "a configuration can be used again"
    with pytest.raises(ConfigError, match=f"submitted already: {JOB}"):
        await call(job, "submit")


@pytest.mark.parametrize("root", ["policy_optimization", "prompt_learning"])
@pytest.mark.parametrize("name", ["task_app_url", "localapi_url", "local_api_url", "container_url"])
async def test_either_root_and_every_name_of_the_address_will_do(server, call, where, root, name):
    config = gepa("http://127.0.0.1:1", root, name)
    job = PolicyOptimizationJob.from_dict(config, skip_health_check=True, **where)
    await call(job, "submit")
    section = server.body(POLICY)["config_body"]["prompt_learning"]
    assert section["task_app_url"] == "http://127.0.0.1:1"
    assert name == "task_app_url" or name not in section


async def test_the_servers_key_goes_in_both_headers_and_is_never_shown(server, call, where):
    job = policy_job(where, localapi_api_key=APP_KEY)
    await call(job, "submit")
    last = {name.lower(): value for name, value in server.headers[-1].items()}
    assert (last["authorization"], last["x-api-key"]) == (f"Bearer {KEY}", KEY)
    shown = f"{job!r} {job._submission!r} {job._target!r}"
    assert KEY not in shown
    assert APP_KEY not in shown


async def test_the_apps_key_never_leaves_in_clear_with_a_policy_job(server, where, monkeypatch):
    monkeypatch.setenv("ENVIRONMENT_API_KEY", "from-environment")
    await policy_job(where).submit_async()
    assert server.opened() == "from-environment"
    config = gepa("http://127.0.0.1:1", task_app_api_key="from-config")
    job = PolicyOptimizationJob.from_dict(config, skip_health_check=True, **where)
    await job.submit_async()
    assert server.opened() == "from-config"
    assert "from-config" not in json.dumps(server.body(POLICY))


async def test_without_a_key_none_is_uploaded(server, where):
    await policy_job(where).submit_async()
    assert server.called() == [POLICY]


@pytest.mark.parametrize("suffix", [".toml", ".json"])
async def test_a_configuration_may_be_a_file_which_is_really_read(
    server, where, tmp_path, suffix, call
):
    toml = (
        '[policy_optimization]\nalgorithm = "mipro"\nlocalapi_url = "http://h:1/s"\n'
        "[policy_optimization.mipro]\nval_seeds = { start = 0, end = 4 }\n"
    )
    mipro = {"val_seeds": {"start": 0, "end": 4}}
    config = {"algorithm": "mipro", "task_app_url": "http://h:1/s", "mipro": mipro}
    text = toml if suffix == ".toml" else json.dumps({"prompt_learning": config})
    path = tmp_path / f"job{suffix}"
    path.write_text(text)
    job = PolicyOptimizationJob.from_config(path, skip_health_check=True, **where)
    await call(job, "submit")
    assert server.body(POLICY)["config_body"] == {"prompt_learning": config}


@pytest.mark.parametrize(
    ("config", "options", "says"),
    [
        ({}, {}, "nothing"),
        ({"eval": {}}, {}, "but eval"),
        (gepa(""), {}, "task_app_url"),
        (gepa("h:1"), {}, "task_app_url"),
        (gepa("http://h", algorithm="tpe"), {}, "'gepa' or 'mipro', not 'tpe'"),
        (gepa("http://h"), {"algorithm": "mipro"}, "must be 'mipro', not 'gepa'"),
        (gepa("http://h", task_app_api_key=7), {}, "key must be text"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused_before_anything_is_sent(
    config, options, says
):
    with pytest.raises(ConfigError, match=says):
        PolicyOptimizationJob.from_dict(config, **options)


async def test_an_app_that_is_not_there_or_wants_another_key_is_said_so(server, app, call, where):
    for url, key, says in (
        ("http://127.0.0.1:1/s", APP_KEY, "/s cannot be used: nothing answers: Conn"),
        (app, "wrong", "refused the key"),
        (app, None, "wants a key"),
        (app + "/elsewhere", APP_KEY, "HTTP 404 Not Found to GET /health"),
    ):
        job = policy_job(where, url, localapi_api_key=key, skip_health_check=False)
        with pytest.raises(ConfigError, match=says) as raised:
            await call(job, "submit")
        assert "skip_health_check=True" in str(raised.value)
        assert APP_KEY not in str(raised.value)
    assert server.calls == []
    async with local_api(api_key=None) as client:
        url = str(client.make_url(""))
        with pytest.raises(ConfigError, match="without an ENVIRONMENT_API_KEY of its own"):
            await call(policy_job(where, url, skip_health_check=False), "submit")


async def test_an_app_that_cannot_describe_its_task_is_found_out(server, where):
    async with local_api(provide_taskset_description=lambda: 1 / 0) as client:
        url = str(client.make_url(""))
        job = policy_job(where, url, localapi_api_key=APP_KEY, skip_health_check=False)
        with pytest.raises(ConfigError, match=r"HTTP 500 .* to GET /task_info"):
            await job.submit_async()
    assert server.calls == []


async def test_a_quick_tunnel_is_the_servers_to_reach(server, where):
    job = policy_job(where, "https://a-b.trycloudflare.com", skip_health_check=False)
    assert await job.submit_async() == JOB


async def test_a_refused_job_is_an_error_in_the_servers_words(server, call, where):
    server.says(POLICY, 400)
    job = policy_job(where)
    with pytest.raises(ApiError, match="status 400") as raised:
        await call(job, "submit")
    assert (raised.value.status, job.job_id) == (400, None)
    server.says(POLICY, {"status": "pending"})
    with pytest.raises(ApiError, match="no job_id"):
        await call(job, "submit")


# -- environment keys ---------------------------------------------------------------------------


async def test_a_key_is_uploaded_in_a_box_that_only_the_server_opens(server, where, monkeypatch):
    assert (await upload_environment_key_async("secret", **where))["id"] == "k1"
    assert server.opened() == "secret"
    monkeypatch.setenv("ENVIRONMENT_API_KEY", "from-environment\n")
    await upload_environment_key_async(**where)
    assert server.opened() == "from-environment"
    assert "secret" not in json.dumps(server.calls)


async def test_what_is_no_key_is_not_uploaded(server, where):
    for key, says in ((None, "no key"), ("a\nb", "one line"), ("x" * 9000, "8192")):
        with pytest.raises(ConfigError, match=says):
            await upload_environment_key_async(key, **where)
    with pytest.raises(ConfigError, match="no key"):
        upload_environment_key(**where)
    assert server.called("POST") == []


@pytest.mark.parametrize(
    "answer", [{"public_key": "!"}, {"public_key": "AAAA"}, {}, {"alg": "rot13", "public_key": "A"}]
)
async def test_a_public_key_that_is_none_seals_nothing(server, where, answer):
    server.says("/api/v1/crypto/public-key", answer)
    with pytest.raises(ApiError, match=r"public key|rot13"):
        await upload_environment_key_async("secret", **where)
    assert server.called("POST") == []


# -- a job that is known ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "path"), [(PolicyOptimizationJob, f"{POLICY}/{JOB}"), (EvalJob, f"{EVALS}/{EVAL}")]
)
async def test_a_job_is_asked_and_steered_by_its_id(server, call, where, kind, path):
    job = known(where, kind)
    steering = f"/api/jobs/{job.job_id}"
    for target in (path, f"{path}/results", f"{path}/cancel"):
        server.says(target, {"at": target})
    for target in (f"{steering}/pause", f"{steering}/resume"):
        server.says(target, {"at": target})
    assert await call(job, "get_status") == {"at": path}
    assert await call(job, "get_results") == {"at": f"{path}/results"}
    assert await call(job, "cancel", reason="enough") == {"at": f"{path}/cancel"}
    assert server.calls[-1] == ("POST", f"{path}/cancel", {"reason": "enough"})
    assert await call(job, "pause") == {"at": f"{steering}/pause"}
    assert await call(job, "resume") == {"at": f"{steering}/resume"}
    assert server.calls[-1][2] == {}


async def test_a_job_that_is_not_submitted_cannot_be_asked(server, call, where):
    job = policy_job(where)
    for method in ("get_status", "get_results", "poll_until_complete", "cancel", "pause"):
        with pytest.raises(ConfigError, match="not submitted yet"):
            await call(job, method)
    with pytest.raises(ConfigError, match="nothing to submit"):
        await call(_forgotten(where), "submit")
    assert server.calls == []


def _forgotten(where):
    job = known(where)
    job.job_id = None
    return job


async def test_polling_ends_with_the_job(server, call, where):
    server.says(f"{POLICY}/{JOB}", {"status": "pending"}, RUNNING, DONE)
    server.says(f"{POLICY}/{JOB}/results", {**DONE, "history": [{"generation": 1}]})
    seen = []
    result = await call(known(where), "poll_until_complete", interval=0.001, on_status=seen.append)
    assert [status["status"] for status in seen] == ["pending", "running", "succeeded"]
    assert (result.status, result.succeeded, result.failed) == (JobStatus.SUCCEEDED, True, False)
    assert (result.best_score, result.best_prompt, result.algorithm) == (0.75, BEST, "gepa")
    assert result.get_system_prompt() == "Name the one intent of {text}."
    assert result.raw["history"] == [{"generation": 1}]


async def test_a_job_that_fails_says_why(server, call, where):
    server.says(f"{POLICY}/{JOB}", {**RUNNING, "status": "failed", "error": "no reward"})
    result = await call(known(where), "poll_until_complete")
    assert (result.failed, result.is_terminal, result.error) == (True, True, "no reward")


async def test_polling_gives_up_waiting_but_does_not_raise(server, call, where):
    server.says(f"{POLICY}/{JOB}", RUNNING)
    result = await call(known(where), "poll_until_complete", timeout=0.02, interval=0.005)
    assert (result.status, result.is_terminal) == (JobStatus.RUNNING, False)
    assert len(server.calls) > 1


async def test_polling_outlives_a_server_that_is_away_for_a_moment(server, call, where):
    server.says(f"{POLICY}/{JOB}", RUNNING, 502, 503, 502, 500, DONE)
    result = await call(known(where), "poll_until_complete", interval=0.001)
    assert result.succeeded
    server.says(f"{POLICY}/{JOB}", 502)
    with pytest.raises(ApiError, match="status 502"):
        await call(known(where), "poll_until_complete", interval=0.001)
    server.calls.clear()
    server.says(f"{POLICY}/{JOB}", 404)
    with pytest.raises(ApiError, match="status 404"):
        await call(known(where), "poll_until_complete", interval=0.001)
    assert len(server.calls) == 1, "what is not there will not come"


async def test_progress_is_written_line_by_line_when_nobody_watches(server, where, capsys):
    moving = {**RUNNING, "progress": {"rollouts": 5, "budget": 60, "best_score": 0.5}}
    server.says(f"{POLICY}/{JOB}", RUNNING, moving, moving, DONE)
    await known(where).poll_until_complete_async(interval=0.001, progress=True)
    assert capsys.readouterr().out == (
        "[00:00] running\n[00:00] running | 5/60 rollouts | best 0.500\n"
        "[00:00] succeeded | best 0.750\n"
    )


async def test_best_prompts_are_found_by_rank(server, call, where):
    ranked = [{"rank": 2, "full_text": "second"}, {"rank": 1, "pattern": BEST}]
    server.says(f"{POLICY}/{JOB}/results", {**DONE, "optimized_candidates": ranked})
    texts = [await call(known(where), "get_best_prompt_text", rank) for rank in (1, 2, 3, 0)]
    assert texts == ["Name the one intent of {text}.", "second", None, None]


# -- evals --------------------------------------------------------------------------------------

ROWS = [
    {"seed": 4, "score": 1.0, "tokens": 10, "cost_usd": 0.1, "latency_ms": 9.0, "error": None},
    {"seed": 5, "score": 0.0, "tokens": 0, "cost_usd": 0.0, "latency_ms": 1.0, "error": "late"},
]


async def test_an_eval_brings_its_key_along(server, app, call, where):
    job = EvalJob.of(
        EvalJobConfig(
            task_app_url=app,
            task_app_api_key=APP_KEY,
            seeds={"start": 4, "end": 8, "step": 2},
            env_name="intents",
            policy_config={"model": "m"},
            env_config={"split": "test"},
            concurrency=2,
            timeout=60.0,
        ),
        **where,
    )
    assert await call(job, "submit") == EVAL
    assert server.calls == [
        (
            "POST",
            EVALS,
            {
                "task_app_url": app,
                "task_app_api_key": APP_KEY,
                "app_id": None,
                "env_name": "intents",
                "seeds": [4, 6],
                "policy": {"model": "m"},
                "env_config": {"split": "test"},
                "verifier_config": None,
                "max_concurrent": 2,
                "timeout": 60.0,
            },
        )
    ]
    assert APP_KEY not in f"{job!r} {job._submission!r}"


async def test_an_eval_may_come_from_a_dict_or_a_file(server, call, where, tmp_path):
    path = tmp_path / "eval.toml"
    path.write_text('[eval]\nurl = "http://h"\nseeds = [1]\nmax_concurrent = 3\npolicy.model = "m"')
    given = {"local_api_url": "http://h", "seeds": [1], "concurrency": 3, "policy": {"model": "m"}}
    jobs = [
        EvalJob.from_config(path, skip_health_check=True, **where),
        EvalJob.from_dict(given, skip_health_check=True, **where),
    ]
    for job in jobs:
        await call(job, "submit")
    one, other = (body for method, _, body in server.calls)
    assert one == other
    assert (one["max_concurrent"], one["policy"]) == (3, {"model": "m"})
    assert "task_app_api_key" not in one


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"seeds": [1]}, "task_app_url"),
        ({"task_app_url": "http://h"}, "seeds"),
        ({"task_app_url": "http://h", "seeds": {"start": 3, "end": 3}}, "seeds"),
        ({"task_app_url": "http://h", "seeds": [1], "sedes": [2]}, "'sedes'"),
    ],
)
def test_an_eval_that_cannot_be_run_is_refused_here(config, says):
    with pytest.raises(ConfigError, match=says):
        EvalJob.from_dict(config)


async def test_an_eval_ends_with_its_seeds(server, call, where):
    status = {"status": "completed", "results": {"completed": 2, "total": 2}, "error": None}
    summary = {"mean_reward": 0.0, "total_tokens": 10, "total_cost_usd": 0.1, "num_seeds": 2}
    server.says(f"{EVALS}/{EVAL}", status)
    server.says(
        f"{EVALS}/{EVAL}/results", {"status": "completed", "summary": summary, "results": ROWS}
    )
    result = await call(known(where, EvalJob), "poll_until_complete")
    assert (result.status, result.succeeded) == (EvalStatus.COMPLETED, True)
    assert (result.mean_reward, result.total_tokens, result.total_cost_usd) == (0.0, 10, 0.1)
    assert (result.num_completed, result.num_total, result.seed_results) == (2, 2, ROWS)


async def test_an_eval_whose_results_are_gone_ends_with_its_status(server, call, where):
    results = {"completed": 2, "total": 3, "mean_reward": 0.5}
    server.says(f"{EVALS}/{EVAL}", {"status": "cancelled", "results": results})
    result = await call(known(where, EvalJob), "poll_until_complete")
    assert (result.status, result.mean_reward) == (EvalStatus.CANCELLED, 0.5)
    assert (result.num_completed, result.num_total, result.seed_results) == (2, 3, [])


async def test_traces_are_written_into_a_folder(server, call, where, tmp_path):
    server.says(f"{EVALS}/{EVAL}/traces", archive(seed_4='{"reward": 1}', seed_5="{}"))
    folder = await call(known(where, EvalJob), "download_traces", tmp_path / "traces")
    assert sorted(path.name for path in folder.iterdir()) == ["seed_4.json", "seed_5.json"]
    assert (folder / "seed_4.json").read_text() == '{"reward": 1}'
    for answer, says in ((404, "status 404"), (b"<h1>", "not a ZIP"), ({}, "not a ZIP")):
        server.says(f"{EVALS}/{EVAL}/traces", answer)
        with pytest.raises(ApiError, match=says):
            await call(known(where, EvalJob), "download_traces", tmp_path / "none")
    assert not (tmp_path / "none").exists()
