"""A MIPRO session end to end: instructions from the model, demonstrations from what went well."""

import json

import pytest
from support.backends import SESSION, SYSTEM, eventually, proposing
from support.gateway import ask
from support.provider import FakeProvider
from support.whole import whole, whole_settings

MIPRO = {
    "online_proposer_min_rollouts": 6,
    "proposer": {"model": "reflect", "instructions_per_batch": 1},
    "demo": {"sets_per_size": 1, "max_few_shot_examples": 2},
}


@pytest.fixture
async def provider():
    async with FakeProvider() as provider:
        proposing(provider)
        yield provider


@pytest.fixture
async def ours(provider):
    session = {
        "id": SESSION, "algorithm": "mipro", "baseline": SYSTEM, "config": {"mipro": MIPRO}
    }  # fmt: skip
    async with whole(whole_settings(provider.base_url, sessions=(session,))) as ours:
        yield ours


QUESTIONS = [
    "Where is my parcel? Write to jane@example.com or call +44 20 7946 0958.",
    "How do I change the delivery address of an order that has left already?",
    "I want my money back for the broken kettle.",
]


async def talk(ours, count, thumbs, start=0):
    for number in range(start, start + count):
        question = QUESTIONS[number % len(QUESTIONS)]
        answer = await ours.chat(ask(question, SYSTEM), x_correlation_id=f"c{number}")
        assert answer.status == 200
        await ours.feedback({"id": f"e{number}", "correlation_id": f"c{number}", "thumbs": thumbs})
    counted = [0]

    async def look():
        counted[0] = (await ours.sidecar.backend.status(SESSION))["reward_count"]

    await eventually(look, lambda: counted[0] >= start + count)


async def candidates(ours, wanted):
    """The candidates, once there is one that is wanted."""
    found = []

    async def look():
        status = await ours.sidecar.backend.status(SESSION)
        found[:] = [c for c in status["candidates"] if wanted(c)]

    await eventually(look, lambda: bool(found))
    return found


async def test_good_answers_become_demonstrations_and_are_shown_to_the_model(ours, provider):
    await talk(ours, 12, "up")
    [shown, *_] = await candidates(ours, lambda c: c["demos"])
    await ours.command("pin", candidate_id=shown["candidate_id"])
    answer = await ours.chat(ask("And now?", SYSTEM), x_correlation_id="new")
    assert answer.headers["x-mipro-candidate-id"] == shown["candidate_id"]
    sent = provider.last.json["messages"]
    assert [m["role"] for m in sent] == [
        "system", *["user", "assistant"] * len(shown["demos"]), "user"
    ]  # fmt: skip
    assert sent[0]["content"] == shown["text"]
    assert [m["content"] for m in sent[1:-1:2]] == [demo["user"] for demo in shown["demos"]]
    assert sent[-1]["content"] == "And now?"
    assert "jane@example.com" not in json.dumps(sent)
    assert "7946" not in json.dumps(sent)


async def test_bad_answers_become_instructions(ours, provider):
    await talk(ours, 12, "down")
    [written, *_] = await candidates(ours, lambda c: c["text"] != SYSTEM)
    assert (written["origin"], written["parent_id"]) == ("grid", "baseline")
    status = await ours.sidecar.backend.status(SESSION)
    assert status["algorithm"] == "mipro"
    assert status["proposal_seq"] >= 1


async def test_levers_and_sensors_are_what_happened(ours):
    await talk(ours, 20, "down")
    [written, *_] = await candidates(ours, lambda c: c["text"] != SYSTEM)
    status = await ours.sidecar.backend.status(SESSION)
    lever = status["lever_summary"]
    assert lever["prompt_lever_id"] == f"mipro.prompt.{SESSION}"
    assert lever["candidate_lever_versions"]["baseline"] == 0
    assert lever["candidate_lever_versions"][written["candidate_id"]] >= 1
    assert lever["mutation_count"] == status["proposal_seq"]
    assert lever["latest_version"] == len(status["candidates"]) - 1
    assert status["best_lever_version"] == lever["candidate_lever_versions"][
        status["best_candidate_id"]
    ]  # fmt: skip
    seen = [name for frame in status["sensor_frames"] for name in frame["trace_ids"]]
    assert len(seen) == len(set(seen)) > 0
    assert set(seen) <= {f"c{n}" for n in range(20)}
    for frame in status["sensor_frames"]:
        assert frame["lever_versions"].keys() == {lever["prompt_lever_id"]}
        assert frame["sensor_kinds"] == ["rollout", "reward"]


async def test_a_restart_keeps_rows_columns_and_cells(ours, provider, tmp_path):
    session = {
        "id": SESSION, "algorithm": "mipro", "baseline": SYSTEM, "config": {"mipro": MIPRO}
    }  # fmt: skip
    store = {"kind": "sqlite", "path": str(tmp_path / "s.db")}
    settings = whole_settings(provider.base_url, sessions=(session,), store=store)
    async with whole(settings) as first:
        await talk(first, 12, "up")
        await candidates(first, lambda c: c["demos"])
        await first.command("pause")
        before = await first.sidecar.backend.status(SESSION)
    async with whole(settings) as second:
        assert await second.sidecar.backend.status(SESSION) == before
