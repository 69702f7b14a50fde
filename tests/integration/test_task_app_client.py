"""Calling a task app: foreign code at a foreign address."""

import asyncio
import math
import socket

import pytest
from aiohttp import web
from support.provider import RawProvider, read_request
from support.task_app import KEY, FakeTaskApp, reset, rewarded, stall

from sidecar.jobs import task_app
from sidecar.jobs.task_app import TaskApp, TaskAppError, Trouble


def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def rollout(url, key=KEY, seconds=5.0):
    async with TaskApp.open(url, key, 4) as app:
        return await app.rollout({"env": {"seed": 1}}, seconds)


async def failure(url, key=KEY, seconds=5.0):
    with pytest.raises(TaskAppError) as found:
        await rollout(url, key, seconds)
    return found.value


def answers(make):
    async def behave(request, body):
        return make()

    return behave


async def test_the_key_goes_in_both_headers_and_no_key_in_none():
    async with FakeTaskApp(answers(lambda: rewarded(x=1))) as app:
        assert await rollout(app.url) == {"x": 1}
        await failure(app.url, key="")
    keyed, keyless = app.headers
    assert (keyed["x-api-key"], keyed["authorization"]) == (KEY, f"Bearer {KEY}")
    assert "x-api-key" not in keyless
    assert "authorization" not in keyless


async def test_the_address_may_have_a_path_and_a_query_of_its_own():
    made = FakeTaskApp(answers(lambda: rewarded(x=1)), path="/s/a%20b")
    async with made as app, TaskApp.open(app.url + "/?lease=1", KEY, 4) as client:
        await client.health()
        await client.task_info([1, 2])
        await client.rollout({"env": {"seed": 1}}, 5.0)
        assert "lease" not in client.shown
    assert app.requests == [
        "GET /s/a%20b/health?lease=1",
        "GET /s/a%20b/task_info?lease=1&seed=1&seed=2",
        "POST /s/a%20b/rollout?lease=1",
    ]


async def test_what_a_task_app_is_can_be_asked():
    async with FakeTaskApp() as app, TaskApp.open(app.url, KEY, 4) as client:
        assert (await client.info())["service"]["task"]["name"] == "colours"
        assert await client.task_info() == [{"taskset": {"id": "colours"}}]
        one, two = await client.task_info([4]), await client.task_info([4, 5])
    assert [found["task_metadata"]["seed"] for found in one] == [4]
    assert [found["task_metadata"]["seed"] for found in two] == [4, 5]


async def test_a_refused_key_says_what_to_do_and_shows_no_key():
    async with FakeTaskApp() as app:
        wrong = await failure(app.url, key="another-key-entirely")
        none = await failure(app.url, key="")
    assert wrong.trouble is none.trouble is Trouble.UNAUTHORISED
    assert "ENVIRONMENT_API_KEY" in str(wrong)
    for secret in ("another-key", KEY[:15]):
        assert secret not in str(wrong)
        assert secret not in str(none)


@pytest.mark.parametrize("status", [401, 403])
async def test_other_servers_refuse_a_key_with_other_statuses(status):
    async with FakeTaskApp(answers(lambda: web.Response(status=status))) as app:
        assert (await failure(app.url)).trouble is Trouble.UNAUTHORISED


async def test_a_task_app_without_a_key_of_its_own_is_told_to_have_one():
    error = {"error": {"code": "missing_environment_api_key", "message": "not configured"}}
    made = answers(lambda: web.json_response({"detail": error}, status=503))
    async with FakeTaskApp(made) as app:
        found = await failure(app.url)
    assert found.trouble is Trouble.UNAUTHORISED
    assert "set it there" in str(found)


async def test_a_redirect_is_not_followed():
    async with FakeTaskApp() as other:
        away = answers(lambda: web.Response(status=307, headers={"Location": other.url}))
        async with FakeTaskApp(away) as app:
            found = await failure(app.url)
        assert other.requests == []
    assert "redirect" in str(found)


async def test_nobody_there_is_unreachable():
    found = await failure(f"http://127.0.0.1:{unused_port()}")
    assert found.trouble is Trouble.UNREACHABLE
    assert "cannot be reached" in str(found)


async def test_a_name_that_nobody_has_is_unreachable():
    found = await failure("http://no-such-host.invalid")
    assert found.trouble is Trouble.UNREACHABLE


async def test_a_stall_ends_in_time():
    async with FakeTaskApp(lambda *_: stall()) as app:
        found = await failure(app.url, seconds=0.2)
    assert found.trouble is Trouble.TIMEOUT
    assert "0.2 seconds" in str(found)


async def test_an_answer_that_drips_ends_in_time():
    async def drip(reader, writer, count):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with RawProvider(drip) as app:
        assert (await failure(app.base_url, seconds=0.2)).trouble is Trouble.TIMEOUT


async def test_a_broken_connection_is_a_reset():
    async with FakeTaskApp(lambda request, _: reset(request)) as app:
        assert (await failure(app.url)).trouble is Trouble.RESET


async def test_half_an_answer_is_a_reset():
    async def half(reader, writer, count):
        await read_request(reader)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"reward')
        await writer.drain()

    async with RawProvider(half) as app:
        assert (await failure(app.base_url)).trouble is Trouble.RESET


async def test_what_is_not_http_is_named():
    async def nonsense(reader, writer, count):
        await read_request(reader)
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        await writer.drain()

    async with RawProvider(nonsense) as app:
        assert (await failure(app.base_url)).trouble in {Trouble.ANSWER, Trouble.RESET}


@pytest.mark.parametrize("declared", [True, False])
async def test_a_huge_answer_is_not_read(monkeypatch, declared):
    monkeypatch.setattr(task_app, "MAX_ANSWER", 100_000)
    written = []

    async def pour(reader, writer, count):
        await read_request(reader)
        length = b"Content-Length: 999999999\r\n" if declared else b""
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n")
        while sum(written) < 100_000_000:
            writer.write(b"x" * 50_000)
            written.append(50_000)
            await writer.drain()

    async with RawProvider(pour) as app:
        found = await failure(app.base_url)
    assert found.trouble is Trouble.ANSWER
    assert "larger than 100000 bytes" in str(found)
    assert sum(written) < 50_000_000


async def test_a_compressed_answer_is_refused_not_unfolded():
    bomb = answers(lambda: web.Response(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"}))
    async with FakeTaskApp(bomb) as app:
        assert "compressed" in str(await failure(app.url))
    assert app.headers[0]["accept-encoding"] == "identity"


@pytest.mark.parametrize("text", ["", "<html>", "[1]", '"x"', "null", "[" * 100_000])
async def test_an_answer_that_is_no_json_object_says_so(text):
    async with FakeTaskApp(answers(lambda: web.Response(text=text))) as app:
        found = await failure(app.url)
    assert found.trouble is Trouble.ANSWER
    assert "JSON" in str(found)


async def test_nan_is_read_so_that_the_reward_can_be_complained_of():
    nan = answers(lambda: web.Response(text='{"reward_info": {"outcome_reward": NaN}}'))
    async with FakeTaskApp(nan) as app:
        reward = (await rollout(app.url))["reward_info"]["outcome_reward"]
    assert math.isnan(reward)


@pytest.mark.parametrize(
    ("status", "trouble"), [(500, Trouble.ANSWER), (429, Trouble.BUSY), (503, Trouble.BUSY)]
)
async def test_an_error_answer_is_passed_on_in_short_and_without_the_key(status, trouble):
    said = {"detail": f"KeyError: 'label' with {KEY} " + "x" * 1000}
    async with FakeTaskApp(answers(lambda: web.json_response(said, status=status))) as app:
        found = await failure(app.url)
    assert found.trouble is trouble
    assert str(found).startswith(f"the task app answered HTTP {status}: KeyError: 'label'")
    assert KEY not in str(found)
    assert len(str(found)) < 400
