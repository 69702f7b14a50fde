"""`POST /feedback`: whatever is sent, the answer says what became of it, and never 500."""

import contextlib
import gzip
import io

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.feedback_loop import SESSION, Loop
from support.feedback_server import application

from sidecar.api.feedback import MAX_BODY
from sidecar.errors import InvalidFeedback
from sidecar.feedback.parse import parse
from sidecar.settings import Server, Settings
from sidecar.store.memory import MemoryStore
from sidecar.store.sqlite import SqliteStore

GOOD = {"rollout_id": "r1", "thumbs": "up"}


@pytest.fixture(params=["memory", "sqlite"])
async def loop(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "s.db")
    await store.open()
    loop = Loop(store=store)
    await loop.rollout("r1", completion_id="chatcmpl-1")
    await loop.rollout("r2", completion_id="chatcmpl-2")
    await loop.rollout("both", SESSION)
    await loop.rollout("both", "bank")
    yield loop
    await store.close()


@pytest.fixture
async def client(loop, aiohttp_client):
    return await aiohttp_client(application(loop))


async def test_one_event_is_acknowledged_by_its_id(client, loop):
    answer = await client.post("/feedback", json={**GOOD, "event_id": "e1"})
    assert answer.status == 202
    said = {"event_id": "e1", "feedback_id": "e1", "status": "attributed"}
    assert await answer.json() == {"events": [said], "durable": loop.store.durable, **said}


async def test_an_event_without_an_id_gets_one(client):
    first = await (await client.post("/feedback", json=GOOD)).json()
    second = await (await client.post("/feedback", json=GOOD)).json()
    assert first["event_id"].startswith("fb_")
    assert first["event_id"] != second["event_id"]


async def test_an_array_is_acknowledged_one_by_one(client, loop):
    await client.post("/feedback", json={**GOOD, "event_id": "old"})
    sent = [
        {**GOOD, "event_id": "old"},
        {"completion_id": "chatcmpl-2", "score": 0.5, "event_id": "new"},
        {"correlation_id": "early", "thumbs": "down", "event_id": "early"},
        {"correlation_id": "early", "thumbs": "down", "event_id": "early"},
    ]
    answer = await client.post("/feedback", json=sent)
    assert answer.status == 202
    statuses = [one["status"] for one in (await answer.json())["events"]]
    assert statuses == ["duplicate", "attributed", "parked", "duplicate"]
    assert (await loop.store.counts()).feedback == 2


async def test_any_id_of_a_rollout_reaches_it(client, loop):
    for ids in (
        {"rollout_id": "r1"},
        {"correlation_id": "r1"},
        {"completion_id": "chatcmpl-1"},
        {"rollout_id": "r1", "completion_id": "chatcmpl-1", "session_id": SESSION},
        {"rollout_id": "r1", "completion_id": "chatcmpl-not-captured"},
        {"rollout_id": "both", "session_id": SESSION},
    ):
        answer = await client.post("/feedback", json={**ids, "thumbs": "up"})
        assert (await answer.json())["status"] == "attributed", ids
    assert len(await loop.store.events_of(SESSION, "r1")) == 5


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", "x"])
async def test_the_content_type_does_not_matter(client, content_type):
    answer = await client.post(
        "/feedback", data=orjson.dumps(GOOD), headers={"Content-Type": content_type}
    )
    assert answer.status == 202


def j(body) -> bytes:
    return orjson.dumps(body)


BAD = [
    (b"", 400, "not valid JSON"),
    (b"{", 400, "not valid JSON"),
    (b"thumbs=up", 400, "not valid JSON"),
    (b"\xff\xfe", 400, "not valid JSON"),
    (b'{"rollout_id": "r1", "score": NaN}', 400, "NaN and Infinity are not JSON"),
    (b'{"rollout_id": "r1", "score": -Infinity}', 400, "NaN and Infinity are not JSON"),
    (b'{"rollout_id": "r1", "score": 1e999}', 400, "infinity"),
    (b'{"rollout_id": "r1", "comment": "\\ud800"}', 400, "surrogate"),
    (b"[" * 100_000, 400, "not valid JSON"),
    (b" " * (MAX_BODY + 1), 413, "larger than"),
    (j(None), 422, "must be an object"),
    (j([]), 422, "1 to 1000"),
    (j([GOOD] * 1001), 422, "1 to 1000"),
    (j({}), 422, "rollout_id is missing"),
    (j({"rollout_id": "r1"}), 422, "thumbs is missing"),
    (j({**GOOD, "thumbs": "meh"}), 422, "thumbs must be"),
    (j({"rollout_id": "r1", "rating": 4}), 422, "must say its scale"),
    (j({"rollout_id": "r1", "score": "nan"}), 422, "score must be a number"),
    (j({"rollout_id": "r1", "score": True}), 422, "score must be a number"),
    (j({**GOOD, "thumb": 1}), 422, "thumb is not a known field"),
    (j({**GOOD, "rollout_id": "../r1"}), 422, "possible id"),
    (j({**GOOD, "comment": "x" * 10_001}), 422, "longer than"),
    (j({**GOOD, "completion_id": "chatcmpl-2"}), 422, "another rollout"),
    (j({**GOOD, "session_id": "bank"}), 422, "not the rollout's session"),
    (j({"rollout_id": "both", "thumbs": "up"}), 422, "several sessions"),
    (j([GOOD, {**GOOD, "thumbs": "meh"}]), 422, "[1].thumbs"),
    (j([GOOD, GOOD, {"rollout_id": "both", "thumbs": "up"}]), 422, "[2]."),
    (
        j([{**GOOD, "event_id": "e"}, {**GOOD, "event_id": "e", "thumbs": "down"}]),
        409,
        "[1].event_id",
    ),
    (j({**GOOD, "event_id": "known", "thumbs": "down"}), 409, "event_id known was received"),
    (j({**GOOD, "event_id": "known", "rollout_id": "r2"}), 409, "event_id known was received"),
]


@pytest.mark.parametrize(("body", "status", "says"), BAD)
async def test_bad_input_is_refused_in_words_and_nothing_is_stored(
    client, loop, body, status, says
):
    await client.post("/feedback", json={**GOOD, "event_id": "known"})
    before = await loop.store.counts()
    answer = await client.post("/feedback", data=io.BytesIO(body))
    assert answer.status == status
    assert answer.content_type == "application/problem+json"
    problem = await answer.json()
    assert says in problem["detail"]
    assert problem["status"] == status
    assert problem["code"]
    assert await loop.store.counts() == before
    assert loop.metric("sidecar_feedback_total", source="api", outcome="rejected") == 1


async def test_a_body_is_bounded_however_it_is_framed(client, loop):
    async def endless():
        for _ in range(64):
            yield b" " * 65536

    answer = await client.post("/feedback", data=endless())
    assert answer.status == 413
    assert (await loop.store.counts()).waiting == 0


async def test_a_compressed_body_is_refused_in_words(client):
    answer = await client.post(
        "/feedback", data=gzip.compress(j(GOOD)), headers={"Content-Encoding": "gzip"}
    )
    assert answer.status == 400


async def test_a_repeated_delivery_is_a_duplicate_before_and_after_attribution(client, loop):
    early = {"completion_id": "chatcmpl-9", "thumbs": "up", "event_id": "e9"}
    statuses = [
        (await (await client.post("/feedback", json=early)).json())["status"] for _ in range(2)
    ]
    assert statuses == ["parked", "duplicate"]
    await loop.rollout("r9", completion_id="chatcmpl-9")
    await loop.attributor.sweep(loop.clock.now)
    loop.clock.forward(60)
    answer = await client.post("/feedback", json=early)
    assert (answer.status, (await answer.json())["status"]) == (202, "duplicate")
    assert len(await loop.store.events_of(SESSION, "r9")) == 1


async def test_a_conflict_in_an_array_names_the_id(client, loop):
    await client.post("/feedback", json={**GOOD, "event_id": "known"})
    changed = {**GOOD, "event_id": "known", "thumbs": "down"}
    answer = await client.post("/feedback", json=[{**GOOD, "event_id": "new"}, changed])
    assert answer.status == 409
    assert "known" in (await answer.json())["detail"]
    [known] = [e for e in await loop.store.events_of(SESSION, "r1") if e.event_id == "known"]
    assert known.score == 1.0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["rollout_id", "completion_id", "session_id", "event_id", "thumbs", "rating", "score",
             "comment", "correction", "retract", "retracts", "actor", "details", "value", "min"]
        ),
        inner,
        max_size=6,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=JSON)
def test_no_json_at_all_is_our_fault(body):
    """Anything that is JSON is either events or an InvalidFeedback, never another error."""
    finite = orjson.loads(orjson.dumps(body))
    with contextlib.suppress(InvalidFeedback):
        events = parse(finite, source="api", received_at=1.0, new_id=lambda: "minted")
        assert all(event.score is None or 0 <= event.score <= 1 for event in events)


KEYED = Settings(server=Server(api_keys=("secret-key",)))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer secret-key"}, 202),
        ({"X-API-Key": "secret-key"}, 202),
    ],
)
async def test_where_keys_are_configured_one_is_needed(loop, aiohttp_client, headers, status):
    client = await aiohttp_client(application(loop, KEYED))
    before = await loop.store.counts()
    answer = await client.post("/feedback", json=GOOD, headers=headers)
    assert answer.status == status
    if status == 401:
        assert await loop.store.counts() == before
        assert (await client.get("/feedback/dead-letters")).status == 401
        assert (await client.post("/feedback/dead-letters/replay")).status == 401


async def test_dead_letters_are_listed_and_replayed(client, loop):
    loop.backend.poison = {"r1"}
    await client.post("/feedback", json=GOOD)
    await loop.reporter.deliver_due()
    [letter] = (await (await client.get("/feedback/dead-letters")).json())["dead_letters"]
    assert (letter["session_id"], letter["rollout_id"], letter["revision"]) == (SESSION, "r1", 1)
    assert letter["error"]
    loop.backend.poison = set()
    which = {"session_id": SESSION, "rollout_id": "r1"}
    answer = await client.post("/feedback/dead-letters/replay", json=which)
    assert (answer.status, await answer.json()) == (202, {**which, "status": "replayed"})
    await loop.reporter.deliver_due()
    assert loop.backend.values() == {"r1": 1.0}
    assert (await client.post("/feedback/dead-letters/replay", json=which)).status == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/feedback/dead-letters/replay", [], 400),
        ("POST", "/feedback/dead-letters/replay", {}, 422),
        ("POST", "/feedback/dead-letters/replay", {"session_id": 1, "rollout_id": "r"}, 422),
        ("POST", "/feedback/dead-letters/replay", {"session_id": "s", "rollout_id": "a b"}, 422),
        ("GET", "/feedback/dead-letters?limit=0", None, 400),
        ("GET", "/feedback/dead-letters?limit=1001", None, 400),
        ("GET", "/feedback/dead-letters?limit=²", None, 400),
        ("GET", "/feedback", None, 405),
    ],
)
async def test_the_other_routes_refuse_nonsense_too(client, method, path, body, status):
    answer = await client.request(method, path, json=body)
    assert answer.status == status
    assert answer.content_type == "application/problem+json"
