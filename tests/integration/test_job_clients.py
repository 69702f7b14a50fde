"""The job clients against the whole sidecar, and what the guide to them says: as far as no
job is needed for it."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from support.api import KEY, call
from support.backends import SESSION, SYSTEM
from support.local_api import KEY as APP_KEY
from support.local_api import asked
from support.provider import FakeProvider
from support.session_client import VARIABLES
from support.whole import whole, whole_settings

from sidecar.cli import main
from sidecar.client import (
    ApiError,
    GepaOnlineSession,
    PolicyOptimizationJob,
    upload_environment_key,
    upload_environment_key_async,
)

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/jobs.md").read_text(encoding="utf-8")
SHOP = """
[prompt_learning]
algorithm = "gepa"
gepa.mode = "online"
[[prompt_learning.initial_prompt.messages]]
role = "system"
pattern = "{prompt}"
"""


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in (*VARIABLES, "ENVIRONMENT_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def provider():
    async with FakeProvider() as provider:
        yield provider


@pytest.fixture
async def ours(provider):
    server = {"port": 0, "drain_seconds": 0.1, "api_keys": (KEY,)}
    async with whole(whole_settings(provider.base_url, server=server)) as ours:
        yield ours


@pytest.fixture
def where(ours):
    return {"backend_url": ours.sidecar.url, "api_key": KEY}


async def test_an_environment_key_reaches_the_sidecar(ours, where):
    await upload_environment_key_async("secret", **where)
    verify = await call(ours, "GET", "/api/v1/env-keys/verify", x_api_key=KEY)
    assert verify.json["present"] is True
    uploaded = await asyncio.to_thread(upload_environment_key, "secret", **where)
    assert uploaded["name"] == "ENVIRONMENT_API_KEY"
    with pytest.raises(ApiError) as raised:
        await upload_environment_key_async("secret", **where | {"api_key": "wrong"})
    assert raised.value.status == 401


async def test_a_session_is_created_from_a_file(ours, where, monkeypatch, capsys):
    monkeypatch.setenv("SIDECAR_URL", ours.sidecar.url)
    monkeypatch.setenv("SIDECAR_KEY", KEY)
    text = SHOP.format(prompt=SYSTEM)
    await asyncio.to_thread(Path("shop.toml").write_text, text)
    arguments = ("sessions", "create", "--config", "shop.toml", "--id", "shop")
    assert await asyncio.to_thread(main, arguments) == 0
    session = GepaOnlineSession("shop", **where)
    urls = await session.get_prompt_urls_async()
    assert capsys.readouterr().out == (
        f"shop: created\nbase URL for an OpenAI client: {urls['online_url']}\n"
    )


# -- the guide ----------------------------------------------------------------------------------


def files():
    """The files of the guide, by their names."""
    return {
        name: text
        for _, name, text in re.findall(r"```(toml|python)\n# (\S+)\n(.*?)```", GUIDE, re.DOTALL)
    }


def test_the_guides_files_are_what_they_are_called():
    assert files().keys() == {
        "task_app.py", "job.toml", "optimise.py", "mipro.toml", "compare.py",
    }  # fmt: skip
    for name, text in files().items():
        if name.endswith(".py"):
            compile(text, name, "exec")


@pytest.mark.parametrize("name", ["job.toml", "mipro.toml"])
def test_the_guides_configurations_are_read(name, tmp_path):
    path = tmp_path / name
    path.write_text(files()[name], encoding="utf-8")
    job = PolicyOptimizationJob.from_config(path)
    section = job._submission.body["config_body"]["prompt_learning"]
    assert section["task_app_url"] == "http://127.0.0.1:8001"
    messages = section["initial_prompt"]["messages"]
    assert f'SYSTEM = "{messages[0]["pattern"]}"' in files()["task_app.py"]


async def test_the_guides_task_app_runs_a_rollout(ours, provider, monkeypatch):
    monkeypatch.setenv("ENVIRONMENT_API_KEY", APP_KEY)
    space = {"__name__": "task_app"}
    exec(compile(files()["task_app.py"], "task_app.py", "exec"), space)
    inference = {"model": "m", "inference_url": f"{ours.sidecar.url}/api/gepa/v1/{SESSION}/trace_7"}
    body = asked(policy={"config": inference})
    async with (
        TestClient(TestServer(space["app"]), headers={"X-API-Key": APP_KEY}) as client,
        client.post("/rollout", json=body) as answer,
    ):
        found = (await answer.json())["reward_info"]
    assert found["outcome_reward"] == 0.0
    assert found["details"]["feedback"] == (
        "'Which exchange rate do you use?' is exchange_rate, "
        "not 'reply 1 to Which exchange rate do you use?'"
    )
    assert provider.last.json["messages"][0]["content"] == space["SYSTEM"]


async def test_the_guides_task_app_serves_until_a_signal_comes():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = files()["task_app.py"].replace("port=8001", f"port={port}")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", script,
        env={**os.environ, "PYTHONPATH": str(ROOT), "ENVIRONMENT_API_KEY": APP_KEY},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60), aiohttp.ClientSession() as http:
            assert b"Running on" in await process.stdout.readline()
            headers = {"X-API-Key": APP_KEY}
            async with http.get(f"http://127.0.0.1:{port}/health", headers=headers) as answer:
                assert (await answer.json())["healthy"] is True
            process.send_signal(signal.SIGTERM)
            _, err = await process.communicate()
        assert (process.returncode, err) == (0, b"")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
