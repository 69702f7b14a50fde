"""What the system routes of the public demos promise, for either algorithm."""

import pytest
from support.api import KEY, call, refusal
from support.backends import SYSTEM, create_request
from support.gateway import ask
from support.provider import FakeProvider
from support.whole import whole, whole_settings

SYSTEMS = {"gepa": "/api/gepa/v1", "mipro": "/api/prompt-learning/online/mipro/systems"}
OTHER = {"gepa": "mipro", "mipro": "gepa"}


@pytest.fixture(params=sorted(SYSTEMS))
def algorithm(request):
    return request.param


@pytest.fixture
def one(algorithm):
    return f"{SYSTEMS[algorithm]}/till"


@pytest.fixture
async def ours(algorithm):
    async with FakeProvider() as provider:
        server = {"port": 0, "drain_seconds": 0.1, "api_keys": (KEY,)}
        async with whole(whole_settings(provider.base_url, server=server)) as ours:
            await ours.sidecar.backend.create(create_request("till", algorithm))
            yield ours


async def post(ours, path, body):
    return await call(ours, "POST", path, body, X_API_Key=KEY)


async def get(ours, path):
    return await call(ours, "GET", path, X_API_Key=KEY)


async def rollout(ours, algorithm):
    """One call of a demo: which rollout and candidate it was."""
    body = {"model": "m", "messages": ask("hi", SYSTEM)}
    answer = await call(ours, "POST", f"/api/{algorithm}/v1/till/chat/completions", body)
    assert answer.status == 200
    names = ("rollout_id", "candidate_id")
    return {name: answer.headers[f"x-{algorithm}-{name.replace('_', '-')}"] for name in names}


async def test_done_with_a_reward_counts_it(ours, algorithm, one):
    served = await rollout(ours, algorithm)
    done = await post(ours, f"{one}/status", {"status": "done", "reward": 1.0, **served})
    assert done.status == 200
    assert done.json == {
        "status": "started",
        "system_id": "till",
        "session_id": "till",
        "reward_count": 1,
        "counted": True,
        **served,
    }


async def test_done_without_a_reward_counts_nothing(ours, algorithm, one):
    served = await rollout(ours, algorithm)
    for body in ({"status": "done", **served}, {"status": "done", "reward": None}, {}):
        answer = await post(ours, f"{one}/status", body)
        assert (answer.status, answer.json["reward_count"]) == (200, 0)


async def test_a_reward_and_then_done_count_once(ours, algorithm, one):
    served = await rollout(ours, algorithm)
    for body in ({"status": "reward", "reward": 0.25}, {"status": "done"}):
        answer = await post(ours, f"{one}/status", {**body, **served})
        assert answer.json["candidate_id"] == served["candidate_id"]
        assert answer.json["reward_count"] == 1


async def test_a_reward_may_name_the_candidate_only(ours, algorithm, one):
    served = await rollout(ours, algorithm)
    body = {"status": "reward", "reward": 0.5, "candidate_id": served["candidate_id"]}
    assert (await post(ours, f"{one}/status", body)).json["rollout_id"] == served["rollout_id"]
    refusal(await post(ours, f"{one}/status", body), 409)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([], 400),
        (b"{", 400),
        ({"status": "reward"}, 400),
        ({"status": 7}, 400),
        ({"status": "done", "rollout_id": 7}, 400),
        ({"status": "done", "reward": 1.0}, 400),
        ({"status": "done", "reward": "1", "rollout_id": "r"}, 400),
        ({"status": "done", "reward": 2, "rollout_id": "r"}, 400),
        ({"status": "done", "reward": 1, "rollout_id": "a/b"}, 400),
        ({"status": "done", "reward": 1, "rollout_id": "r"}, 404),
        ({"status": "done", "reward": 1, "candidate_id": "cand_nobody"}, 404),
    ],
)
async def test_a_status_that_cannot_be_is_refused(ours, one, body, status):
    refusal(await post(ours, f"{one}/status", body), status)
    assert (await get(ours, f"{one}/state")).json["reward_count"] == 0


async def test_a_reward_for_another_candidate_is_refused(ours, algorithm, one):
    served = {**await rollout(ours, algorithm), "candidate_id": "cand_x"}
    answer = await post(ours, f"{one}/status", {"status": "done", "reward": 1, **served})
    assert "cand_x" in refusal(answer, 400)


async def everything(ours, one):
    return [
        await post(ours, f"{one}/status", {"status": "done"}),
        await post(ours, f"{one}/status", {"reward": 1, "rollout_id": "r"}),
        await get(ours, f"{one}/state"),
        await get(ours, f"{one}/events"),
    ]


async def test_an_unknown_system_is_not_found(ours, algorithm):
    for answer in await everything(ours, f"{SYSTEMS[algorithm]}/nobody"):
        assert "nobody" in refusal(answer, 404)


async def test_a_system_of_the_other_algorithm_is_not_here_and_the_answer_says_where(
    ours, algorithm, one
):
    for answer in await everything(ours, f"{SYSTEMS[OTHER[algorithm]]}/till"):
        assert one in refusal(answer, 404)


async def test_all_of_it_needs_a_key(ours, one):
    for method, end in (("POST", "status"), ("GET", "state"), ("GET", "events")):
        refusal(await call(ours, method, f"{one}/{end}"), 401)


async def test_what_happened_can_be_followed(ours, algorithm, one):
    assert (await get(ours, f"{one}/events")).json == {"events": []}
    for action in ("pause", "resume", "rollback"):
        await ours.sidecar.backend.command("till", action, {})
    events = (await get(ours, f"{one}/events")).json["events"]
    kinds = [f"{algorithm}.pause", f"{algorithm}.resume"]
    assert [event["event_type"] for event in events[:2]] == kinds
    assert all(set(e) == {"seq", "event_type", "message", "data", "created_at"} for e in events)
    first = events[0]["seq"]
    assert (await get(ours, f"{one}/events?since_seq={first}")).json["events"] == events[1:]
    assert (await get(ours, f"{one}/events?limit=1")).json["events"] == events[:1]
    assert (await get(ours, f"{one}/events?since_seq=999999")).json["events"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "since_seq=-1", "since_seq=", "limit=1e3"])
async def test_a_place_in_the_events_that_is_none_is_refused(ours, one, query):
    refusal(await get(ours, f"{one}/events?{query}"), 400)
