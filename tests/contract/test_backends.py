"""What `sidecar/backend/base.py` promises, kept by every backend, with either algorithm.

`place.select` does what the request path does: a referred call is sent where it goes, and is a
selection when its answer has named the candidate. How a candidate was drawn is asked of whoever
drew it (`place.drawn`): this backend, or the one that it refers calls to.
"""

import json

import pytest
from support.backends import (
    FAILURES,
    SESSION,
    SYSTEM,
    create_request,
    embedded_memory,
    embedded_sqlite,
    proposing,
    remote,
)
from support.provider import FakeProvider

from sidecar.backend.base import Mode, NotLoaded
from sidecar.core.feedback import Reward
from sidecar.errors import Conflict, InvalidRequest, NotFound


@pytest.fixture(params=["gepa", "mipro"])
def algorithm(request):
    return request.param


@pytest.fixture(params=[embedded_memory, embedded_sqlite, remote], ids=lambda make: make.__name__)
async def place(request, tmp_path, algorithm):
    async with FakeProvider() as provider:
        proposing(provider)
        async with request.param(tmp_path, provider) as place:
            place.algorithm = algorithm
            once = {"online_proposer_min_rollouts": 1, "online_proposer_max_candidates": 1}
            if algorithm == "mipro":  # what the search makes of demonstrations is its own test's
                once["demo"] = {"sets_per_size": 0}
            await place.backend.create(create_request(SESSION, algorithm, **once))
            yield place


@pytest.fixture
async def backend(place):
    return place.backend


def reward(rollout="r0", revision=1, value=1.0, *comments):
    return Reward(SESSION, rollout, revision, value, comments)


def by_id(status):
    return {c["candidate_id"]: c for c in status["candidates"]}


# -- start -----------------------------------------------------------------------------------------


async def test_until_it_has_started_it_does_not_say_that_a_session_does_not_exist(place):
    fresh = place.another()
    for ask in (fresh.pattern, lambda name: fresh.select(name, "talk", 0.0)):
        with pytest.raises(NotLoaded):
            ask("made-over-the-api")
    place.left.append(fresh)
    await fresh.start()
    for ask in (fresh.pattern, lambda name: fresh.select(name, "talk", 0.0)):
        with pytest.raises(NotFound):
            ask("made-over-the-api")


# -- create --------------------------------------------------------------------------------------


async def test_a_created_session_is_started_and_online(backend, algorithm):
    created = await backend.create(create_request("new", algorithm) | {"correlation_id": "trace_1"})
    assert (created["session_id"], created["status"], created["mode"]) == (
        "new",
        "started",
        "online",
    )
    assert created["algorithm"] == algorithm
    assert created["job_id"].startswith("pl_")
    assert created["correlation_id"] == "trace_1"
    assert {s["session_id"] for s in await backend.sessions()} == {SESSION, "new"}


async def test_a_session_without_an_id_gets_one_of_its_own(backend, algorithm):
    ids = {(await backend.create(create_request(None, algorithm)))["session_id"] for _ in range(2)}
    assert len(ids) == 2


async def test_the_same_id_again_is_the_same_session_with_its_own_config(place):
    await place.rewarded(1.0)
    other = create_request(SESSION, place.algorithm, online_proposer_min_rollouts=99)
    again = await place.backend.create(other)
    assert again["reward_count"] == 1
    assert again["job_id"] == (await place.backend.status(SESSION))["job_id"]
    assert (await place.backend.create({"session_id": SESSION}))["reward_count"] == 1


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"session_id": "a b"}, "session_id"),
        ({"session_id": 7}, "session_id"),
        ({"config_body": None}, "config_body"),
        ({"config_body": []}, "config_body"),
        ({"config_body": {"other": {}}}, "config_body"),
        ({"config_body": None, "config_path": "x.toml"}, "config_path"),
        ({"overrides": []}, "overrides"),
        (
            {"overrides": {"prompt_learning.algorithm": "x"}},
            "config_body.prompt_learning.algorithm",
        ),
        (
            {"overrides": {"prompt_learning.initial_prompt.messages": []}},
            "config_body.prompt_learning.initial_prompt.messages",
        ),
        (
            {"overrides": {"prompt_learning.ALGORITHM.surprise": 1}},
            "config_body.prompt_learning.ALGORITHM.surprise",
        ),
        (
            {"overrides": {"prompt_learning.ALGORITHM.proposer_url": "http://evil/v1"}},
            "proposer_url",
        ),
        ({"metadata": 3}, "metadata"),
        ({"correlation_id": "a b"}, "correlation_id"),
    ],
)
async def test_a_wrong_create_request_names_what_is_wrong_and_leaves_nothing(
    backend, algorithm, changes, param
):
    changes = json.loads(json.dumps(changes).replace("ALGORITHM", algorithm))
    with pytest.raises(InvalidRequest) as error:
        await backend.create(create_request("wrong", algorithm) | changes)
    assert error.value.param == param.replace("ALGORITHM", algorithm)
    assert [s["session_id"] for s in await backend.sessions()] == [SESSION]


async def test_the_algorithm_of_the_route_must_be_the_configs(backend, algorithm):
    other = {"gepa": "mipro", "mipro": "gepa"}[algorithm]
    assert (await backend.create(create_request("right", algorithm), algorithm))["session_id"]
    with pytest.raises(InvalidRequest) as error:
        await backend.create(create_request("wrong", algorithm), other)
    assert error.value.param == "config_body.prompt_learning.algorithm"
    with pytest.raises(InvalidRequest) as error:
        await backend.create({"session_id": SESSION}, other)
    assert error.value.param == "session_id"


async def test_a_session_of_the_settings_is_made_once_and_found_afterwards(place):
    request = create_request("mine", place.algorithm)
    await place.backend.ensure(request, place.algorithm)
    made = await place.backend.status("mine")
    await place.backend.ensure(request, place.algorithm)
    await place.restarted()
    await place.backend.ensure(request, place.algorithm)
    assert await place.backend.status("mine") == made
    assert len(await place.backend.sessions()) == 2


# -- select --------------------------------------------------------------------------------------


async def test_a_conversation_keeps_what_it_was_given(place):
    await place.candidate()
    first = {f"c{n}": (await place.select(f"c{n}")).assignment for n in range(60)}
    again = {name: (await place.select(name)).assignment for name in first}
    assert again == first
    assert all(0 < a.propensity <= 1 for a in first.values())
    assert {(a.session_id, a.rollout_id) for a in first.values()} == {(SESSION, n) for n in first}


async def test_a_selection_says_what_to_serve(place):
    candidate = await place.candidate()
    await place.backend.command(SESSION, "pin", {"candidate_id": candidate})
    optimised = await place.select("one")
    assert optimised.mode is Mode.OPTIMIZED
    assert optimised.text == by_id(await place.backend.status(SESSION))[candidate]["text"]
    await place.backend.command(SESSION, "pin", {"candidate_id": "baseline"})
    plain = await place.select("two")
    assert (plain.mode, plain.text) == (Mode.BASELINE, SYSTEM)
    assert plain.pattern == place.backend.pattern(SESSION)


async def test_the_same_conversation_draws_the_same_on_the_same_evidence(place):
    await place.candidate()
    twin = place.another()
    await twin.start()
    candidates = set()
    for number in range(60):
        mine = (await place.select(f"c{number}")).assignment
        its = (await place.select(f"c{number}", twin)).assignment
        assert (mine.candidate_id, mine.propensity) == (its.candidate_id, its.propensity)
        candidates.add(mine.candidate_id)
    assert len(candidates) == 2
    await twin.stop()


async def test_a_selection_is_recorded(place):
    await place.candidate()
    names = [f"c{n}" for n in range(40)]
    first = [(await place.select(name)).assignment.candidate_id for name in names]
    drawn = [await place.drawn(name) for name in names]
    assert [assignment.candidate_id for assignment in drawn] == first
    await place.restarted(crashed=True)
    assert [(await place.select(name)).assignment.candidate_id for name in names] == first
    assert [await place.drawn(name) for name in names] == drawn
    status = await place.backend.status(SESSION)
    assert status["rollout_count"] == FAILURES + 40
    assert sum(c["rollout_count"] for c in status["candidates"]) == FAILURES + 40


async def test_an_unknown_session_is_not_found(backend):
    with pytest.raises(NotFound):
        backend.select("nobody", "c", 1.0)
    with pytest.raises(NotFound):
        backend.pattern("nobody")
    for call in (
        backend.status("nobody"),
        backend.export("nobody"),
        backend.command("nobody", "pause", {}),
        backend.report("nobody", [Reward("nobody", "r0", 1, 1.0)]),
    ):
        with pytest.raises(NotFound):
            await call


# -- report --------------------------------------------------------------------------------------


async def test_a_reward_counts_once_per_revision(place):
    for name in ("r0", "r1"):
        await place.select(name)
    backend = place.backend
    (receipt,) = await backend.report(SESSION, [reward("r0", 1, 0.5)])
    assert (receipt.rollout_id, receipt.candidate_id, receipt.counted) == ("r0", "baseline", True)
    again = await backend.report(SESSION, [reward("r0", 1, 0.5), reward("r1", 1, 1.0)])
    assert [r.counted for r in again] == [False, True]
    both = await backend.report(SESSION, [reward("r0", 1, 0.5), reward("r0", 1, 0.5)])
    assert [r.counted for r in both] == [False, False]
    shown = by_id(await backend.status(SESSION))["baseline"]
    assert (shown["reward_count"], shown["avg_reward"]) == (2, 0.75)


async def test_a_higher_revision_replaces_and_a_lower_one_comes_too_late(place):
    await place.select("r0")
    for revision, value, counted in ((2, 0.5, True), (1, 1.0, False), (5, 0.25, True)):
        (receipt,) = await place.backend.report(SESSION, [reward("r0", revision, value)])
        assert receipt.counted is counted
    status = await place.backend.status(SESSION)
    assert status["reward_count"] == 1
    assert by_id(status)["baseline"]["avg_reward"] == 0.25


async def test_a_retraction_takes_the_reward_out_again(place):
    await place.select("r0")
    for revision, value, count in ((1, 1.0, 1), (2, None, 0), (3, None, 0), (4, 0.5, 1)):
        await place.backend.report(SESSION, [reward("r0", revision, value)])
        status = await place.backend.status(SESSION)
        assert status["reward_count"] == by_id(status)["baseline"]["reward_count"] == count
    assert by_id(status)["baseline"]["avg_reward"] == 0.5


async def test_one_unknown_rollout_refuses_its_report_and_nothing_of_it_counts(place):
    await place.select("r0")
    with pytest.raises(NotFound):
        await place.backend.report(SESSION, [reward("r0"), reward("stranger")])
    assert (await place.backend.status(SESSION))["reward_count"] == 0


async def test_a_conversation_may_be_called_like_a_candidate(place):
    candidate = await place.candidate()
    for name in ("baseline", candidate):
        await place.backend.command(SESSION, "pin", {"candidate_id": name})
        await place.select(name)
        for revision in (1, 2):
            (receipt,) = await place.backend.report(SESSION, [reward(name, revision)])
            assert receipt.counted
        await place.backend.command(SESSION, "unpin", {})
        (receipt,) = await place.backend.report(SESSION, [reward(name, 2)])
        assert not receipt.counted
    assert (await place.backend.status(SESSION))["reward_count"] == FAILURES + 2


@pytest.mark.parametrize("end", ["cancel", "complete"])
async def test_a_session_that_is_over_counts_nothing_and_obeys_nobody(place, end):
    await place.rewarded(1.0)
    before = await place.backend.command(SESSION, end, {})
    assert before["status"] == {"cancel": "cancelled", "complete": "completed"}[end]
    with pytest.raises(Conflict):
        await place.backend.report(SESSION, [reward("r0", 2, 0.0)])
    for action in ("pause", "resume", "cancel", "complete", "unpin", "rollback"):
        with pytest.raises(Conflict):
            await place.backend.command(SESSION, action, {})
    for action in ("pin", "approve", "retire"):
        with pytest.raises(Conflict):
            await place.backend.command(SESSION, action, {"candidate_id": "baseline"})
    assert await place.backend.status(SESSION) == before


# -- commands ------------------------------------------------------------------------------------


async def test_pause_and_resume_lead_to_each_other(backend):
    for action, status in (("pause", "paused"), ("pause", "paused"), ("resume", "started")):
        assert (await backend.command(SESSION, action, {}))["status"] == status


async def test_a_paused_session_still_counts_rewards(place):
    await place.backend.command(SESSION, "pause", {})
    await place.rewarded(1.0, 0.0)
    assert (await place.backend.status(SESSION))["reward_count"] == 2


async def test_a_pinned_candidate_serves_all_that_is_new_until_it_is_unpinned(place):
    candidate = await place.candidate()
    pinned = await place.backend.command(SESSION, "pin", {"candidate_id": candidate})
    assert pinned["safety"]["pinned"] == candidate
    assert by_id(pinned)[candidate]["share"] == 1.0
    assignments = [(await place.select(f"pin{n}")).assignment for n in range(20)]
    assert {a.candidate_id for a in assignments} == {candidate}
    drawn = [await place.drawn(f"pin{n}") for n in range(20)]
    assert {(a.propensity, a.weight) for a in drawn} == {(1.0, 0.0)}
    free = await place.backend.command(SESSION, "unpin", {})
    assert free["safety"]["pinned"] is None
    assignments = [(await place.select(f"free{n}")).assignment for n in range(200)]
    assert {a.candidate_id for a in assignments} == {"baseline", candidate}
    assert {(await place.drawn(f"free{n}")).weight for n in range(200)} == {1.0}


async def test_a_wrong_command_says_what_is_wrong(backend):
    with pytest.raises(InvalidRequest):
        await backend.command(SESSION, "dance", {})
    for action in ("pin", "approve", "retire"):
        for arguments in ({}, {"candidate_id": ""}, {"candidate_id": 7}):
            with pytest.raises(InvalidRequest) as error:
                await backend.command(SESSION, action, arguments)
            assert error.value.param == "candidate_id"
        with pytest.raises(NotFound):
            await backend.command(SESSION, action, {"candidate_id": "cand_unknown"})
    for action in ("approve", "retire"):
        with pytest.raises(Conflict):
            await backend.command(SESSION, action, {"candidate_id": "baseline"})
    assert (await backend.status(SESSION))["safety"]["journal_seq"] == 0


async def test_a_rollback_returns_to_the_baseline(place):
    await place.candidate()
    after = await place.backend.command(SESSION, "rollback", {})
    assert after["incumbent_id"] == "baseline"
    assert after["safety"]["events"][-1]["kind"] == "rolled_back"


# -- what is shown -------------------------------------------------------------------------------


async def test_an_export_has_the_text_and_where_it_comes_from(place):
    candidate = await place.candidate()
    best = await place.backend.export(SESSION)
    assert (best["candidate_id"], best["text"]) == ("baseline", SYSTEM)
    named = await place.backend.export(SESSION, candidate)
    assert named["messages"] == [{"role": "system", "content": named["text"]}]
    assert [one["candidate_id"] for one in named["lineage"]] == [candidate, "baseline"]
    assert named["lineage"][-1]["text"] == SYSTEM
    with pytest.raises(NotFound):
        await place.backend.export(SESSION, "cand_unknown")


async def test_the_status_has_the_published_fields(place):
    candidate = await place.candidate()
    await place.rewarded(1.0)
    status = await place.backend.status(SESSION)
    assert status["session_id"] == SESSION
    assert status["status"] == "started"
    assert status["rollout_count"] == status["reward_count"] == FAILURES + 1
    assert status["best_candidate_id"] in by_id(status)
    assert 0 <= status["best_score"] <= 1
    assert set(by_id(status)) >= {"baseline", candidate}
    for one in status["candidates"]:
        assert one.keys() >= {"candidate_id", "avg_reward", "rollout_count", "is_baseline"}
        assert one["is_baseline"] is (one["candidate_id"] == "baseline")
    assert sum(c["reward_count"] for c in status["candidates"]) == FAILURES + 1
    assert sum(c["share"] for c in status["candidates"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("crashed", [False, True])
async def test_a_restart_changes_nothing(place, crashed):
    await place.candidate()
    await place.rewarded(*(number % 3 / 2 for number in range(50)))
    await place.backend.report(SESSION, [reward("r0", 2, None), reward("r1", 2, 0.1)])
    # Nothing is being written any more, and the pause is something to remember too.
    await place.backend.command(SESSION, "pause", {})
    before = await place.backend.status(SESSION)
    restarted = await place.restarted(crashed=crashed)
    assert await restarted.status(SESSION) == before
    (receipt,) = await restarted.report(SESSION, [reward("r1", 2, 0.1)])
    assert not receipt.counted


async def test_what_is_stopped_still_selects(place):
    first = await place.select("c")
    await place.backend.stop()
    assert (await place.select("c")).assignment == first.assignment
