"""The command line against a sidecar's API on loopback: what is sent, what is printed, how it
ends."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sidecar import __version__
from sidecar.cli import main

ROOT = Path(__file__).parents[2]
BASE = "/api/prompt-learning/online/gepa/sessions"
MIPRO = BASE.replace("gepa", "mipro")
STATUS = {
    "session_id": "tutor",
    "status": "started",
    "rollout_count": 120,
    "reward_count": 40,
    "candidate_count": 2,
    "incumbent_id": "baseline",
    "best_candidate_id": "cand_1",
    "candidates": [
        {"candidate_id": "baseline", "role": "incumbent", "share": 0.9, "reward_count": 30,
         "avg_reward": 0.5, "expected_reward": 0.51, "interval": [0.4, 0.6],
         "certainty": "the prompt you started with"},
        {"candidate_id": "cand_1", "role": "challenger", "share": 0.1, "avg_reward": None},
    ],
    "safety": {
        "pinned": "cand_1",
        "events": [
            {"seq": 1, "at": 0, "kind": "refused", "candidate_id": "", "detail": {"why": "x"}}
        ],
    },
}  # fmt: skip
EXPORT = {
    "candidate_id": "cand_1",
    "text": "You are {who}.",
    "messages": [{"role": "system", "content": "You are {who}."}],
}


class Api:
    """A sidecar's session API that records what it was asked."""

    def __init__(self):
        self.calls = []

    async def handle(self, request):
        self.calls.append(
            (request.method, request.path_qs, await request.text(), dict(request.headers))
        )
        name = request.path.rpartition("/sessions/")[2]
        if name.startswith("gone") or (name.startswith("grid") and request.path.startswith(BASE)):
            problem = {"title": "Not Found", "status": 404, "detail": "there is no session 'gone'"}
            return web.json_response(problem, status=404)
        if request.path == MIPRO:
            return web.json_response({"sessions": []})
        if request.path.startswith(f"{BASE}/odd"):
            return web.Response(status=502, text="<h1>Bad gateway</h1>")
        if request.path.endswith("/export"):
            return web.json_response(EXPORT)
        if request.path == BASE:
            return web.json_response({"sessions": [STATUS]})
        return web.json_response(STATUS)


@pytest.fixture
async def api(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("SIDECAR_KEY", "SIDECAR_URL"):
        monkeypatch.delenv(name, raising=False)
    api = Api()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    async with TestServer(app) as server:
        api.url = str(server.make_url("")).rstrip("/")
        api.port = server.port
        yield api


@pytest.fixture
def run(capsys):
    """Run a command (in a thread: it brings its own loop); exit code, output, errors."""

    async def run(*arguments):
        code = await asyncio.to_thread(main, arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


async def test_list_is_a_table(api, run):
    code, out, _ = await run("sessions", "list", "--url", api.url)
    assert code == 0
    head, line = out.splitlines()
    assert head.startswith("session  status   rollouts  rewards  candidates  incumbent  best")
    assert line.split() == ["tutor", "started", "120", "40", "2", "baseline", "cand_1"]


async def test_a_session_of_the_other_algorithm_is_found(api, run):
    code, *_ = await run("sessions", "pause", "grid", "--url", api.url)
    assert code == 0
    assert [call[1] for call in api.calls] == [f"{BASE}/grid/pause", f"{MIPRO}/grid/pause"]


async def test_show_has_candidates_and_events(api, run):
    code, out, _ = await run("sessions", "show", "tutor", "--url", api.url)
    assert code == 0
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "session tutor: started, 120 rollouts, 40 rewards",
        "pinned: cand_1",
        "",
        "candidate role share rewards mean expected 95 % interval certainty",
        "baseline incumbent 90.0% 30 0.500 0.510 0.400 to 0.600 the prompt you started with",
        "cand_1 challenger 10.0% - - - - -",
        "",
        "time (UTC) event candidate detail",
        "1970-01-01 00:00:00 refused - why x",
    ]


@pytest.mark.parametrize("command", [("list",), ("show", "tutor"), ("pause", "tutor")])
async def test_programs_get_what_the_api_said(api, run, command):
    _, out, _ = await run("sessions", *command, "--url", api.url, "--json")
    assert json.loads(out) in (STATUS, [STATUS])


@pytest.mark.parametrize("action", ["pause", "resume", "cancel", "unpin", "rollback"])
async def test_steering_posts_the_action(api, run, action):
    code, out, _ = await run("sessions", action, "tutor", "--url", api.url)
    assert code == 0
    assert out.startswith("tutor: ")
    method, path, body, _ = api.calls[0]
    assert (method, path, json.loads(body)) == ("POST", f"{BASE}/tutor/{action}", {})


@pytest.mark.parametrize(
    ("action", "said"),
    [("pin", "pinned"), ("approve", "serves by default now"), ("retire", "retired")],
)
async def test_what_is_about_a_candidate_says_which(api, run, action, said):
    _, out, _ = await run("sessions", action, "tutor", "cand_1", "--url", api.url)
    assert out == f"tutor: cand_1 {said}\n"
    assert api.calls[0][1] == f"{BASE}/tutor/{action}"
    assert json.loads(api.calls[0][2]) == {"candidate_id": "cand_1"}


async def test_export_writes_the_prompt_and_nothing_else(api, run):
    _, out, _ = await run("sessions", "export", "tutor", "--url", api.url)
    assert out == "You are {who}.\n"
    _, out, _ = await run(
        "sessions", "export", "tutor", "--candidate", "c", "--format", "messages", "--url", api.url
    )
    assert json.loads(out) == EXPORT["messages"]
    assert api.calls[1][1] == f"{BASE}/tutor/export?candidate_id=c"
    _, out, _ = await run("sessions", "export", "tutor", "--format", "json", "--url", api.url)
    assert json.loads(out) == EXPORT


async def test_an_id_cannot_leave_its_place_in_the_path(api, run):
    await run("sessions", "show", "../a b?c", "--url", api.url)
    assert api.calls[0][1] == f"{BASE}/..%2Fa%20b%3Fc"


async def test_the_servers_words_are_the_error(api, run):
    code, out, err = await run("sessions", "show", "gone", "--url", api.url)
    assert (code, out, err) == (1, "", "sidecar: there is no session 'gone'\n")
    code, _, err = await run("sessions", "show", "odd", "--url", api.url)
    assert (code, err) == (1, "sidecar: HTTP 502 Bad Gateway: <h1>Bad gateway</h1>\n")


async def test_nobody_there_is_one_line(run):
    code, out, err = await run("sessions", "list", "--url", "http://127.0.0.1:1")
    assert (code, out) == (1, "")
    assert err.startswith("sidecar: no sidecar answers at http://127.0.0.1:1")
    assert len(err.splitlines()) == 1


async def test_the_key_comes_from_flag_or_environment(api, run, monkeypatch):
    monkeypatch.setenv("SIDECAR_URL", api.url)
    monkeypatch.setenv("SIDECAR_KEY", "from-environment")
    await run("sessions", "show", "tutor")
    await run("sessions", "show", "tutor", "--key", "from-flag")
    sent = [headers["Authorization"] for *_, headers in api.calls]
    assert sent == ["Bearer from-environment", "Bearer from-flag"]


async def test_the_settings_key_goes_to_the_settings_address_only(api, run, monkeypatch):
    monkeypatch.setenv("SIDECAR_SERVER__PORT", str(api.port))
    monkeypatch.setenv("SIDECAR_SERVER__API_KEYS", "ours")
    await run("sessions", "show", "tutor")
    await run("sessions", "show", "tutor", "--url", api.url)
    sent = [headers.get("Authorization") for *_, headers in api.calls]
    assert sent == ["Bearer ours", None]


@pytest.mark.parametrize(
    "arguments", [(), ("fly",), ("sessions",), ("sessions", "pin", "x"), ("serve", "--prot", "1")]
)
def test_wrong_usage_is_2(arguments, capsys):
    assert main(arguments) == 2
    assert "usage: sidecar" in capsys.readouterr().err


def test_version(capsys):
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("arguments", [["version"], ["check", "--help"], ["serve", "--help"]])
def test_what_needs_nothing_loads_nothing(arguments):
    code = (
        "import sys; from sidecar.cli import main; main(sys.argv[1:]); "
        "print(sorted({'aiohttp', 'openai', 'gepa', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def served(workdir, *arguments):
    """`sidecar serve` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "sidecar", "serve", *arguments],
        cwd=workdir,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_serve_says_where_it_listens_and_leaves_on_a_signal(tmp_path):
    with served(tmp_path, "--port", "0", "--log-level", "error") as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("sidecar: listening on http://127.0.0.1:")
            with urllib.request.urlopen(line.split()[-1] + "/livez", timeout=10) as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_a_taken_port_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = served(tmp_path, "--port", str(taken.getsockname()[1]))
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    last = said.splitlines()[-1]
    assert last.startswith("sidecar: ")
    assert "address already in use" in last
    assert "Traceback" not in said
