"""Configuration files, the environment and wrong arguments: told before anything is sent."""

import json
from pathlib import Path

import pytest
from support.session_client import VARIABLES, session_server

from sidecar.client import ApiError, ConfigError, GepaOnlineSession, MiproOnlineSession

NOBODY = "http://127.0.0.1:1"
TOML = """\
[prompt_learning]
algorithm = "gepa"
[prompt_learning.initial_prompt]
messages = [{ role = "system", pattern = "Grüß Gott, {name}." }]
[prompt_learning.gepa]
mode = "online"
"""
BODY = {
    "prompt_learning": {
        "algorithm": "gepa",
        "initial_prompt": {"messages": [{"role": "system", "pattern": "Grüß Gott, {name}."}]},
        "gepa": {"mode": "online"},
    }
}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def server():
    async with session_server() as server:
        server.says({"session_id": "s1"})
        yield server


def written(name, text, encoding="utf-8"):
    path = Path(name)
    path.write_text(text, encoding=encoding)
    return path


# -- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("argument", ["config", "config_path"])
@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize(
    ("name", "text"),
    [("c.toml", TOML), ("c.json", json.dumps(BODY)), ("c.JSON", "\ufeff" + json.dumps(BODY))],
)
async def test_a_file_is_read_here_and_sent(server, argument, kind, name, text):
    path = kind(written(name, text))
    await GepaOnlineSession.create_async(backend_url=server.url, **{argument: path})
    assert server.calls[0][2] == {"config_body": BODY, "overrides": {}, "metadata": {}}


async def test_the_other_name_of_the_section_is_as_good(server):
    written("c.json", json.dumps({"policy_optimization": BODY["prompt_learning"]}))
    await GepaOnlineSession.create_async(backend_url=server.url, config="c.json")
    assert list(server.calls[0][2]["config_body"]) == ["policy_optimization"]


MESSAGES = 'initial_prompt = {messages = [{role = "system", pattern = "x"}]}'
BAD = [
    ("c.toml", "[prompt_learning]\nalgorithm = \n", "c.toml is not valid TOML: .*line 2"),
    ("c.json", '{\n"a": 1,,\n}', "c.json is not valid JSON: .*line 2"),
    ("c.json", "[" * 100_000, "c.json is not valid JSON: .*recursion"),
    ("c.json", "[]", "c.json must hold an object"),
    ("c.yaml", "a: 1", "c.yaml must be a .toml or a .json file"),
    ("c.toml", "", r"no \[prompt_learning\] section .*, but nothing"),
    ("c.toml", "sessions = []\nroutes = []", r"no \[prompt_learning\] section .*sessions, routes"),
    ("c.toml", "prompt_learning = 1", r"no \[prompt_learning\] section"),
    ("c.toml", "[prompt_learning]", "prompt_learning.algorithm must be 'gepa' .*, not None"),
    ("c.toml", '[policy_optimization]\nalgorithm = "mipro"', "must be 'gepa' .*, not 'mipro'"),
    ("c.toml", '[prompt_learning]\nalgorithm = "gepa"', "initial_prompt.messages must hold"),
    ("c.toml", f"{TOML.replace(TOML.splitlines()[3], 'messages = []')}", "messages must hold"),
]


@pytest.mark.parametrize(("name", "text", "says"), BAD)
def test_a_file_that_no_session_can_start_from_is_refused_in_words(name, text, says):
    written(name, text)
    with pytest.raises(ConfigError, match=says):
        GepaOnlineSession.create(backend_url=NOBODY, config=name)


def test_a_file_for_the_other_class_is_refused():
    written("c.toml", TOML)
    with pytest.raises(ConfigError, match="must be 'mipro' for this class, not 'gepa'"):
        MiproOnlineSession.create(backend_url=NOBODY, config="c.toml")


def test_a_file_that_cannot_be_read_is_named_in_full(tmp_path):
    with pytest.raises(ConfigError, match=f"{tmp_path}/gone.toml .*: No such file or directory"):
        GepaOnlineSession.create(backend_url=NOBODY, config="gone.toml")
    Path("folder.toml").mkdir()
    with pytest.raises(ConfigError, match=r"folder.toml .*: Is a directory"):
        GepaOnlineSession.create(backend_url=NOBODY, config_path="folder.toml")
    written("latin.toml", TOML, "latin-1")
    with pytest.raises(ConfigError, match=r"latin.toml is not valid TOML: 'utf-8' codec"):
        GepaOnlineSession.create(backend_url=NOBODY, config="latin.toml")


@pytest.mark.parametrize(
    "two",
    [
        {"config": BODY, "config_body": BODY},
        {"config": BODY, "config_path": "c.toml"},
        {"config": "c.toml", "config_name": "c"},
        {"config_body": BODY, "config_name": "c"},
    ],
)
async def test_two_configs_are_refused_before_any_request(server, two):
    with pytest.raises(ValueError, match=r" and .* exclude each other"):
        await GepaOnlineSession.create_async(backend_url=server.url, **two)
    assert server.calls == []


# -- where to, and with which key ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "arguments", "base", "key"),
    [
        ({}, {}, "http://127.0.0.1:8080", ""),
        ({"SIDECAR_URL": "http://a", "SYNTH_BACKEND_URL": "http://b"}, {}, "http://a", ""),
        ({"SIDECAR_URL": "", "SYNTH_BACKEND_URL": "http://b"}, {}, "http://b", ""),
        ({"SIDECAR_URL": "http://a"}, {"backend_url": "http://c"}, "http://c", ""),
        ({}, {"backend_url": "https://c/api/"}, "https://c", ""),
        ({}, {"backend_url": "http://[::1]:8/x/"}, "http://[::1]:8/x", ""),
        ({"SIDECAR_KEY": "k", "SYNTH_API_KEY": "s"}, {}, "http://127.0.0.1:8080", "k"),
        ({"SIDECAR_KEY": "", "SYNTH_API_KEY": "s"}, {}, "http://127.0.0.1:8080", "s"),
        ({"SIDECAR_KEY": "k\n"}, {}, "http://127.0.0.1:8080", "k"),
        ({"SIDECAR_KEY": "k"}, {"api_key": "own"}, "http://127.0.0.1:8080", "own"),
        ({"SIDECAR_KEY": "k"}, {"api_key": ""}, "http://127.0.0.1:8080", ""),
        ({"SYNTH_BACKEND_URL": "http://b", "SIDECAR_KEY": "k"}, {}, "http://b", ""),
        (
            {"SYNTH_BACKEND_URL": "http://b", "SIDECAR_KEY": "k", "SYNTH_API_KEY": "s"},
            {},
            "http://b",
            "s",
        ),
    ],
)
def test_address_and_key_come_from_arguments_then_the_environment(
    monkeypatch, environment, arguments, base, key
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    target = GepaOnlineSession("s1", **arguments)._target
    assert (target.base, target.key) == (base, key)


async def test_the_address_of_the_environment_is_called(server, monkeypatch):
    monkeypatch.setenv("SIDECAR_URL", f"{server.url}/api")
    monkeypatch.setenv("SIDECAR_KEY", "k")
    await GepaOnlineSession("s1").status_async()
    assert server.calls[0][1] == "/api/prompt-learning/online/gepa/sessions/s1"
    assert server.headers[0]["Authorization"] == "Bearer k"


@pytest.mark.parametrize(
    "url",
    ["localhost:8080", "ftp://a", "http://", "http://a?b=c", "http://a#b", "http://a b", "http://a..b",
     "http://a:99999", "http://a:0", "http://a\n", "http://ä", "http://[::1", "file:///etc/passwd"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ConfigError, match="is not the address of a server"):
        GepaOnlineSession("s1", backend_url=url)


def test_a_password_in_an_address_is_refused_and_not_shown():
    with pytest.raises(ConfigError, match="api_key") as raised:
        GepaOnlineSession("s1", backend_url="http://me:hunter2@a")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("key", ["two words", "two\nlines", "schlüssel", "nul\0"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(key):
    with pytest.raises(ConfigError, match="characters") as raised:
        GepaOnlineSession("s1", api_key=key)
    assert key not in str(raised.value)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_timeout_is_a_span_of_time(timeout):
    with pytest.raises(ConfigError, match="timeout"):
        GepaOnlineSession("s1", timeout=timeout)


def test_an_api_error_is_no_config_error():
    assert not issubclass(ApiError, ValueError)
    assert issubclass(ConfigError, ValueError)
