"""With manual promotion nothing that was written serves by default before a person said so."""

import asyncio
from dataclasses import replace

import pytest
from support.backends import SESSION, SYSTEM, proposing
from support.provider import FakeProvider
from support.talks import ONE_CANDIDATE, with_candidate
from support.whole import whole, whole_settings

from sidecar.core.ids import BASELINE
from sidecar.engine import snapshot
from sidecar.engine.policy import Observation, Policy

MANUAL = {**ONE_CANDIDATE, "safety": {**ONE_CANDIDATE.get("safety", {}), "promotion": "manual"}}


def proven(policy: Policy, candidate: str = "c", rewards: int = 600) -> list[str]:
    """Show that a candidate is better; the kinds of the moves that this brought about."""
    if candidate not in policy.arms:
        policy.admit(candidate, BASELINE, 0)
    begun = policy.seen
    kinds = []
    for tick in range(begun, begun + rewards):
        who, value = ((candidate, 0.9), (BASELINE, 0.3))[tick % 2]
        policy.observe(Observation(who, f"r{tick}", tick, tick, value))
        if policy.due:
            kinds += [move.kind for move in policy.refresh(tick)]
    return kinds


def test_a_proven_candidate_waits_and_serves_no_more_than_a_canary():
    policy = Policy(manual=True)
    policy.options = replace(policy.options, share_max=0.10, share_challengers=0.25)
    assert proven(policy) == ["awaiting"]
    assert (policy.incumbent, policy.awaiting) == (BASELINE, ["c"])
    assert policy.weights["c"] <= 0.10 + 1e-9


def test_without_it_the_same_evidence_promotes():
    policy = Policy()
    assert proven(policy)[:2] == ["certified", "promoted"]
    assert policy.incumbent == "c"


def test_approval_promotes_at_once_and_only_once():
    policy = Policy(manual=True)
    proven(policy)
    assert [move.kind for move in policy.approve("c", 600)] == ["certified", "promoted"]
    assert (policy.incumbent, policy.awaiting) == ("c", [])
    assert policy.weights["c"] > 0.5
    assert policy.approve("c", 601) == []


def test_a_refused_candidate_is_gone():
    policy = Policy(manual=True)
    proven(policy)
    [move] = policy.dismiss("c", 600)
    assert (move.kind, move.detail["why"]) == ("retired", "retired by hand")
    assert policy.awaiting == []
    assert "c" not in policy.weights
    assert policy.dismiss("c", 601) == []
    assert policy.dismiss(BASELINE, 601) == []


def test_a_rollback_voids_the_proof_of_who_waits():
    policy = Policy(manual=True)
    proven(policy)
    policy.approve("c", 600)
    proven(policy, "d", 300)
    policy.roll_back(policy.seen, "by hand")
    assert (policy.incumbent, policy.awaiting) == (BASELINE, [])


@pytest.fixture
async def provider():
    async with FakeProvider() as provider:
        proposing(provider)
        yield provider


async def waiting(ours):
    """A candidate that is proven, by rewards that say so."""
    candidate = await with_candidate(ours)
    number = 0
    while not (status := await ours.status())["safety"]["awaiting"]:
        answers = [await ours.say(f"proof{number + n}") for n in range(50)]
        number += 50
        await ours.feedback(
            *(
                {
                    "rollout_id": a.correlation,
                    "thumbs": "up" if a.candidate == candidate else "down",
                }
                for a in answers
            )
        )
        before = status["reward_count"]
        async with asyncio.timeout(10):
            while (await ours.status())["reward_count"] < before + 50:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert number < 3000
    return candidate, status


async def posted(ours, action, candidate):
    url = f"{ours.sidecar.url}/api/prompt-learning/online/gepa/sessions/{SESSION}/{action}"
    async with ours.http.post(url, json={"candidate_id": candidate}) as answer:
        return answer.status, await answer.json()


async def test_the_status_shows_what_it_changes_and_approving_lets_it_serve(provider, tmp_path):
    store = {"kind": "sqlite", "path": tmp_path / "sidecar.db"}
    async with whole(whole_settings(provider.base_url, MANUAL, store=store)) as ours:
        for action in ("approve", "retire"):
            assert (await posted(ours, action, "cand_unknown"))[0] == 404
            assert (await posted(ours, action, BASELINE))[0] == 409
        candidate, status = await waiting(ours)
        [shown] = status["safety"]["awaiting"]
        assert (shown["candidate_id"], shown["replaces"]) == (candidate, BASELINE)
        text = next(c["text"] for c in status["candidates"] if c["candidate_id"] == candidate)
        assert f"+{text.splitlines()[-1]}" in shown["diff"].splitlines()
        assert f"-{SYSTEM.splitlines()[0]}" in shown["diff"].splitlines()
        live = ours.sidecar.backend._live[SESSION]
        saved = snapshot.load(snapshot.dump(live.state), live.config, live.record.salt)
        assert saved.policy.awaiting == [candidate]
        code, after = await posted(ours, "approve", candidate)
        assert code == 200
        assert (after["incumbent_id"], after["safety"]["awaiting"]) == (candidate, [])
        assert (await posted(ours, "approve", candidate))[0] == 409
        assert (await posted(ours, "retire", candidate))[0] == 409  # it is rolled back instead
    async with whole(whole_settings(provider.base_url, MANUAL, store=store)) as ours:
        assert (await ours.status())["incumbent_id"] == candidate
