"""What is noted of a rollout's calls."""

import asyncio

import pytest

from sidecar.core.job import JobKind, JobRecord
from sidecar.core.prompt import Pattern
from sidecar.core.rollout import Outcome, Turn
from sidecar.errors import NotFound
from sidecar.jobs import trials as module
from sidecar.jobs.base import Prompt
from sidecar.jobs.trials import Trials

RECORD = JobRecord("pl_1", JobKind.POLICY, "gepa", {}, 1.0)
OLD = Pattern.parse("old")


def turn(trial, correlation, **tokens):
    return Turn("t", trial, correlation, 1.0, 0.1, Outcome.DONE, 200, None, None, **tokens)


async def test_a_call_that_is_still_settling_is_waited_for():
    trials = Trials(lambda: "http://us")
    with trials.trial(RECORD, OLD, Prompt("new")) as trial, trials.rollout(trial) as (cid, _):
        trials.select(trial.trial_id, cid, 1.0)
        asking = asyncio.create_task(trials.heard(cid))
        await asyncio.sleep(0)
        assert not asking.done()
        trials.note(turn(trial.trial_id, cid, prompt_tokens=5), "m", matched=True)
        assert (await asking).usage == {"m": (5, 0)}


async def test_a_call_that_never_settles_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(module, "_SETTLE_SECONDS", 0.01)
    trials = Trials(lambda: "http://us")
    with trials.trial(RECORD, OLD, Prompt("new")) as trial, trials.rollout(trial) as (cid, _):
        trials.select(trial.trial_id, cid, 1.0)
        assert (await trials.heard(cid)).calls == 1


async def test_usage_is_kept_for_each_model():
    trials = Trials(lambda: "http://us")
    with trials.trial(RECORD, OLD, Prompt("new")) as trial, trials.rollout(trial) as (cid, _):
        for model in ("a", "b", "a"):
            trials.select(trial.trial_id, cid, 1.0)
            noted = turn(trial.trial_id, cid, prompt_tokens=2, completion_tokens=3)
            trials.note(noted, model, matched=model == "a")
        heard = await trials.heard(cid)
    assert heard.usage == {"a": (4, 6), "b": (2, 3)}
    assert (heard.tokens, heard.calls, heard.matched) == (15, 3, 2)


async def test_nothing_stays_behind_and_late_calls_are_not_mixed_up():
    trials = Trials(lambda: "http://us")
    with trials.trial(RECORD, OLD, Prompt("new")) as trial:
        with trials.rollout(trial) as (cid, _):
            trials.select(trial.trial_id, cid, 1.0)
        trials.note(turn(trial.trial_id, cid), "m", matched=True)
    with pytest.raises(NotFound):
        trials.select(trial.trial_id, cid, 1.0)
    with pytest.raises(NotFound):
        trials.pattern(trial.trial_id)
    assert (trials._open, trials._heard) == ({}, {})
