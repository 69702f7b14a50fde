"""The settings of feedback sources: all that is wrong is named, and no secret is."""

import pytest

from sidecar.loading import SettingsError, describe, read

CANARY = "whsec_Y2FuYXJ5LXNlY3JldC1vZi1hdC1sZWFzdC0yNC1ieXRlcw=="
SOURCE = f"[[sources]]\nname = 'desk'\nsignature = 'standard'\nsecrets = ['{CANARY}']\n"


@pytest.fixture(autouse=True)
def in_its_own_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def loaded(text, **environ):
    with open("sidecar.toml", "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)
    return read({}, environ)


def problems(text, **environ):
    with pytest.raises(SettingsError) as refused:
        loaded(text, **environ)
    assert CANARY not in str(refused.value)
    return {problem.name: problem.message for problem in refused.value.problems}


WRONG = {
    "no name": ("signature = 'none'", "sources.0.name", "is missing"),
    "a name that no path has": ("name = 'A b'", "sources.0.name", "characters a-z 0-9"),
    "a name of our own": ("name = 'dead-letters'", "sources.0.name", "another meaning"),
    "no signature": ("name = 'd'", "sources.0.signature", "is missing; needs one of standard,"),
    "unknown signature": ("signature = 'standart'", "sources.0.signature", "mean standard?"),
    "unknown kind": ("kind = 'generik'", "sources.0.kind", "did you mean generic?"),
    "unknown option": ("options = { a = 1 }", "sources.0.options.a", "option"),
    "no secret": ("signature = 'slack'", "sources.0.secrets", "SIDECAR_SOURCES__D__SECRETS_FILE"),
    "not a secret": (
        "signature = 'standard'\nsecrets = ['whsec_?']", "sources.0.secrets.0", "not base64",
    ),
    "a secret for nothing": (
        "signature = 'none'\nsecrets = ['x']", "sources.0.secrets.0", "is not used",
    ),
    "one secret, not a list": (
        f"signature = 'standard'\nsecrets = '{CANARY}'", "sources.0.secrets", "needs a list",
    ),
    "no such setting": (f"secert = '{CANARY}'", "sources.0.secert", "did you mean secrets?"),
    "window": ("tolerance_seconds = 0", "sources.0.tolerance_seconds", "from 1 to 3600"),
    "fixed header": (
        "signature = 'slack'\nsecrets = ['s']\nheader = 'x'", "sources.0.header", "leave it out",
    ),
    "no header": (
        "signature = 'github'\nsecrets = ['s']\nheader = 'a b'", "sources.0.header", "not the name",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(case):
    text, name, words = WRONG[case]
    named = "" if "name =" in text or case == "no name" else "name = 'd'\n"
    assert words in problems(f"[[sources]]\n{named}{text}\n")[name]


def test_everything_wrong_is_named_at_once():
    found = problems(
        "[[sources]]\nname = 'one'\nkind = 'x'\n"
        "[[sources]]\nname = 'one'\nsignature = 'slack'\n"
        f"[[sources]]\nname = 'b'\nsignature = 'standard'\nsecrets = ['{CANARY}', 'whsec_!']\n"
    )
    assert set(found) == {
        *("sources.0.kind", "sources.0.signature", "sources.1.name"),
        *("sources.1.secrets", "sources.2.secrets.1"),
    }


@pytest.mark.parametrize("server", ["host = '0.0.0.0'\napi_keys = ['key']\n", "host = '0.0.0.0'\n"])
def test_no_signature_beyond_this_machine_has_to_be_said_twice(server):
    source = "[[sources]]\nname = 'd'\nsignature = 'none'\n"
    assert "allow_open = true" in problems(f"[server]\n{server}{source}")["sources.0.signature"]
    said = loaded(f"[server]\n{server}allow_open = true\n{source}")
    assert any("is believed" in str(warning) for warning in said.warnings)
    assert loaded(source).settings.sources[0].signature == "none"


def test_a_secret_comes_from_the_environment_or_a_file(tmp_path):
    text = "[[sources]]\nname = 'help-desk'\nsignature = 'standard'\n"
    inline = loaded(text, SIDECAR_SOURCES__HELP_DESK__SECRETS=f"{CANARY},{CANARY}")
    assert [s.get_secret_value() for s in inline.settings.sources[0].secrets] == [CANARY, CANARY]
    file = tmp_path / "secret"
    file.write_text(f"{CANARY}\n", encoding="utf-8")
    mounted = loaded(text, SIDECAR_SOURCES__HELP_DESK__SECRETS_FILE=str(file))
    assert mounted.settings.sources[0].secrets[0].get_secret_value() == CANARY
    assert mounted.sources["sources.0.secrets"].endswith("SIDECAR_SOURCES__HELP_DESK__SECRETS_FILE")


def test_the_environment_wins_over_the_file():
    text = SOURCE.replace(CANARY, "whsec_" + "A" * 32)
    found = loaded(text, SIDECAR_SOURCES__DESK__SECRETS=CANARY).settings.sources[0].secrets
    assert [secret.get_secret_value() for secret in found] == [CANARY]


def test_secrets_for_nobody_are_a_mistake():
    found = problems(SOURCE, SIDECAR_SOURCES__DEKS__SECRETS=CANARY)
    assert "belongs to no source" in found["SIDECAR_SOURCES__DEKS__SECRETS"]
    both = {"SIDECAR_SOURCES__DESK__SECRETS": CANARY, "SIDECAR_SOURCES__DESK__SECRETS_FILE": "x"}
    assert "both set" in problems(SOURCE, **both)["sources.0.secrets"]


@pytest.mark.parametrize(
    "value",
    [
        f'{{"name": "d", "secrets": ["{CANARY}"]}}',
        f'["{CANARY}"]',
        f'[{{"name": "{CANARY}"}}]',
        f'[{{"name": "d", "kind": "{CANARY}", "signature": "{CANARY}", "header": "{CANARY}"}}]',
    ],
)
def test_a_secret_in_the_wrong_place_is_not_shown(value):
    assert problems("", SIDECAR_SOURCES=value)


def test_secrets_are_masked_where_settings_are_shown():
    found = loaded(SOURCE)
    assert CANARY not in repr(describe(found.settings, found.sources)) + repr(found.settings)
    assert not found.warnings


def test_a_short_secret_is_doubtful():
    text = "[[sources]]\nname = 'd'\nsignature = 'bearer'\nsecrets = ['short']\n"
    (warning,) = loaded(text).warnings
    assert "can be guessed" in warning.message
