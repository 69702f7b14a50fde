"""The published online-session API, field by field (wire contract, section 3)."""

import io
import json

import pytest
from support.feedback_loop import SESSION, Loop, event
from support.feedback_server import application
from support.recording_backend import RecordingBackend

from sidecar.core.feedback import FeedbackEvent
from sidecar.errors import Unavailable
from sidecar.settings import Server, Settings
from sidecar.store.memory import MemoryStore
from sidecar.store.sqlite import SqliteStore

PATHS = {of: f"/api/prompt-learning/online/{of}/sessions" for of in ("gepa", "mipro")}


@pytest.fixture(params=sorted(PATHS))
def algorithm(request):
    return request.param


@pytest.fixture
def base(algorithm):
    return PATHS[algorithm]


@pytest.fixture
def one(base):
    return f"{base}/{SESSION}"


@pytest.fixture(params=["memory", "sqlite"])
async def loop(request, algorithm, tmp_path):
    store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "s.db")
    await store.open()
    loop = Loop(store=store, backend=RecordingBackend(SESSION, algorithm=algorithm))
    await loop.rollout("r1")
    await loop.rollout("r2")
    yield loop
    await store.close()


@pytest.fixture
async def client(loop, aiohttp_client):
    return await aiohttp_client(application(loop))


@pytest.fixture
async def public(loop, aiohttp_client):
    settings = Settings(server=Server(public_url="https://prompts.example.com/"))
    return await aiohttp_client(application(loop, settings))


async def test_create_answers_with_absolute_urls(public, base, algorithm):
    answer = await public.post(base, json={"config_body": {}, "overrides": {}, "metadata": {}})
    assert answer.status == 200
    created = await answer.json()
    url = f"https://prompts.example.com/api/{algorithm}/v1/{created['session_id']}"
    assert created["proxy_url"] == created["online_url"] == url
    assert created["chat_completions_url"] == f"{url}/chat/completions"
    assert created["job_id"].startswith("pl_")
    assert (created["status"], created["mode"]) == ("started", "online")


async def test_without_a_public_url_the_request_says_where_we_are(client, base, algorithm):
    body = {"config_body": {}, "session_id": "mine", "correlation_id": "trace_1"}
    created = await (await client.post(base, json=body)).json()
    assert created["proxy_url"] == str(client.make_url(f"/api/{algorithm}/v1/mine"))
    assert created["correlation_id"] == "trace_1"


async def test_a_bad_create_request_is_refused_in_the_published_dialect(client, base):
    for body in (b"", b"[]", b"{", b"null", b'{"config_name": "x"}'):
        answer = await client.post(base, data=body)
        assert answer.status == 400
        assert answer.content_type == "application/json"
        problem = await answer.json()
        assert problem["detail"] == problem["error"]["message"]
        assert problem["error"]["code"] == "invalid_request"


async def test_a_prompt_that_no_call_could_carry_is_refused(client, base):
    config = {"prompt_learning": {"initial_prompt": {"messages": [{"pattern": "x" * 10_000_000}]}}}
    body = io.BytesIO(json.dumps({"config_body": config}).encode())
    answer = await client.post(base, data=body)
    assert answer.status == 413
    problem = await answer.json()
    assert (
        problem["detail"] == problem["error"]["message"] == "the body is larger than 1048576 bytes"
    )


async def test_the_sessions_are_listed(client, base):
    [listed] = (await (await client.get(base)).json())["sessions"]
    assert (listed["session_id"], listed["status"]) == (SESSION, "started")


async def test_the_status_is_the_optimisers(client, loop, one):
    assert await (await client.get(one)).json() == await loop.backend.status(SESSION)


async def test_the_prompt_urls_embed_the_conversation(public, one, algorithm):
    url = f"https://prompts.example.com/api/{algorithm}/v1/{SESSION}"
    plain = await (await public.get(f"{one}/prompt")).json()
    assert plain["online_url"] == plain["proxy_url"] == url
    bound = await (await public.get(f"{one}/prompt?correlation_id=trace_7")).json()
    assert bound["online_url"] == f"{url}/trace_7"
    assert bound["chat_completions_url"] == f"{url}/trace_7/chat/completions"


@pytest.mark.parametrize("correlation_id", ["a%2Fb", "..", "a%20b", "x" * 129, "%C3%A9"])
async def test_a_correlation_id_that_would_break_the_url_is_refused(client, correlation_id, one):
    answer = await client.get(f"{one}/prompt?correlation_id={correlation_id}")
    assert answer.status == 400


ROUTES = [
    ("GET", ""),
    ("GET", "/prompt"),
    ("GET", "/export"),
    ("POST", "/pause"),
    ("POST", "/resume"),
    ("POST", "/cancel"),
    ("POST", "/unpin"),
    ("POST", "/approve"),
    ("POST", "/retire"),
    ("POST", "/rollback"),
    ("POST", "/pin"),
    ("POST", "/reward"),
]
ANY_BODY = {"rollout_id": "r1", "reward_info": {"score": 1}, "candidate_id": "cand_a"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_an_unknown_session_is_not_found(client, method, path, base):
    answer = await client.request(method, f"{base}/nobody{path}", json=ANY_BODY)
    assert answer.status == 404
    assert "nobody" in (await answer.json())["detail"]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_session_of_the_other_algorithm_is_not_here_and_the_answer_says_where(
    client, loop, method, path, one
):
    [other] = [elsewhere for elsewhere in PATHS.values() if not one.startswith(elsewhere)]
    answer = await client.request(method, f"{other}/{SESSION}{path}", json=ANY_BODY)
    assert answer.status == 404
    assert one in (await answer.json())["detail"]
    assert (loop.backend.commands, loop.backend.counted) == ([], 0)


async def test_a_list_holds_the_sessions_of_its_own_algorithm(client, loop, base):
    [other] = [elsewhere for elsewhere in PATHS.values() if elsewhere != base]
    assert await (await client.get(other)).json() == {"sessions": []}
    await client.post(other, json={"config_body": {}, "session_id": "theirs"})
    for path, session in ((base, SESSION), (other, "theirs")):
        listed = (await (await client.get(path)).json())["sessions"]
        assert [one["session_id"] for one in listed] == [session]


@pytest.mark.parametrize("body", [None, b"", b"{}", b'{"why": "lunch"}'])
async def test_commands_need_no_body(client, loop, body, one):
    for action, status in (("pause", "paused"), ("resume", "started"), ("rollback", "started")):
        answer = await client.post(f"{one}/{action}", data=body)
        assert (answer.status, (await answer.json())["status"]) == (200, status)
    assert [action for _, action, _ in loop.backend.commands] == ["pause", "resume", "rollback"]


async def test_pin_names_a_candidate(client, loop, one):
    assert (await client.post(f"{one}/pin", json={"candidate_id": "cand_a"})).status == 200
    assert (await client.post(f"{one}/unpin")).status == 200
    assert loop.backend.commands == [
        (SESSION, "pin", {"candidate_id": "cand_a"}),
        (SESSION, "unpin", {}),
    ]
    for body in ({}, {"candidate_id": ""}, {"candidate_id": 7}):
        assert (await client.post(f"{one}/pin", json=body)).status == 400


async def test_a_cancelled_session_obeys_no_more(client, one):
    assert (await client.post(f"{one}/cancel", json={})).status == 200
    assert (await client.post(f"{one}/resume", json={})).status == 409


async def test_the_prompt_can_be_taken_away(client, one):
    assert (await (await client.get(f"{one}/export")).json())["candidate_id"] == "cand_a"
    chosen = await client.get(f"{one}/export?candidate_id=cand_b")
    assert (await chosen.json())["candidate_id"] == "cand_b"


# -- rewards ------------------------------------------------------------------------------------


def reward(score=1.0, rollout_id="r1", **fields):
    return {"rollout_id": rollout_id, "reward_info": {"score": score}} | fields


async def test_a_reward_is_visible_when_it_is_answered(client, loop, one):
    answer = await client.post(f"{one}/reward", json=reward(0.75))
    assert answer.status == 200
    assert await answer.json() == {
        "status": "started",
        "session_id": SESSION,
        "rollout_id": "r1",
        "candidate_id": "cand_a",
        "reward_count": 1,
        "counted": True,
    }
    assert (await (await client.get(one)).json())["reward_count"] == 1
    assert loop.backend.values() == {"r1": 0.75}
    assert await loop.store.due_rewards(float("inf"), 10) == []


@pytest.mark.parametrize(
    ("info", "value"),
    [
        ({"outcome_reward": 0.1, "score": 0.2, "reward": 0.3}, 0.1),
        ({"score": 0.2, "reward": 0.3, "correct": True}, 0.2),
        ({"reward": 0.3, "outcome_objectives": {"reward": 0.4}}, 0.3),
        ({"outcome_objectives": {"reward": 0.4}, "seed": 123}, 0.4),
        ({"outcome_reward": None, "score": 0}, 0.0),
        ({"correct": True}, 1.0),
        ({"correct": False}, 0.0),
    ],
)
async def test_the_number_is_found_in_the_published_places(client, loop, info, value, one):
    answer = await client.post(f"{one}/reward", json={"rollout_id": "r1", "reward_info": info})
    assert answer.status == 200
    assert loop.backend.values() == {"r1": value}


async def test_words_are_kept_for_the_proposer(client, loop, one):
    info = {"score": 1, "feedback": "crisp", "comment": "crisp", "details": {"feedback": "short"}}
    body = {"rollout_id": "r1", "reward_info": info, "metadata": {"feedback": "polite", "x": 1}}
    assert (await client.post(f"{one}/reward", json=body)).status == 200
    assert loop.backend.ledger[SESSION, "r1"].comments == ("crisp\nshort\npolite",)


async def test_the_rollout_id_goes_before_the_sessions_own_correlation_id(client, loop, one):
    await client.post(f"{one}/reward", json=reward(rollout_id="r2", correlation_id="r1"))
    await client.post(f"{one}/reward", json={"correlation_id": "r1", "reward_info": {"score": 0.5}})
    assert loop.backend.values() == {"r2": 1.0, "r1": 0.5}


async def test_the_same_request_again_counts_once(client, loop, one):
    for _ in range(3):
        answer = await client.post(f"{one}/reward", json=reward(0.5, metadata={"a": 1, "b": 2}))
        assert (answer.status, (await answer.json())["reward_count"]) == (200, 1)
        loop.clock.forward(1)
    reordered = reward(0.5, metadata={"b": 2, "a": 1})
    assert (await client.post(f"{one}/reward", json=reordered)).status == 200
    assert loop.backend.counted == 1
    assert len(await loop.store.events_of(SESSION, "r1")) == 1


async def test_a_later_reward_replaces_the_earlier_one_there_and_back(client, loop, one):
    for score in (0.2, 0.9, 0.2):
        answer = await client.post(f"{one}/reward", json=reward(score))
        assert (await answer.json())["reward_count"] == 1
        assert loop.backend.values() == {"r1": score}
        loop.clock.forward(1)


async def test_a_reward_joins_what_users_said(client, loop, one):
    await loop.intake.accept([event("e1", "r1", score=0.0, actor="ann")])
    await client.post(f"{one}/reward", json=reward(1.0))
    assert loop.backend.values() == {"r1": 0.5}


async def test_an_answer_says_whether_the_reward_was_news(client, loop, one):
    for counted in (True, False, False):
        answer = await client.post(f"{one}/reward", json=reward(0.5))
        assert (await answer.json())["counted"] is counted


async def test_what_this_route_was_told_can_be_taken_back(client, loop, one):
    back = {"rollout_id": "r1", "reward_info": {"retracted": True}}
    for body, value in ((reward(0.5), 0.5), (back, None), (back, None), (reward(0.75), 0.75)):
        answer = await client.post(f"{one}/reward", json=body)
        assert answer.status == 200
        assert loop.backend.values() == {"r1": value}
        loop.clock.forward(1.0)
    await loop.intake.accept([event("e1", "r1", score=0.0, actor="ann")])
    await client.post(f"{one}/reward", json=back)
    assert loop.backend.values() == {"r1": 0.0}, "what others said stays"


async def test_a_session_is_completed_without_a_reward(client, one):
    answer = await client.post(f"{one}/complete")
    assert (answer.status, (await answer.json())["status"]) == (200, "completed")


async def test_stop_counts_the_reward_and_ends_the_session(client, loop, one):
    answer = await client.post(f"{one}/reward", json=reward(1.0, stop=True))
    ended = await answer.json()
    assert (answer.status, ended["status"], ended["reward_count"]) == (200, "completed", 1)
    again = await client.post(f"{one}/reward", json=reward(1.0, stop=True))
    retried = {**ended, "counted": False}
    assert (again.status, await again.json()) == (200, retried), "the same, but it is no news"
    other = await client.post(f"{one}/reward", json=reward(1.0, rollout_id="r2"))
    assert other.status == 409
    assert "completed" in (await other.json())["detail"]
    assert loop.backend.counted == 1


async def test_a_session_that_is_cancelled_counts_nothing_and_stores_nothing(client, loop, one):
    await client.post(f"{one}/cancel")
    before = await loop.store.counts()
    assert (await client.post(f"{one}/reward", json=reward())).status == 409
    assert await loop.store.counts() == before


async def test_a_paused_session_still_counts(client, one):
    await client.post(f"{one}/pause")
    answer = await client.post(f"{one}/reward", json=reward())
    assert (await answer.json())["reward_count"] == 1


async def test_an_optimiser_that_is_away_gets_the_reward_later(client, loop, one):
    loop.backend.before = lambda _rewards: Unavailable("busy")
    answer = await client.post(f"{one}/reward", json=reward())
    assert answer.status == 503
    loop.backend.before = lambda _rewards: RuntimeError("a bug")
    assert (await client.post(f"{one}/reward", json=reward())).status == 503
    loop.backend.before = lambda _rewards: None
    await loop.drain()
    assert loop.backend.values() == {"r1": 1.0}
    answer = await client.post(f"{one}/reward", json=reward())
    assert (answer.status, (await answer.json())["reward_count"]) == (200, 1)
    assert loop.backend.counted == 1


BAD = [
    ([], 400, "object"),
    ({}, 400, "reward_info"),
    ({"reward_info": 1, "rollout_id": "r1"}, 400, "reward_info"),
    ({"reward_info": {}, "rollout_id": "r1"}, 400, "no number"),
    ({"reward_info": {"correct": 1}, "rollout_id": "r1"}, 400, "no number"),
    ({"reward_info": {"score": "1"}, "rollout_id": "r1"}, 400, "number"),
    ({"reward_info": {"score": True}, "rollout_id": "r1"}, 400, "number"),
    ({"reward_info": {"score": 1.5}, "rollout_id": "r1"}, 400, "0..1"),
    ({"reward_info": {"outcome_reward": -1}, "rollout_id": "r1"}, 400, "0..1"),
    ({"reward_info": {"outcome_objectives": {"reward": []}}, "rollout_id": "r1"}, 400, "number"),
    ({"reward_info": {"score": 1}}, 400, "rollout_id"),
    ({"reward_info": {"score": 1}, "candidate_id": "nobody"}, 404, "unknown candidate_id"),
    ({"reward_info": {"score": 1}, "candidate_id": "cand_b"}, 409, "no rollout without a reward"),
    (reward(rollout_id=7), 400, "rollout_id"),
    (reward(rollout_id="a/b"), 400, "rollout_id"),
    (reward(candidate_id=3), 400, "candidate_id"),
    (reward(candidate_id="cand_b"), 400, "cand_a, not cand_b"),
    (reward(stop="yes"), 400, "stop"),
    (reward(rollout_id="r9"), 404, "r9"),
    ({**reward(), "metadata": {"feedback": "x" * 10_001}}, 400, "longer"),
]


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_reward_is_refused_in_words_and_nothing_is_stored(client, loop, case, one):
    body, status, says = case
    before = await loop.store.counts()
    answer = await client.post(f"{one}/reward", json=body)
    assert answer.status == status
    problem = await answer.json()
    assert says in problem["detail"]
    assert problem["error"]["code"]
    assert await loop.store.counts() == before
    assert loop.backend.counted == 0


async def test_a_rollout_of_another_session_is_not_found(client, loop, one):
    await loop.rollout("elsewhere", "bank")
    assert (await client.post(f"{one}/reward", json=reward(rollout_id="elsewhere"))).status == 404


async def test_the_same_rollout_id_in_two_sessions_is_no_ambiguity_here(client, loop, one):
    await loop.rollout("r1", "bank")
    assert (await client.post(f"{one}/reward", json=reward())).status == 200
    [stored] = await loop.store.events_of(SESSION, "r1")
    assert isinstance(stored, FeedbackEvent)
    assert (stored.source, stored.actor) == ("session-api", "session-api")


async def test_all_of_it_needs_a_key_where_keys_are_configured(loop, aiohttp_client, one):
    settings = Settings(server=Server(api_keys=("secret-key",)))
    client = await aiohttp_client(application(loop, settings))
    for route in client.app.router.routes():
        if route.method != "HEAD":
            path = route.resource.canonical.replace("{session_id}", SESSION)
            path = path.replace("{actor}", "ann")
            answer = await client.request(route.method, path.replace("{action}", "pause"))
            assert answer.status == 401, path
    for headers in ({"Authorization": "Bearer secret-key"}, {"X-API-Key": "secret-key"}):
        assert (await client.get(one, headers=headers)).status == 200
    assert loop.backend.commands == []
