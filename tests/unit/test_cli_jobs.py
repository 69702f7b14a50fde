"""The commands about jobs against an API on loopback: what is sent, what is printed, how they
end."""

import asyncio
import json

import pytest
from support.job_server import EVAL, JOB, event, job_server
from support.session_client import VARIABLES

from sidecar.cli import main

GEPA = "/api/prompt-learning/online/gepa/sessions"
JOBS = "/api/jobs"
BEST = {
    "messages": [
        {"role": "system", "pattern": "Name the one intent of {text}."},
        {"role": "user", "pattern": "{text}"},
    ]
}
STATUS = {
    "job_id": JOB,
    "status": "succeeded",
    "algorithm": "gepa",
    "error": None,
    "created_at": "2026-01-01T10:00:00.123456+00:00",
    "started_at": "2026-01-01T10:00:01+00:00",
    "completed_at": None,
    "progress": {"rollouts": 60, "budget": 60, "phase": "validation", "best_score": 0.7},
    "best_score": 0.75,
    "best_prompt": BEST,
}
CONFIG = {
    "messages": [["system", "Name the intent of {text}."], ["user", "{text}"]],
    "wildcards": [{"name": "text", "required": True}, {"name": "date", "required": False}],
}
RESULTS = {**STATUS, "config": CONFIG, "history": [{"generation": 1, "best_reward": 0.5}]}
SESSION = {"session_id": "shop", "online_url": "http://h/api/gepa/v1/shop"}


@pytest.fixture
async def api(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    async with job_server() as api:
        monkeypatch.setenv("SIDECAR_URL", api.url)
        api.says(f"{JOBS}/{JOB}", STATUS)
        api.says(f"{JOBS}/{JOB}/results", RESULTS)
        api.says(GEPA, SESSION)
        api.says(GEPA.replace("gepa", "mipro"), SESSION)
        yield api


@pytest.fixture
def run(capsys):
    async def run(*arguments):
        code = await asyncio.to_thread(main, arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def words(out):
    return [" ".join(line.split()) for line in out.splitlines()]


async def test_list_is_a_table(api, run):
    row = {**STATUS, "kind": "policy"}
    api.says(JOBS, {"jobs": [row]})
    code, out, _ = await run("jobs", "list", "--limit", "5")
    assert (code, api.called()) == (0, [f"{JOBS}?limit=5"])
    assert words(out) == [
        "job kind algorithm status created (UTC) completed (UTC)",
        f"{JOB} policy gepa succeeded 2026-01-01 10:00:00 -",
    ]
    api.says(JOBS, {"jobs": []})
    assert (await run("jobs", "list"))[1].startswith("No jobs yet.")


async def test_show_says_how_a_job_stands(api, run):
    _, out, _ = await run("jobs", "show", JOB)
    assert words(out) == [
        f"job {JOB}: succeeded, gepa",
        "created: 2026-01-01 10:00:00",
        "started: 2026-01-01 10:00:01",
        "completed: -",
        "",
        "progress value",
        "rollouts 60",
        "budget 60",
        "phase validation",
        "best_score 0.750",
    ]
    api.says(f"{JOBS}/{JOB}", {"job_id": JOB, "status": "failed", "error": "no reward"})
    assert "error: no reward" in (await run("jobs", "show", JOB))[1]


async def test_events_are_a_table(api, run):
    api.says(f"{JOBS}/{JOB}/events", {"events": [event(4, "job.started")], "next_seq": 4})
    _, out, _ = await run("jobs", "events", JOB, "--since", "3", "--limit", "9")
    assert api.called() == [f"{JOBS}/{JOB}/events?since_seq=3&limit=9"]
    assert words(out) == [
        "seq time (UTC) event message",
        "4 2026-01-01 learning.policy.gepa.job.started job.started",
    ]
    api.says(f"{JOBS}/{JOB}/events", {"events": []})
    assert (await run("jobs", "events", JOB))[1] == "Nothing happened after that.\n"


async def test_results_of_a_policy_job_are_its_way_and_its_prompt(api, run):
    _, out, _ = await run("jobs", "results", JOB)
    assert words(out) == [
        f"job {JOB}: succeeded, best score 0.750",
        "",
        "generation best so far",
        "1 0.500",
        "",
        "--- system",
        "Name the one intent of {text}.",
        "",
        "--- user",
        "{text}",
    ]


async def test_results_of_an_eval_are_its_seeds(api, run):
    seed = {"seed": 4, "score": 0.5, "tokens": 10, "cost_usd": 0.1, "latency_ms": 9.4}
    summary = {"mean_reward": 0.5, "total_tokens": 10, "total_cost_usd": 0.1}
    found = {"job_id": EVAL, "status": "completed", "summary": summary, "results": [seed]}
    api.says(f"{JOBS}/{EVAL}/results", found)
    _, out, _ = await run("jobs", "results", EVAL)
    assert words(out) == [
        f"job {EVAL}: completed, mean reward 0.500, 10 tokens, $0.1000",
        "",
        "seed score tokens cost (USD) latency (ms) error",
        "4 0.500 10 0.1000 9 -",
    ]


@pytest.mark.parametrize("action", ["cancel", "pause", "resume"])
async def test_steering_posts_the_action(api, run, action):
    api.says(f"{JOBS}/{JOB}/{action}", {"status": "succeeded", "message": "the job is what it is"})
    code, out, _ = await run("jobs", action, JOB, "--reason", "enough")
    assert (code, out) == (0, f"{JOB}: the job is what it is\n")
    assert api.calls == [("POST", f"{JOBS}/{JOB}/{action}", {"reason": "enough"})]


@pytest.mark.parametrize("command", [("show", JOB), ("results", JOB)])
async def test_programs_get_what_the_api_said(run, api, command):
    _, out, _ = await run("jobs", *command, "--json")
    assert json.loads(out) in (STATUS, RESULTS)


async def test_the_servers_words_are_the_error(api, run):
    code, out, err = await run("jobs", "show", "../x")
    assert (code, out, err) == (1, "", "sidecar: nothing at /api/jobs/../x\n")


@pytest.mark.parametrize("arguments", [("jobs",), ("jobs", "show"), ("jobs", "stop", "x")])
def test_wrong_usage_is_2(arguments, capsys):
    assert main(arguments) == 2
    assert "usage: sidecar" in capsys.readouterr().err


# -- sessions create ----------------------------------------------------------------------------


async def test_a_session_begins_with_what_a_job_found(api, run):
    code, out, err = await run("sessions", "create", "--from-job", JOB, "--id", "shop")
    assert (code, err) == (0, "")
    assert api.body(GEPA) == {
        "overrides": {},
        "metadata": {"from_job": JOB},
        "session_id": "shop",
        "config_body": {
            "prompt_learning": {
                "algorithm": "gepa",
                "initial_prompt": {**BEST, "wildcards": {"text": "REQUIRED", "date": "OPTIONAL"}},
                "gepa": {"mode": "online"},
            }
        },
    }
    created, url, hint = out.splitlines()
    assert created == "shop: created"
    assert url == "base URL for an OpenAI client: http://h/api/gepa/v1/shop"
    assert hint.endswith("sidecar sessions export shop --candidate baseline")


async def test_the_rest_of_its_configuration_may_be_a_file(api, run, tmp_path):
    (tmp_path / "s.toml").write_text(
        '[policy_optimization]\nalgorithm = "mipro"\n'
        "[policy_optimization.mipro]\nonline_proposer_min_rollouts = 7\n"
        "[policy_optimization.gepa]\nonline_proposer_min_rollouts = 9\n"
    )
    arguments = ("sessions", "create", "--from-job", JOB, "--config", "s.toml", "--json")
    _, out, _ = await run(*arguments)
    chat = SESSION["online_url"] + "/chat/completions"
    assert json.loads(out) == {**SESSION, "chat_completions_url": chat}
    (sent,) = [body for method, _, body in api.calls if method == "POST"]
    section = sent["config_body"]["prompt_learning"]
    assert section["algorithm"] == "mipro"
    assert section["mipro"] == {"online_proposer_min_rollouts": 7, "mode": "online"}
    await run(*arguments, "--algorithm", "gepa")
    section = api.body(GEPA)["config_body"]["prompt_learning"]
    assert (section["algorithm"], section["gepa"]["online_proposer_min_rollouts"]) == ("gepa", 9)


async def test_a_session_may_come_from_a_file_alone(api, run, tmp_path):
    config = {"algorithm": "gepa", "initial_prompt": BEST, "gepa": {"mode": "online"}}
    (tmp_path / "s.json").write_text(json.dumps({"prompt_learning": config}))
    code, out, _ = await run("sessions", "create", "--config", "s.json")
    assert (code, api.called()) == (0, [GEPA])
    assert api.body(GEPA)["config_body"] == {"prompt_learning": config}
    assert "baseline" not in out


async def test_demonstrations_of_a_winner_are_said_to_be_the_applications(api, run):
    demo = [{"role": "user", "pattern": "Lost card"}, {"role": "assistant", "pattern": "card_lost"}]
    system, user = BEST["messages"]
    api.says(
        f"{JOBS}/{JOB}/results", {**RESULTS, "best_prompt": {"messages": [system, *demo, user]}}
    )
    _, out, _ = await run("sessions", "create", "--from-job", JOB)
    assert f"sidecar jobs results {JOB}" in out.splitlines()[-1]


@pytest.mark.parametrize(
    ("results", "says"),
    [
        ({**RESULTS, "status": "running"}, f"job {JOB} is running; only one that succeeded"),
        ({**RESULTS, "best_prompt": None}, f"job {JOB} has no best prompt"),
        ({**RESULTS, "algorithm": None}, "the algorithm must be gepa or mipro, not None"),
    ],
)
async def test_a_job_without_a_winner_makes_no_session(api, run, results, says):
    api.says(f"{JOBS}/{JOB}/results", results)
    code, _, err = await run("sessions", "create", "--from-job", JOB)
    assert (code, len(err.splitlines())) == (1, 1)
    assert err.startswith(f"sidecar: {says}")
    assert [method for method, *_ in api.calls] == ["GET"]


async def test_a_session_from_nothing_is_wrong_usage(api, run):
    code, _, err = await run("sessions", "create")
    assert code == 2
    assert "--from-job" in err
    code, _, err = await run("sessions", "create", "--config", "missing.toml")
    assert (code, "missing.toml" in err) == (1, True)
    assert api.calls == []
