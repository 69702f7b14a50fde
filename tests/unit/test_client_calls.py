"""The session client against a server that writes down what it is asked: what is sent, in every
form alike, and how answers and failures read."""

import asyncio
import gc
import socket
from datetime import date

import pytest
from aiohttp import web
from support.session_client import CLASSES, FORMS, VARIABLES, session_server

from sidecar.client import ApiError, ConfigError, GepaOnlineSession, MiproOnlineSession
from sidecar.errors import SidecarError

KEY = "sk-very-secret"
URLS = {
    "proxy_url": "http://h/api/x/v1/s1",
    "online_url": "http://h/api/x/v1/s1",
    "chat_completions_url": "http://h/api/x/v1/s1/chat/completions",
}
BODY = {"prompt_learning": {"algorithm": "gepa"}}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def server():
    async with session_server() as server:
        yield server


@pytest.fixture(params=CLASSES)
def algorithm(request):
    return request.param


@pytest.fixture(params=FORMS)
def call(request):
    return FORMS[request.param]


@pytest.fixture
def session(server, algorithm):
    return CLASSES[algorithm]("s1", backend_url=server.url, api_key=KEY)


def path(algorithm, rest=""):
    return f"/api/prompt-learning/online/{algorithm}/sessions{rest}"


# -- what is sent -------------------------------------------------------------------------------


async def test_create_sends_what_it_is_given_and_keeps_what_it_is_told(server, algorithm, call):
    server.says({"session_id": "s1", "correlation_id": "trace_1", **URLS})
    session = await call(
        CLASSES[algorithm],
        "create",
        backend_url=server.url,
        config_body=BODY,
        overrides={"prompt_learning.policy.model": "m"},
        metadata={"team": "shop"},
        session_id="s1",
        correlation_id="mine",
        agent_id="agent",
    )
    assert server.calls == [
        (
            "POST",
            path(algorithm),
            {
                "config_body": BODY,
                "overrides": {"prompt_learning.policy.model": "m"},
                "metadata": {"team": "shop"},
                "session_id": "s1",
                "correlation_id": "mine",
                "agent_id": "agent",
            },
        )
    ]
    assert type(session) is CLASSES[algorithm]
    assert (session.session_id, session.correlation_id) == ("s1", "trace_1")
    assert {name: getattr(session, name) for name in URLS} == URLS


async def test_the_smallest_create_is_a_config(server, call):
    server.says({"session_id": "s1"})
    session = await call(GepaOnlineSession, "create", backend_url=server.url, config=BODY)
    assert server.calls[0][2] == {"config_body": BODY, "overrides": {}, "metadata": {}}
    assert session.correlation_id is session.online_url is session.chat_completions_url is None


@pytest.mark.parametrize(
    ("given", "kept"),
    [({"correlation_id": "c", "agent_id": "a"}, "c"), ({"agent_id": "a"}, "a"), ({}, None)],
)
async def test_the_correlation_id_is_the_callers_when_the_server_names_none(server, given, kept):
    server.says({"session_id": "s1"})
    session = await GepaOnlineSession.create_async(backend_url=server.url, config=BODY, **given)
    assert session.correlation_id == kept


async def test_urls_that_a_server_leaves_out_follow_from_the_others(server):
    server.says({"session_id": "s1", "proxy_url": "http://h/p"})
    session = await GepaOnlineSession.create_async(backend_url=server.url, config=BODY)
    assert session.online_url == "http://h/p"
    assert session.chat_completions_url == "http://h/p/chat/completions"


async def test_an_empty_config_is_the_servers_to_refuse(server):
    server.says({"session_id": "s1"})
    await GepaOnlineSession.create_async(backend_url=server.url, config={})
    assert server.calls[0][2]["config_body"] == {}


async def test_a_name_is_sent_for_the_server_to_look_up(server, call):
    server.says({"session_id": "s1"})
    await call(GepaOnlineSession, "create", backend_url=server.url, config_name="support")
    assert server.calls[0][2] == {"config_name": "support", "overrides": {}, "metadata": {}}


async def test_an_object_around_an_id_needs_no_server():
    session = MiproOnlineSession("s1", backend_url="http://127.0.0.1:1")
    assert session.session_id == "s1"
    assert session.online_url is session.proxy_url is session.chat_completions_url is None


@pytest.mark.parametrize("method", ["status", "get_status"])
async def test_status_is_what_the_server_says(server, algorithm, session, call, method):
    server.says({"status": "started", "candidates": []})
    assert await call(session, method) == {"status": "started", "candidates": []}
    assert server.calls == [("GET", path(algorithm, "/s1"), None)]


@pytest.mark.parametrize("action", ["pause", "resume", "cancel"])
async def test_steering_posts_an_empty_object(server, algorithm, session, call, action):
    server.says({"status": action})
    assert await call(session, action) == {"status": action}
    assert server.calls == [("POST", path(algorithm, f"/s1/{action}"), {})]


async def test_a_reward_is_sent_with_all_that_is_known_of_it(server, algorithm, session, call):
    reward = {
        "reward_info": {"score": 0.5},
        "artifact": {"text": "blue"},
        "metadata": {},
        "correlation_id": "trace_1",
        "rollout_id": "r1",
        "candidate_id": "baseline",
        "trace_ref": "trace://1",
        "stop": False,
    }
    await call(session, "update_reward", **reward)
    assert server.calls == [("POST", path(algorithm, "/s1/reward"), reward)]


async def test_a_reward_is_about_the_sessions_conversation_unless_it_names_another(server, call):
    session = GepaOnlineSession("s1", correlation_id="own", backend_url=server.url)
    await call(session, "update_reward", reward_info={"score": 1}, rollout_id="", artifact=None)
    await call(session, "update_reward", reward_info={"score": 1}, correlation_id="other")
    assert [body for *_, body in server.calls] == [
        {"reward_info": {"score": 1}, "correlation_id": "own"},
        {"reward_info": {"score": 1}, "correlation_id": "other"},
    ]


async def test_urls_are_asked_for_one_conversation_or_none(server, algorithm, session, call):
    server.says(URLS)
    assert await call(session, "get_prompt_urls") == URLS
    await call(session, "get_prompt_urls", correlation_id="a b&c")
    session.correlation_id = "own"
    await call(session, "get_prompt_urls")
    prompt = path(algorithm, "/s1/prompt")
    assert [target for _, target, _ in server.calls] == [
        prompt,
        f"{prompt}?correlation_id=a%20b%26c",
        f"{prompt}?correlation_id=own",
    ]


async def test_the_url_of_a_session_of_which_only_the_id_is_known(server, algorithm, call):
    server.says(URLS)
    of, where = CLASSES[algorithm], {"backend_url": server.url, "api_key": KEY}
    url = await call(of, "get_online_url", "s1", correlation_id="c", **where)
    assert url == URLS["online_url"]
    assert server.calls == [("GET", path(algorithm, "/s1/prompt?correlation_id=c"), None)]
    server.says({})
    with pytest.raises(ApiError, match="no online_url"):
        await call(of, "get_online_url", "s1", **where)


async def test_an_id_cannot_leave_its_place_in_the_path(server, algorithm, call):
    session = CLASSES[algorithm]("../a b?c", backend_url=server.url)
    await call(session, "status")
    assert server.calls[0][1] == path(algorithm, "/..%2Fa%20b%3Fc")
    for nowhere in ("", ".", ".."):
        with pytest.raises(ConfigError, match="cannot be the id"):
            CLASSES[algorithm](nowhere)


async def test_the_key_is_sent_and_never_shown(server, session, call):
    await call(session, "status")
    await call(GepaOnlineSession("s1", backend_url=server.url), "status")
    assert [headers.get("Authorization") for headers in server.headers] == [f"Bearer {KEY}", None]
    assert KEY not in repr(session) + repr(session._target)
    assert KEY not in repr(session._request("POST", "", {}, {}))


async def test_dates_of_a_toml_file_are_sent_as_text(server):
    server.says({"session_id": "s1"})
    config = {"prompt_learning": {"since": date(2026, 1, 2)}}
    await GepaOnlineSession.create_async(backend_url=server.url, config=config)
    assert server.calls[0][2]["config_body"] == {"prompt_learning": {"since": "2026-01-02"}}


@pytest.mark.parametrize("value", [float("nan"), object()])
async def test_what_json_cannot_say_is_refused_here(server, session, call, value):
    with pytest.raises((ValueError, TypeError)):
        await call(session, "update_reward", reward_info={"score": value})
    assert server.calls == []


async def test_an_argument_that_does_not_exist_is_refused(server, session, call):
    with pytest.raises(TypeError, match="'wrong'"):
        await call(session, "update_reward", reward_info={}, wrong=1)
    with pytest.raises(TypeError, match="'wrong'"):
        await call(GepaOnlineSession, "create", backend_url=server.url, config=BODY, wrong=1)
    assert server.calls == []


# -- connections --------------------------------------------------------------------------------


async def test_an_entered_session_keeps_its_connection(server, session):
    async with session:
        for _ in range(3):
            await session.status_async()
    assert len(server.connections) == 1
    await session.status_async()
    assert len(server.connections) == 2, "the object stays usable afterwards"


async def test_nothing_needs_closing(server, session, call):
    await call(session, "status")
    del session
    gc.collect()  # what was left open would warn now, and warnings are errors


async def test_awaited_calls_run_beside_each_other(server, session):
    together = asyncio.Barrier(5)  # nobody is answered before all have asked

    async def answer():
        await together.wait()
        return web.json_response({})

    server.answer = answer
    async with session:
        await asyncio.gather(*(session.status_async() for _ in range(5)))


# -- answers and failures -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"detail": "no such session"}, "no such session"),
        ({"detail": {"message": "over the limit", "limit": 5}}, "over the limit"),
        ({"detail": {"error": "limit_exceeded", "limit": 5}}, "limit_exceeded"),
        ({"detail": {"limit": 5}}, '{"limit": 5}'),
        (
            {"detail": [{"loc": ["body"], "msg": "missing"}]},
            '[{"loc": ["body"], "msg": "missing"}]',
        ),
        ({"error": {"message": "not yours", "code": "x"}}, "not yours"),
        ({"error": "plain"}, "plain"),
        ({"title": "Not Found"}, "Not Found"),
        ({}, "HTTP 404 Not Found: {}"),
    ],
)
async def test_the_servers_words_are_the_error(server, session, call, body, says):
    server.says(body, 404)
    with pytest.raises(ApiError) as raised:
        await call(session, "status")
    assert str(raised.value) == says
    assert raised.value.status == 404
    assert raised.value.detail == body.get("detail")
    assert raised.value.url == server.url + server.calls[0][1]
    assert isinstance(raised.value, SidecarError)


@pytest.mark.parametrize("text", ["<h1>Bad\n gateway</h1>", "[1", ""])
async def test_an_answer_of_somebody_else_is_said_so(server, session, call, text):
    server.says_text(text, 502)
    said = f": {' '.join(text.split())}" if text else ""
    with pytest.raises(ApiError) as raised:
        await call(session, "status")
    assert str(raised.value) == f"HTTP 502 Bad Gateway{said}"
    server.says_text(text)
    with pytest.raises(ApiError) as raised:
        await call(session, "status")
    assert str(raised.value) == f"{server.url} answers, but not as a sidecar: HTTP 200 OK{said}"
    server.says_text("x" * 10_000, 500)
    with pytest.raises(ApiError) as raised:
        await call(session, "status")
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("body", [[], "text", 7, True])
async def test_an_answer_that_is_no_object_is_an_error(server, session, call, body):
    server.says(body)
    with pytest.raises(ApiError, match="not an object"):
        await call(session, "status")


async def test_an_answer_without_content_is_empty(server, session, call):
    server.says_text("", 204)
    assert await call(session, "pause") == {}


async def test_a_create_without_an_id_created_nothing(server, call):
    for answer in ({}, {"session_id": ""}):
        server.says(answer)
        with pytest.raises(ApiError, match="no session_id"):
            await call(GepaOnlineSession, "create", backend_url=server.url, config=BODY)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_refused_and_the_key_stays(server, session, call, status):
    async with session_server() as elsewhere:
        server.says_text("moved", status, Location=f"{elsewhere.url}/there")
        for method in ("status", "pause"):
            with pytest.raises(ApiError, match=f"leads to {elsewhere.url}/there") as raised:
                await call(session, method)
            assert raised.value.status == status
        assert elsewhere.calls == []
    assert len(server.calls) == 2


async def test_a_silent_server_is_given_up(call):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        session = GepaOnlineSession("s1", backend_url=url, api_key=KEY, timeout=0.05)
        with pytest.raises(ApiError) as raised:
            await call(session, "status")
    assert str(raised.value) == f"{url} does not answer in time"
    assert raised.value.status == 0


async def test_nobody_there_is_said_so(call):
    session = GepaOnlineSession("s1", backend_url="http://127.0.0.1:1", api_key=KEY)
    with pytest.raises(ApiError) as raised:
        await call(session, "status")
    assert str(raised.value) == "no sidecar answers at http://127.0.0.1:1: Connection refused"


@pytest.mark.parametrize(
    "said",
    [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"],
    ids=["nothing", "another protocol", "half an answer"],
)
async def test_a_broken_answer_does_not_show_the_key(call, said):
    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as broken:
        url = f"http://127.0.0.1:{broken.sockets[0].getsockname()[1]}"
        session = GepaOnlineSession("s1", backend_url=url, api_key=KEY)
        with pytest.raises(ApiError, match=f"no sidecar answers at {url}: .") as raised:
            await call(session, "status")
    error = raised.value
    assert KEY not in f"{error!r} {error} {error.__cause__!r} {error.__context__!r}"


async def test_the_proxies_of_the_environment_are_not_asked(server, session, call, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    await call(session, "status")
    assert len(server.calls) == 1
