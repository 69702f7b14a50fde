"""P22: misconfiguration fails at start, naming every wrong setting, and showing no secret."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.loading import SettingsError, load

ROOT = Path(__file__).parents[2]
SECRET = "do-not-show-me"


def redis(url: str, **more: str) -> dict[str, str]:
    return {"SIDECAR_STORE__KIND": "redis", "REDIS_URL": url, **more}


ENVIRONMENTS = {
    "unknown name": ({"SIDECAR_SERVR__PORT": "1"}, "did you mean SIDECAR_SERVER__PORT"),
    "unknown section": ({"SIDECAR_REDIS__URL": "x"}, "SIDECAR_REDIS__URL"),
    "not a number": ({"PORT": "eighty"}, "a whole number from 0 to 65535 (environment PORT)"),
    "out of range": ({"SIDECAR_SERVER__PORT": "70000"}, "server.port: got '70000'"),
    "not a truth value": ({"SIDECAR_SERVER__ALLOW_OPEN": "perhaps"}, "true or false"),
    "not a choice": ({"SIDECAR_STORE__KIND": "postgres"}, "one of sqlite, memory, redis"),
    "redis where": (redis(""), "SIDECAR_STORE__URL or REDIS_URL"),
    "redis by http": (redis(f"http://:{SECRET}@host"), "needs redis://, rediss:// (TLS) or unix"),
    "redis without host": (redis(f"redis://u:{SECRET}@/0"), "store.url: needs a host"),
    "redis port": (redis(f"redis://:{SECRET}@host:port"), "store.url: is not a URL"),
    "redis password not encoded": (redis(f"redis://:{SECRET}/x@host"), "store.url: is not a URL"),
    "redis database": (redis(f"rediss://:{SECRET}@host/main"), "the number of a database"),
    "redis socket": (redis("unix://"), "needs the socket's path"),
    "redis unverified": (
        redis(f"rediss://:{SECRET}@host?ssl_cert_reqs=none&{SECRET}=1"),
        "options that cannot be set (2); only db, ssl_ca_certs",
    ),
    "redis prefix": (
        redis("redis://host", SIDECAR_STORE__PREFIX="a{b}"),
        "store.prefix: needs 1 to 64",
    ),
    "redis patience": (redis("redis://host", SIDECAR_STORE__TIMEOUT_MS="0"), "a number above 0"),
    "not above zero": ({"SIDECAR_PROVIDER__READ_TIMEOUT": "0"}, "a number above 0"),
    "open to the world": ({"SIDECAR_SERVER__HOST": "0.0.0.0"}, "server.allow_open = true"),
    "scheme": ({"OPENAI_BASE_URL": "ftp://host/v1"}, "needs http:// or https:// and a host"),
    "no host": ({"OPENAI_BASE_URL": "https:///v1"}, "needs http:// or https:// and a host"),
    "key in the URL": ({"OPENAI_BASE_URL": f"https://u:{SECRET}@host/v1"}, "user or password"),
    "ourselves": ({"OPENAI_BASE_URL": "http://localhost:8080/v1"}, "is this sidecar itself"),
    "secret file missing": ({"OPENAI_API_KEY_FILE": "nowhere"}, "OPENAI_API_KEY_FILE names"),
    "secret twice": (
        {"SIDECAR_PROVIDER__API_KEY": SECRET, "SIDECAR_PROVIDER__API_KEY_FILE": "x"},
        "both set",
    ),
    "file for a non-secret": ({"SIDECAR_SERVER__PORT_FILE": "x"}, "only secrets"),
    "broken JSON": ({"SIDECAR_ROUTES": "[{"}, "routes: is not valid JSON"),
    "part of a list": ({"SIDECAR_SESSIONS__0__ID": "x"}, "a list is set whole"),
    "nothing to replace with": ({"SIDECAR_PROVIDER__KEY_MODE": "replace"}, "OPENAI_API_KEY"),
    "no address of the backend": (
        {"SIDECAR_BACKEND__KIND": "remote"},
        "backend.url: backend.kind is",
    ),
    "backend is ourselves": (
        {"SIDECAR_BACKEND__KIND": "remote", "SIDECAR_BACKEND__URL": "http://127.0.0.1:8080/api"},
        "backend.url: 'http://127.0.0.1:8080/api' is this sidecar itself",
    ),
    "more than an origin": (
        {"SIDECAR_BACKEND__ALLOWED_ORIGINS": "https://a.example/path"},
        "backend.allowed_origins.0: is more than an origin",
    ),
    "no origin": (
        {"SIDECAR_BACKEND__ALLOWED_ORIGINS": "a.example"},
        "allowed_origins.0: needs http",
    ),
    "backend's key is no key": (
        {"SIDECAR_BACKEND__API_KEY": f"{SECRET} and more"},
        "backend.api_key: holds characters",
    ),
    "no directory": ({"SIDECAR_STORE__PATH": "no/where.db"}, "does not exist"),
    "missing file": ({"SIDECAR_CONFIG": "gone.toml"}, "gone.toml: cannot be read"),
}

FILES = {
    "not TOML": ("[server\n", "is not TOML"),
    "unknown section": ("[sever]\n", "did you mean server?"),
    "unknown key": ("[server]\nprot = 1\n", "server.prot: there is no such setting; did you mean"),
    "key outside its section": ("port = 1\n", "did you mean server.port?"),
    "no section": ("server = 1\n", "must be a table, [server]"),
    "no prompt": ("[[sessions]]\nid = 't'\n", "the system prompt you use today"),
    "two prompts": (
        "[[sessions]]\nid = 't'\nbaseline = 'x'\nbaseline_file = 'y'\n",
        "both baseline and baseline_file",
    ),
    "prompt file missing": ("[[sessions]]\nid = 't'\nbaseline_file = 'y'\n", "cannot be read"),
    "no id": ("[[sessions]]\nbaseline = 'x'\n", "sessions.0.id: is missing"),
    "impossible id": ("[[sessions]]\nid = 'a b'\nbaseline = 'x'\n", "needs 1 to 64"),
    "same id twice": ("[[sessions]]\nid = 't'\nbaseline = 'x'\n" * 2, "'t' is used 2 times"),
    "unknown session key": ("[[sessions]]\nid = 't'\nbasline = 'x'\n", "did you mean baseline?"),
    "unknown online key": (
        "[[sessions]]\nid = 't'\nbaseline = 'x'\nconfig.gepa.online_typo = 1\n",
        "online_typo",
    ),
    "wildcard": (
        "[[sessions]]\nid = 't'\nbaseline = 'x'\nwildcards = { a = 'MAYBE' }\n",
        "one of REQUIRED, OPTIONAL",
    ),
    "star in the middle": ("[[routes]]\nsession = 't'\nmodel = 'a*b'\n", "at the end"),
    "not a hash": ("[[routes]]\nsession = 't'\napi_key_sha256 = 'abc'\n", "64 hex digits"),
    "not a list": ("routes = 3\n", "a list of tables"),
}


def sidecar(workdir, environ, *arguments):
    """The command as a user runs it, in an otherwise empty environment."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "sidecar", *arguments],
        cwd=workdir,
        env={**kept, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refusal(run):
    """What was said, after making sure that it was said properly."""
    assert run.returncode == 2, run
    assert "Traceback" not in run.stderr
    assert SECRET not in run.stdout + run.stderr
    return run.stderr


@pytest.mark.parametrize("case", ENVIRONMENTS)
def test_a_bad_environment_is_refused_with_its_cure(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environ, words = ENVIRONMENTS[case]
    with pytest.raises(SettingsError) as refused:
        load({}, environ)
    assert words in str(refused.value)
    assert SECRET not in str(refused.value)


def test_the_url_of_a_redis_server_is_never_shown(tmp_path):
    environ = redis(f"redis://user:{SECRET}@db.internal:6379/0")
    run = sidecar(tmp_path, environ, "check")
    assert run.returncode == 0, run
    assert "store.url" in run.stdout
    assert "rediss:// encrypts them" in run.stdout + run.stderr
    for secret in (SECRET, "user:", "db.internal"):
        assert secret not in run.stdout + run.stderr


@pytest.mark.parametrize("case", FILES)
def test_a_bad_file_is_refused_with_its_cure(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, words = FILES[case]
    Path("sidecar.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        load({}, {})
    assert words in str(refused.value)


@pytest.mark.parametrize("command", ["check", "serve"])
def test_everything_wrong_is_named_at_once(command, tmp_path):
    (tmp_path / "sidecar.toml").write_text(
        "[provider]\nbase_url = 'nowhere'\nunknown = 1\n"
        "[[sessions]]\nbaseline_file = 'gone'\nalgorithm = 'magic'\n"
        "[[routes]]\nsession = 3\n",
        encoding="utf-8",
    )
    environ = {
        "SIDECAR_SERVER__HOST": "0.0.0.0",
        "SIDECAR_LOG__LEVLE": "info",
        "SIDECAR_GATEWAY__REMEMBER": "few",
        "SIDECAR_PROVIDER__API_KEY": SECRET,
    }
    said = refusal(sidecar(tmp_path, environ, command, "--port", "http"))
    for name in (
        "SIDECAR_LOG__LEVLE", "server.port", "server.host", "gateway.remember", "provider.base_url",
        "provider.unknown", "sessions.0.id", "sessions.0.algorithm", "sessions.0.baseline_file",
        "routes.0.session",
    ):  # fmt: skip
        assert f"  {name}: " in said
    assert "10 settings are wrong" in said
    assert "(flag --port)" in said
    assert "(environment SIDECAR_GATEWAY__REMEMBER)" in said
    assert "(file sidecar.toml)" in said


def test_programs_get_the_same_list(tmp_path):
    run = sidecar(tmp_path, {"PORT": "x", "SIDECAR_X": "y"}, "check", "--json")
    assert run.returncode == 2
    answer = json.loads(run.stdout)
    assert not answer["ok"]
    assert {problem["name"] for problem in answer["problems"]} == {"server.port", "SIDECAR_X"}


def test_right_settings_are_shown_with_their_sources(tmp_path):
    run = sidecar(tmp_path, {"OPENAI_API_KEY": SECRET, "PORT": "9"}, "check")
    assert run.returncode == 0, run.stderr
    assert SECRET not in run.stdout
    assert "environment OPENAI_API_KEY" in run.stdout
    assert "environment PORT" in run.stdout


def test_the_example_file_is_right(tmp_path):
    example = str(ROOT / "sidecar.example.toml")
    run = sidecar(tmp_path, {"OPENAI_API_KEY": "k"}, "check", "--config", example)
    assert run.returncode == 0, run.stderr
