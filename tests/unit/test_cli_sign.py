"""`sidecar sign`: what it makes is taken, and what it prints holds no secret."""

import asyncio
import json
import shlex
import time
from pathlib import Path

import pytest
from support.signing import accepts, verifier, whpk, whsk
from support.whole import whole, whole_settings

from sidecar.cli import main

WHSEC = "whsec_Y2FuYXJ5LXNlY3JldC1vZi1hdC1sZWFzdC0yNC1ieXRlcw=="
BEARER = "a-bearer-secret-of-ours"
SOURCES = [
    {"name": "desk", "signature": "standard", "secrets": [WHSEC]},
    {"name": "hook", "signature": "bearer", "secrets": [BEARER]},
    {"name": "public", "signature": "standard", "secrets": [whpk(whsk(b"s" * 32))]},
]
BODY = '{"rollout_id": "r1", "thumbs": "up"}'


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run `sidecar sign` in a folder of its own, against the sidecar at a port."""
    monkeypatch.chdir(tmp_path)
    for name in ("SIDECAR_KEY", "SIDECAR_URL"):
        monkeypatch.delenv(name, raising=False)
    Path("body.json").write_text(BODY, encoding="utf-8")

    def run(*arguments, port=8080):
        monkeypatch.setenv("SIDECAR_SOURCES", json.dumps(SOURCES))
        monkeypatch.setenv("SIDECAR_SERVER__PORT", str(port))
        code = main(["sign", "body.json", *arguments])
        said = capsys.readouterr()
        for secret in (WHSEC, WHSEC[6:], BEARER):
            assert secret not in said.out + said.err
        return code, said.out, said.err

    return run


def test_the_headers_and_a_curl_line_are_shown(run):
    code, out, _ = run("--source", "desk", "--id", "msg_7", "--header", "X-Kind: a test")
    assert code == 0
    headers, _, curl = out.partition("\n\n")
    shown = dict(line.split(": ", 1) for line in headers.splitlines())
    assert shown["webhook-id"] == "msg_7"
    assert shown["x-kind"] == "a test"
    signed = {name: value for name, value in shown.items() if name.startswith("webhook-")}
    assert accepts(verifier("standard", WHSEC), signed, BODY.encode(), time.time())
    words = shlex.split(curl)
    assert words[1] == "http://127.0.0.1:8080/feedback/desk"
    assert f"webhook-signature: {shown['webhook-signature']}" in words
    assert "@body.json" in words


def test_programs_get_json(run):
    code, out, _ = run("--source", "desk", "--json", "--url", "https://sidecar.example/")
    assert code == 0
    answer = json.loads(out)
    assert answer["url"] == "https://sidecar.example/feedback/desk"
    assert answer["headers"]["webhook-signature"] in answer["curl"]


def test_a_secret_that_travels_is_not_shown_and_goes_nowhere_else(run):
    code, out, _ = run("--source", "hook")
    assert code == 0
    assert "authorization: ********" in out
    code, _, err = run("--source", "hook", "--send", "--url", "http://127.0.0.1:9")
    assert code == 1
    assert "to the address in the settings only" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--source", "dekc"], "no source is called 'dekc'; configured: desk, hook, public"),
        (["--source", "public"], "cannot sign: a public key"),
        (["--source", "desk", "--header", "nonsense"], "needs the form"),
        (["--source", "desk", "--send", "--url", "http://127.0.0.1:9"], "no sidecar answers"),
    ],
)
def test_what_cannot_be_done_is_said(run, arguments, words):
    code, _, err = run(*arguments)
    assert code == 1
    assert words in err


def test_a_file_that_is_not_there_is_said(run, tmp_path):
    (tmp_path / "body.json").unlink()
    code, _, err = run("--source", "desk")
    assert code == 1
    assert "body.json" in err


async def test_what_is_sent_is_taken_by_a_running_sidecar(run):
    settings = whole_settings("http://127.0.0.1:9/v1", sources=tuple(SOURCES))
    async with whole(settings) as ours:
        port = int(ours.sidecar.url.rpartition(":")[2])
        for source in ("desk", "hook"):
            code, out, err = await asyncio.to_thread(run, "--source", source, "--send", port=port)
            assert code == 0, err
            assert "202 Accepted\n" in out
        code, out, _ = await asyncio.to_thread(
            run, "--source", "desk", "--send", "--json", "--id", "a.b", port=port
        )
        assert code == 1
        assert json.loads(out[out.index("{\n") :])["status"] == 400
