"""Where settings come from, who wins, and what is shown of them."""

from pathlib import Path

import pytest

from sidecar.cli import _parser
from sidecar.loading import SettingsError, describe, load, read
from sidecar.loading.sources import NAMES, flag_of
from sidecar.settings import Settings

PROMPT = 'id = "tutor"\nbaseline = "You are a tutor."\n'


@pytest.fixture(autouse=True)
def workdir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(text, name="sidecar.toml"):
    Path(name).write_text(text, encoding="utf-8")
    return Path(name)


def problems(environ=None, flags=None, file=None):
    with pytest.raises(SettingsError) as caught:
        load(flags or {}, environ or {}, file)
    return {problem.name: problem for problem in caught.value.problems}


def test_nothing_said_gives_the_defaults():
    assert load({}, {}) == Settings()


def test_a_flag_beats_the_environment_beats_the_file():
    written("[server]\nport = 1\nhost = '127.0.0.2'\ndrain_seconds = 3\n")
    environ = {"SIDECAR_SERVER__PORT": "2", "SIDECAR_SERVER__HOST": "127.0.0.3"}
    loaded = read({"server.port": "3"}, environ)
    server = loaded.settings.server
    assert (server.port, server.host, server.drain_seconds) == (3, "127.0.0.3", 3)
    assert loaded.sources["server.port"] == "flag --port"
    assert loaded.sources["server.host"] == "environment SIDECAR_SERVER__HOST"
    assert loaded.sources["server.drain_seconds"] == "file sidecar.toml"


def test_a_flag_that_was_not_given_says_nothing():
    assert load({"server.port": None}, {"PORT": "9"}).server.port == 9


def test_names_that_people_have_anyway_are_understood_and_lose_against_ours():
    environ = {
        "OPENAI_API_KEY": "sk-theirs",
        "OPENAI_BASE_URL": "http://models.internal/v1",
        "PORT": "9000",
        "LOG_LEVEL": "WARN",
        "SIDECAR_SERVER__PORT": "9001",
    }
    settings = load({}, environ)
    assert settings.provider.api_key.get_secret_value() == "sk-theirs"
    assert settings.provider.base_url == "http://models.internal/v1"
    assert settings.server.port == 9001
    assert settings.log.level == "warning"


def test_a_variable_set_to_nothing_is_not_set():
    assert load({}, {"OPENAI_API_KEY": "", "SIDECAR_SERVER__PORT": ""}) == Settings()


@pytest.mark.parametrize("text", ["one,two", "one, two,", '["one", "two"]'])
def test_lists_are_comma_separated_or_json(text):
    keys = load({}, {"SIDECAR_SERVER__API_KEYS": text}).server.api_keys
    assert [key.get_secret_value() for key in keys] == ["one", "two"]


def test_routes_can_be_one_json_value():
    settings = load({}, {"SIDECAR_ROUTES": '[{"session": "tutor", "model": "gpt-*"}]'})
    assert settings.routes[0].model == "gpt-*"


@pytest.mark.parametrize(
    "variable", ["OPENAI_API_KEY", "SIDECAR_PROVIDER__API_KEY", "SIDECAR_ENGINE__PROPOSER_API_KEY"]
)
def test_every_secret_may_come_from_a_file(variable):
    file = written("sk-mounted\n", "secret")
    settings = load({}, {f"{variable}_FILE": str(file)})
    secret = settings.provider.api_key or settings.engine.proposer_api_key
    assert secret.get_secret_value() == "sk-mounted"


def test_a_file_of_keys_holds_one_a_line():
    file = written("one\ntwo\n", "keys")
    keys = load({}, {"SIDECAR_SERVER__API_KEYS_FILE": str(file)}).server.api_keys
    assert [key.get_secret_value() for key in keys] == ["one", "two"]


def test_a_named_file_must_exist_the_usual_one_need_not():
    assert "cannot be read" in problems(file=Path("other.toml"))["other.toml"].message
    environ = {"SIDECAR_CONFIG": "third.toml"}
    assert "cannot be read" in problems(environ)["third.toml"].message


def test_the_named_file_is_read_instead_of_the_usual_one():
    written("[server]\nport = 1\n")
    other = written("[server]\nport = 2\n", "other.toml")
    assert load({}, {"SIDECAR_CONFIG": "other.toml"}).server.port == 2
    assert load({}, {"SIDECAR_CONFIG": "sidecar.toml"}, other).server.port == 2


def test_a_baseline_file_is_found_beside_the_settings_file(workdir):
    (workdir / "conf").mkdir()
    written("You are a tutor.", "conf/tutor.txt")
    file = written("[[sessions]]\nid = 't'\nbaseline_file = 'tutor.txt'\n", "conf/s.toml")
    (session,) = load({}, {}, file).sessions
    message = session.config_body()["prompt_learning"]["initial_prompt"]["messages"][0]
    assert message == {"role": "system", "pattern": "You are a tutor."}


def test_variables_that_kubernetes_makes_for_a_service_are_not_ours():
    environ = {
        "SIDECAR_SERVICE_HOST": "10.0.0.1",
        "SIDECAR_SERVICE_PORT": "80",
        "SIDECAR_SERVICE_PORT_HTTP": "80",
        "SIDECAR_PORT": "tcp://10.0.0.1:80",
        "SIDECAR_PORT_80_TCP": "tcp://10.0.0.1:80",
        "SIDECAR_PORT_80_TCP_ADDR": "10.0.0.1",
        "SIDECAR_EDGE_SERVICE_HOST": "10.0.0.1",
    }
    assert load({}, environ) == Settings()


def test_every_setting_is_shown_with_its_source_and_no_secret():
    written(f"[[sessions]]\n{PROMPT}config = {{ gepa = {{ proposer_api_key = 'sk-inner' }} }}\n")
    environ = {"OPENAI_API_KEY": "sk-outer", "SIDECAR_SERVER__API_KEYS": "key-one,key-two"}
    loaded = read({"server.port": 1}, environ)
    rows = {row.name: row for row in describe(loaded.settings, loaded.sources)}
    assert (rows["server.port"].value, rows["server.port"].source) == (1, "flag --port")
    assert rows["server.host"].source == "default"
    assert rows["sessions.0.baseline"].source == "file sidecar.toml"
    shown = repr(rows)
    assert not [s for s in ("sk-inner", "sk-outer", "key-one", "key-two") if s in shown]
    assert rows["provider.api_key"].value == "********"
    assert rows["engine.proposer_api_key"].value is None


def test_a_route_to_a_session_to_come_is_a_warning():
    environ = {"SIDECAR_ROUTES": '[{"session": "later"}]'}
    (warning,) = read({}, environ).warnings
    assert warning.name == "routes.0.session"


def test_a_session_without_a_key_to_propose_with_is_a_warning():
    written(f"[[sessions]]\n{PROMPT}wildcards = {{ date = 'REQUIRED' }}\n")
    names = [warning.name for warning in read({}, {}).warnings]
    assert names == ["provider.api_key", "sessions.0.wildcards.date"]
    assert "provider.api_key" not in [w.name for w in read({}, {"OPENAI_API_KEY": "k"}).warnings]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_may_be_open(host):
    assert load({"server.host": host}, {}).server.host == host


def test_prices_are_a_table_in_the_file_and_json_in_the_environment():
    written('[jobs]\nprices = { "m" = [0.5, 2] }\n')
    assert load({}, {}).jobs.prices == {"m": (0.5, 2.0)}
    environ = {"SIDECAR_JOBS__PRICES": '{"other": [1, 2.5]}'}
    assert load({}, environ).jobs.prices == {"other": (1.0, 2.5)}
    for wrong in ("x", "[1, 2]", '{"m": 1}', '{"m": [1]}', '{"m": ["a", "b"]}'):
        assert "jobs.prices" in problems({"SIDECAR_JOBS__PRICES": wrong})


def test_an_address_for_task_apps_is_an_address():
    assert "jobs.interceptor_url" in problems({"SIDECAR_JOBS__INTERCEPTOR_URL": "sidecar:8080"})


def test_beyond_loopback_needs_a_key_or_the_word():
    environ = {"SIDECAR_SERVER__HOST": "0.0.0.0"}
    assert "server.host" in problems(environ)
    assert load({}, {**environ, "SIDECAR_SERVER__API_KEYS": "k"}).server.api_keys
    assert load({"server.allow_open": True}, environ).server.allow_open


def test_the_published_prompt_form_stands_in_for_a_baseline():
    written(
        "[[sessions]]\nid = 't'\n[sessions.config.initial_prompt]\n"
        "messages = [{ role = 'system', pattern = 'You are {who}.' }]\n"
    )
    assert load({}, {}).sessions[0].id == "t"


def test_flags_are_called_what_problems_call_them():
    """`flag_of` names a flag in a message; the parser declares it."""
    arguments = vars(_parser().parse_args(["serve"]))
    for name in (name for name in arguments if "." in name):
        value = [] if name == "server.allow_open" else ["1"]
        parsed = _parser().parse_args(["serve", flag_of(name), *value])
        assert getattr(parsed, name)


def test_a_store_needs_a_file_name(workdir):
    assert "is a directory" in problems(flags={"store.path": str(workdir)})["store.path"].message


def test_a_session_at_a_remote_backend_needs_no_prompt_and_may_be_configured_as_that_one_likes():
    remote = "[backend]\nkind = 'remote'\nurl = 'https://api.example.com'\n"
    written(
        remote + "[[sessions]]\nid = 'found'\n"
        "[[sessions]]\nid = 'made'\nbaseline = 'You are a tutor.'\nconfig.gepa.only_theirs = 1\n"
        "[[routes]]\nsession = 'elsewhere'\n"
    )
    loaded = read({}, {})
    found, made = loaded.settings.sessions
    assert found.create_request() == {"session_id": "found"}
    section = made.create_request()["config_body"]["prompt_learning"]
    assert section["gepa"] == {"only_theirs": 1}
    assert loaded.warnings == ()


def test_a_session_at_a_remote_backend_still_needs_a_file_that_can_be_read():
    written(
        "[backend]\nkind = 'remote'\nurl = 'https://api.example.com'\n"
        "[[sessions]]\nid = 'one'\nbaseline_file = 'gone'\n"
        "[[sessions]]\nid = 'two'\nbaseline_file = 'gone'\nbaseline = 'x'\n"
    )
    assert set(problems()) == {"sessions.0.baseline_file", "sessions.1"}


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"SIDECAR_BACKEND__URL": "https://api.example.com"}, "is not used while backend.kind"),
        (
            {
                "SIDECAR_BACKEND__KIND": "remote",
                "SIDECAR_BACKEND__URL": "http://api.example.com",
                "SIDECAR_BACKEND__API_KEY": "key",
            },
            "travels unencrypted",
        ),
    ],
)
def test_a_doubtful_backend_is_said_and_served(environ, words):
    (warning,) = read({}, environ).warnings
    assert warning.name == "backend.url"
    assert words in warning.message


def test_the_backends_key_is_never_shown():
    environ = {"SIDECAR_BACKEND__API_KEY": "do-not-show-me"}
    loaded = read({}, environ)
    assert "do-not-show-me" not in repr(describe(loaded.settings, loaded.sources))
    assert "do-not-show-me" not in repr(loaded.settings)


def test_every_setting_is_in_the_handbook():
    handbook = (Path(__file__).parents[2] / "docs/operations.md").read_text(encoding="utf-8")
    assert not [name for name in NAMES if f"`{name}`" not in handbook]
