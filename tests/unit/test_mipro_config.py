"""A MIPRO session's configuration: published forms are accepted, mistakes are named."""

import pytest

from sidecar.engine.config_mipro import MiproConfig, parse
from sidecar.engine.tpe import TpeOptions
from sidecar.errors import InvalidRequest

PROMPT = {"messages": [{"role": "system", "pattern": "You help {name}."}],
          "wildcards": {"name": "REQUIRED"}}  # fmt: skip


def body(**mipro):
    return {"prompt_learning": {"algorithm": "mipro", "initial_prompt": PROMPT, "mipro": mipro}}


def test_the_published_online_config_is_accepted():
    parsed = parse(
        body(
            mode="online", bootstrap_train_seeds=[0, 1], val_seeds=[2], online_pool=[0, 1, 2],
            online_proposer_mode="inline", online_proposer_min_rollouts=10,
            online_rollouts_per_candidate=4, few_shot_score_threshold=0.85,
            proposer={"mode": "instruction_only", "model": "m", "provider": "openai",
                      "temperature": 0.7, "max_tokens": 512, "generate_at_iterations": [0, 1, 2],
                      "instructions_per_batch": 3},
        )
    )  # fmt: skip
    assert (parsed.min_rollouts, parsed.options.evict_rewards) == (10, 4)
    assert (parsed.demo_threshold, parsed.instructions_per_batch) == (0.85, 3)
    assert (parsed.proposer.model, parsed.proposer.max_tokens) == ("m", 512)
    assert parsed.unused == (
        "bootstrap_train_seeds", "online_pool", "proposer.generate_at_iterations",
        "proposer.provider", "val_seeds",
    )  # fmt: skip


def test_without_any_key_the_published_defaults_hold():
    parsed = parse(body())
    assert (parsed.min_rollouts, parsed.options.evict_rewards, parsed.surrogate) == (
        20, 10, "factored",
    )  # fmt: skip
    assert parsed.options.risk == 0.015


@pytest.mark.parametrize("name", ["rollouts_per_candidate", "candidate_rollouts"])
def test_synonyms_mean_the_same(name):
    assert parse(body(**{name: 7})) == parse(body(online_rollouts_per_candidate=7))


def test_the_rewards_asked_for_hold_when_they_are_more_than_the_rollouts():
    assert parse(body(online_proposer_min_rewards=35)).min_rollouts == 35


def test_every_tpe_key_is_honoured():
    tpe = {"gamma": 0.3, "n_candidates": 32, "n_startup_trials": 5, "epsilon": 0.25, "alpha": 2}
    parsed = parse(body(surrogate="tpe", tpe=tpe))
    assert (parsed.surrogate, parsed.tpe) == ("tpe", TpeOptions(**tpe))


def test_safety_wins_over_the_grid_s_defaults():
    parsed = parse(body(safety={"risk": 0.03, "challengers": 4}))
    assert (parsed.options.risk, parsed.options.challengers) == (0.03, 4)


def test_what_is_stored_is_what_was_parsed():
    parsed = parse(body(surrogate="tpe", tpe={"gamma": 0.5}, demo={"max_few_shot_examples": 2},
                        online_proposer_min_seconds=1.5, safety={"risk": 0.03}))  # fmt: skip
    assert MiproConfig.load({**parsed.dump(), "of_tomorrow": 1}) == parsed


def test_a_spending_limit_that_nobody_would_keep_is_refused():
    with pytest.raises(InvalidRequest, match="online_proposer_max_candidates"):
        parse(body(max_spend_usd=3))


def test_the_hosted_storage_s_keys_are_named_as_unused():
    names = ("meta_model_name", "online_event_shard_size", "online_snapshot_max_events")
    assert parse(body(**dict.fromkeys(names, 1))).unused == names


WRONG = {
    "no root": ({}, "config_body"),
    "gepa": ({"prompt_learning": {"algorithm": "gepa", "initial_prompt": PROMPT}}, "algorithm"),
    "offline": (body(mode="offline"), "mode"),
    "no prompt": ({"prompt_learning": {"algorithm": "mipro"}}, "messages"),
    "unknown key": (body(online_pol=[1]), "mipro.online_pol"),
    "background proposer": (body(online_proposer_mode="queue"), "online_proposer_mode"),
    "unknown surrogate": (body(surrogate="gp"), "surrogate"),
    "surrogate is a list": (body(surrogate=["tpe"]), "surrogate"),
    "synonyms disagree": (
        body(online_rollouts_per_candidate=3, rollouts_per_candidate=4),
        "online_rollouts_per_candidate",
    ),
    "threshold above one": (body(few_shot_score_threshold=80), "few_shot_score_threshold"),
    "unknown tpe key": (body(tpe={"gama": 0.2}), "tpe.gama"),
    "gamma above one": (body(tpe={"gamma": 2}), "tpe.gamma"),
    "alpha of zero": (body(tpe={"alpha": 0}), "tpe.alpha"),
    "tpe is a number": (body(tpe=3), "mipro.tpe"),
    "proposer mode": (body(proposer={"mode": "demos"}), "proposer.mode"),
    "unknown proposer key": (body(proposer={"modle": "m"}), "proposer.modle"),
    "no empty set": (body(demo={"include_empty": False}), "include_empty"),
    "seconds are text": (body(online_proposer_min_seconds="1"), "online_proposer_min_seconds"),
    "unknown dial": (body(safety={"rsik": 1}), "rsik"),
}


@pytest.mark.parametrize(("config", "field"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_config_is_refused_by_name(config, field):
    with pytest.raises(InvalidRequest) as caught:
        parse(config)
    assert field in f"{caught.value.param} {caught.value}"
