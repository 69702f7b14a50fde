"""What a task app is asked, and what its answer was worth."""

import pytest

from sidecar.core.job import JobKind, JobRecord
from sidecar.jobs.base import Prompt
from sidecar.jobs.rollout import NoReward, request_of, verdict_of
from sidecar.jobs.spec import RolloutSpec

POLICY = JobRecord("pl_1", JobKind.POLICY, "gepa", {}, 1.0)
EVAL = JobRecord("eval-1", JobKind.EVAL, "", {}, 1.0)


def asked(record=POLICY, prompt=None, **fields):
    spec = RolloutSpec("http://app", **fields)
    return request_of(
        record,
        spec,
        prompt,
        seed=7,
        correlation_id="trace_1",
        inference_url="http://us/trace_1",
    )


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ({"reward_info": {"outcome_reward": 0.25}}, 0.25),
        ({"reward_info": {"outcome_reward": 0}, "metrics": {"outcome_reward": 1}}, 0.0),
        ({"metrics": {"outcome_reward": 0.5, "reward_mean": 1}}, 0.5),
        ({"metrics": {"outcome_reward": 0.5}, "reward_info": {"outcome_reward": None}}, 0.5),
        ({"reward_info": {"outcome_objectives": {"reward": 0.75}}}, 0.75),
        ({"metrics": {"outcome_objectives": {"reward": 0.75}, "reward_mean": 1}}, 0.75),
        ({"metrics": {"reward_mean": 0.125}}, 0.125),
        ({"reward_info": {"outcome_reward": True}}, 1.0),
        ({"reward_info": {"outcome_reward": 1.0000001}}, 1.0),
        ({"reward_info": {"outcome_reward": 0.5}, "success_status": "failure"}, 0.5),
    ],
)
def test_the_reward_is_the_first_that_is_there_in_the_published_order(answer, reward):
    assert verdict_of(answer).reward == reward


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({}, "no reward"),
        ({"reward_info": None, "metrics": []}, "no reward"),
        ({"reward_info": {"details": {"outcome_reward": 1}}}, "no reward"),
        ({"reward_info": {"outcome_reward": float("nan")}}, "NaN"),
        ({"reward_info": {"outcome_reward": float("inf")}}, "inf"),
        ({"reward_info": {"outcome_reward": 1e9}}, "1e+09"),
        ({"reward_info": {"outcome_reward": 10**400}}, "1000000"),
        ({"reward_info": {"outcome_reward": -0.1}}, "-0.1"),
        ({"reward_info": {"outcome_reward": "0.5"}}, "'0.5'"),
        ({"reward_info": {"outcome_reward": [1]}}, "not a number"),
    ],
)
def test_a_reward_that_cannot_be_used_says_why(answer, says):
    with pytest.raises(NoReward, match=r".") as failure:
        verdict_of(answer)
    assert says in str(failure.value)
    assert "0 to 1" in str(failure.value)


def test_an_unusable_reward_never_gives_way_to_a_later_one():
    with pytest.raises(NoReward):
        verdict_of({"reward_info": {"outcome_reward": 1e9}, "metrics": {"outcome_reward": 1}})


def test_what_the_task_app_says_about_a_rollout_is_its_feedback():
    answer = {
        "reward_info": {"outcome_reward": 0.5, "details": {"feedback": "too long"}},
        "success_status": "timeout",
        "status_detail": "stopped after 3 steps",
    }
    assert verdict_of(answer).feedback == "timeout\nstopped after 3 steps\ntoo long"
    plain = {"reward_info": {"outcome_reward": 1, "details": {"expected": "red", "n": 2**70}}}
    assert "red" in verdict_of(plain).feedback


def test_halves_of_characters_are_not_passed_on():
    half = {"reward_info": {"outcome_reward": 1, "details": {"said": "\ud83d"}}}
    verdict_of(half).feedback.encode()
    with pytest.raises(NoReward) as failure:
        verdict_of({"status_detail": "\ud83d"})
    str(failure.value).encode()


def test_a_missing_reward_repeats_what_the_task_app_says_instead():
    with pytest.raises(NoReward, match="no model key"):
        verdict_of({"success_status": "runtime_error", "status_detail": "no model key"})


def test_the_seed_is_where_task_apps_look_for_it():
    env = asked(env_name="banking77", env_config={"seed": 99, "limit": 3})["env"]
    assert env == {
        "env_name": "banking77",
        "seed": 7,
        "config": {"split": "train", "limit": 3, "seed": 7},
    }


def test_a_split_that_the_owner_names_wins_and_an_eval_names_none_by_itself():
    assert asked(env_config={"split": "test"})["env"]["config"]["split"] == "test"
    assert "split" not in asked(EVAL)["env"]["config"]


def test_the_policy_is_passed_on_and_the_address_is_ours():
    policy = {"model": "m", "temperature": 0.0, "inference_url": "http://elsewhere"}
    config = asked(policy=policy, policy_name="solver")["policy"]["config"]
    assert (config["model"], config["temperature"]) == ("m", 0.0)
    assert config["inference_url"] == config["api_base"] == config["base_url"]
    assert config["inference_url"] == "http://us/trace_1"


def test_the_task_app_is_told_the_candidate_only_where_the_job_wants_it():
    template = (("system", "old"), ("user", "{item}?"))
    told = asked(prompt=Prompt("new"), template=template)["policy"]["config"]["prompt_template"]
    assert [(s["role"], s["content"], s["pattern"], s["order"]) for s in told["sections"]] == [
        ("system", "new", "new", 0),
        ("user", "{item}?", "{item}?", 1),
    ]
    assert "prompt_template" not in asked(prompt=Prompt("new"))["policy"]["config"]
