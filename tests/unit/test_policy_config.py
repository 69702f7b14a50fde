"""A policy job's configuration: published forms are accepted, mistakes are named."""

import json

import pytest

from sidecar.errors import InvalidRequest
from sidecar.jobs.policy_config import PolicyConfig, parse, proposer_key

PROMPT = {
    "messages": [
        {"role": "user", "pattern": "Item {item}", "order": 1},
        {"role": "system", "pattern": "You help {name}.", "order": 0},
    ],
    "wildcards": {"name": "REQUIRED", "item": "REQUIRED"},
}
SEEDS = {"seeds": [0, 1, 2, 3, 4], "validation_seeds": [10, 11]}


def body(algorithm, own, root="prompt_learning", **more):
    return {
        root: {
            "algorithm": algorithm,
            "task_app_url": "http://localhost:8001/t/x",
            "initial_prompt": PROMPT,
            "policy": {
                "model": "m",
                "provider": "openai",
                "temperature": 0.1,
                "config": {"top": 1},
            },
            algorithm: own,
            **more,
        }
    }


def gepa(**own):
    return body("gepa", {"evaluation": SEEDS, **own})


def mipro(**own):
    return body("mipro", {"online_pool": [0, 1, 2, 3], "val_seeds": [10, 11], **own})


def what_the_sdk_posts():
    seeds = list(range(14))
    return body(
        "gepa",
        {
            "env_name": "probe", "proposer_type": "dspy", "proposer_effort": "LOW",
            "proposer_output_tokens": "FAST", "proposed_prompt_max_tokens": 32000,
            "rollout": {"budget": 60, "max_concurrent": 4, "minibatch_size": 4},
            "evaluation": {"train_seeds": seeds, "seeds": seeds, "validation_seeds": [20, 21]},
            "mutation": {"rate": 0.3},
            "population": {"initial_size": 2, "num_generations": 1, "children_per_generation": 2,
                           "crossover_rate": 0.5, "selection_pressure": 1.0,
                           "patience_generations": 3},
            "archive": {"size": 4, "pareto_set_size": 10, "pareto_eps": 1e-06,
                        "feedback_fraction": 0.5},
            "token": {"max_limit": 32000, "counting_model": "gpt-4",
                      "enforce_pattern_limit": True},
        },
        env_name="probe", train_seeds=seeds, evaluation_seeds=seeds, auto_discover_patterns=False,
    )  # fmt: skip


def test_what_the_sdk_posts_for_gepa_is_honoured():
    config = parse(what_the_sdk_posts())
    assert (config.limits.rollouts, config.max_concurrent, config.env_name) == (60, 4, "probe")
    assert (config.train_seeds, config.fresh_seeds) == (tuple(range(14)), (20, 21))
    assert (config.gepa.initial_size, config.gepa.generations, config.gepa.children) == (2, 1, 2)
    assert (config.gepa.pareto_size, config.gepa.archive_size, config.gepa.minibatch) == (10, 4, 4)
    assert "gepa.proposer_type" in config.unused


def test_flat_forms_mean_the_same_as_nested_ones():
    nested = parse(gepa(rollout={"budget": 50, "minibatch_size": 4}, mutation={"rate": 0.2}))
    flat = parse(
        body(
            "gepa",
            {
                "evaluation_seeds": [0, 1, 2, 3, 4], "validation_seeds": [10, 11],
                "rollout_budget": 50, "minibatch_size": 4, "mutation_rate": 0.2,
            },
        )
    )  # fmt: skip
    assert flat == nested


def test_both_roots_and_all_names_of_the_task_app_are_accepted():
    other = body("gepa", {"evaluation": SEEDS}, root="policy_optimization")
    section = other["policy_optimization"]
    section["localapi_url"] = section.pop("task_app_url")
    assert parse(other) == parse(gepa())


def test_a_range_of_seeds_is_expanded_and_agrees_with_its_list():
    config = parse(
        gepa(
            evaluation={
                "seeds": {"start": 0, "end": 6, "step": 2},
                "train_seeds": [0, 2, 4],
                "validation_seeds": {"start": 10, "end": 12},
            }
        )
    )
    assert (config.train_seeds, config.fresh_seeds) == ((0, 2, 4), (10, 11))


def test_the_system_text_is_the_baseline_and_all_messages_are_kept():
    config = parse(gepa())
    assert config.baseline == "You help {name}."
    assert config.messages == (("system", "You help {name}."), ("user", "Item {item}"))
    assert config.placeholders == ["name"]


def test_rollouts_get_the_policy_and_only_gepa_tells_the_task_app_what_is_tried():
    spec = parse(gepa()).spec()
    assert spec.policy == {"model": "m", "provider": "openai", "temperature": 0.1, "top": 1}
    assert spec.template[0] == ("system", "You help {name}.")
    assert parse(mipro()).spec().template == ()


def test_miprofields_are_honoured():
    config = parse(
        mipro(
            bootstrap_train_seeds=[5, 6], reference_pool=[30], test_pool=[11, 12],
            num_iterations=4, num_evaluations_per_iteration=3, batch_size=2, max_concurrent=7,
            few_shot_score_threshold=0.9, min_bootstrap_demos=1, max_spend_usd=2.5,
            max_token_limit=5000, tpe={"gamma": 0.3, "n_startup_trials": 5},
            demo={"max_few_shot_examples": 2, "sets_per_size": 6, "include_empty": True},
            proposer={"mode": "instruction_only", "model": "p", "provider": "openai",
                      "temperature": 0.7, "max_tokens": 256, "generate_at_iterations": [0, 2],
                      "instructions_per_batch": 3},
            online_rollouts_per_candidate=4, meta_model_name="x",
        )
    )  # fmt: skip
    dials = config.mipro
    assert (dials.iterations, dials.evaluations, dials.batch_size) == (4, 3, 2)
    assert (dials.threshold, dials.min_demos, dials.demo_size, dials.demo_sets) == (0.9, 1, 2, 6)
    assert (dials.per_batch, dials.generate_at) == (3, (0, 2))
    assert (dials.tpe.gamma, dials.tpe.n_startup_trials) == (0.3, 5)
    assert (config.limits.cost_usd, config.limits.tokens) == (2.5, 5000)
    assert (config.bootstrap_seeds, config.reference_seeds) == ((5, 6), (30,))
    assert config.fresh_seeds == (10, 11, 12)
    assert (config.proposer.model, config.proposer.max_tokens) == ("p", 256)
    assert {"mipro.online_rollouts_per_candidate", "mipro.meta_model_name"} <= set(config.unused)


def test_of_several_limits_the_strictest_holds():
    config = parse(
        body(
            "gepa",
            {"evaluation": SEEDS, "rollout": {"budget": 90}, "token": {"max_spend_usd": 3}},
            termination_config={
                "max_rollouts": 80, "max_cost_usd": 2, "max_seconds": 60, "max_time_seconds": 50,
                "max_trials": 9, "max_trials_without_improvement": 4, "pessimism_enabled": True,
                "max_category_costs_usd": {"rollouts": 1.5},
            },
        )
    )  # fmt: skip
    limits = config.limits
    assert (limits.rollouts, limits.cost_usd, limits.seconds) == (80, 1.5, 50)
    assert (limits.trials, limits.idle_trials, limits.pessimistic) == (9, 4, True)


@pytest.mark.parametrize("config", [what_the_sdk_posts(), mipro(bootstrap_train_seeds=[5, 6])])
def test_a_configuration_survives_the_record(config):
    read = parse(config)
    assert PolicyConfig.load(json.loads(json.dumps(read.dump()))) == read


def test_a_proposers_key_is_handed_over_apart_and_never_dumped():
    config = mipro(proposer={"model": "p", "api_key": "very-secret"})
    assert proposer_key(config) == "very-secret"
    assert "very-secret" not in json.dumps(parse(config).dump())


def test_the_limit_of_a_prompts_length_can_be_lifted():
    assert parse(gepa(token={"max_limit": 100})).prompt_chars == 400
    assert parse(gepa(token={"max_limit": 100, "enforce_pattern_limit": False})).prompt_chars > 1e6


WRONG = [
    (gepa(rollout={"budget": 0}), "budget"),
    (gepa(evaluation={"seeds": [], "validation_seeds": [1]}), "seeds"),
    (gepa(evaluation={"seeds": [1, 2], "validation_seeds": []}), "validation_seeds"),
    (gepa(evaluation={"validation_seeds": [1]}), "seeds"),
    (gepa(evaluation={"seeds": [1, 2]}), "validation_seeds"),
    (gepa(evaluation={"seeds": [1, 2, 3], "validation_seeds": [3, 4]}), "gepa"),
    (gepa(evaluation={**SEEDS, "test_pool": [4]}), "gepa"),
    (gepa(evaluation={**SEEDS, "train_seeds": [7]}), "seeds"),
    (gepa(evaluation={"seeds": ["a"], "validation_seeds": [1]}), "seeds"),
    (gepa(bogus=1), "bogus"),
    (gepa(rollout={"bogus": 1}), "bogus"),
    (gepa(rollout=[1]), "rollout"),
    (gepa(mode="online"), "mode"),
    (gepa(mode=["offline"]), "mode"),
    (gepa(archive={"pareto_set_size": 3}), "pareto_set_size"),
    (gepa(population={"selection_pressure": "x"}), "selection_pressure"),
    (gepa(population={"crossover_rate": 1.5}), "crossover_rate"),
    (gepa(token={"max_spend_usd": 0}), "max_spend_usd"),
    (gepa(modules=[{"module_id": "a"}, {"module_id": "b"}]), "modules"),
    (gepa(verifier={"enabled": True, "reward_source": "verifier"}), "reward_source"),
    (gepa(verifier={"enabled": True, "reward_source": ["x"]}), "reward_source"),
    (mipro(val_seeds=[0, 20]), "mipro"),
    (mipro(reference_pool=[0]), "mipro"),
    (mipro(val_seeds=None), "val_seeds"),
    (mipro(bootstrap_train_seeds=[5], min_bootstrap_demos=2), "min_bootstrap_demos"),
    (mipro(demo={"include_empty": False}), "include_empty"),
    (mipro(proposer={"mode": "other"}), "mode"),
    (mipro(proposer={"generate_at_iterations": 1}), "generate_at_iterations"),
    (mipro(tpe={"alpha": 0}), "alpha"),
    (mipro(num_iterations=True), "num_iterations"),
    (body("gepa", {"evaluation": SEEDS}, termination_config={"max_trails": 1}), "max_trails"),
    (
        body(
            "gepa",
            {"evaluation": SEEDS},
            termination_config={"max_category_costs_usd": {"gpu": 1}},
        ),
        "gpu",
    ),
    (body("gepa", {"evaluation": SEEDS}, task_app_url="ftp://x"), "task_app_url"),
    (body("gepa", {"evaluation": SEEDS}, task_app_url=None), "task_app_url"),
    (body("gepa", {"evaluation": SEEDS}, localapi_url="http://other:1"), "task_app_url"),
    (body("gepa", {"evaluation": SEEDS}, initial_prompt=None), "messages"),
    (body("gepa", {"evaluation": SEEDS}, policy={"api_key": "x"}), "api_key"),
    (body("gepa", {"evaluation": SEEDS}, policy={"inference_url": "http://x"}), "inference_url"),
    (body("gepa", {"evaluation": SEEDS}, termination_confg={}), "termination_confg"),
    (body("other", {}), "algorithm"),
    ({"prompt_learning": {}}, "algorithm"),
    ({"prompt_learning": []}, "prompt_learning"),
    ({}, "config_body"),
]


@pytest.mark.parametrize(("config", "field"), WRONG, ids=range(len(WRONG)))
def test_a_mistake_is_refused_with_the_name_of_its_field(config, field):
    with pytest.raises(InvalidRequest) as refused:
        parse(config)
    assert refused.value.param.split(".")[-1] == field


def test_overlapping_seeds_are_named():
    with pytest.raises(InvalidRequest, match=r"both training and validation .* 3, 4"):
        parse(gepa(evaluation={"seeds": [1, 3, 4], "validation_seeds": [4, 3, 9]}))
