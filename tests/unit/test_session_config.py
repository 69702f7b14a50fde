"""A session's configuration: published forms are accepted, mistakes are named."""

import pytest

from sidecar.engine.config import SessionConfig, override, parse
from sidecar.errors import InvalidRequest

PROMPT = {"messages": [{"role": "system", "pattern": "You help {name}."}],
          "wildcards": {"name": "REQUIRED"}}  # fmt: skip


def body(**gepa):
    return {"prompt_learning": {"algorithm": "gepa", "initial_prompt": PROMPT, "gepa": gepa}}


def test_the_minimal_published_config_is_enough():
    prompt = {"messages": [{"role": "system", "content": "Hi"}]}
    section = {"algorithm": "gepa", "gepa": {"mode": "online"}, "initial_prompt": prompt}
    parsed = parse({"prompt_learning": section})
    assert parsed.baseline == "Hi"
    assert parsed.min_rollouts == 20


def test_both_roots_mean_the_same():
    other = {"policy_optimization": body()["prompt_learning"]}
    assert parse(other) == parse(body())


def test_what_is_stored_is_what_was_parsed():
    parsed = parse(body(online_proposer_min_rollouts=7, proposer_model="m", safety={"risk": 0.03},
                        online_prune_threshold=0.2))  # fmt: skip
    assert SessionConfig.load(parsed.dump()) == parsed
    assert parsed.options.risk == 0.03
    assert parsed.options.prune_below == 0.2


def test_messages_are_taken_in_their_declared_order():
    messages = [{"role": "system", "pattern": "late", "order": 2},
                {"role": "system", "pattern": "early", "order": 1}]  # fmt: skip
    config = body()
    config["prompt_learning"]["initial_prompt"] = {"messages": messages}
    assert parse(config).baseline == "early"


@pytest.mark.parametrize("path", ["", "/", "/chat/completions", "/responses"])
def test_a_full_proposer_url_becomes_its_base(path):
    assert parse(body(proposer_url=f"http://h/v1{path}")).proposer.base_url == "http://h/v1"


def test_offline_keys_are_named_as_unused():
    given = body(archive={"size": 3})
    given["prompt_learning"]["verifier"] = {"enabled": False}
    assert parse(given).unused == ("archive", "verifier")


@pytest.mark.parametrize(
    "limit",
    [{"termination_config": {"max_cost_usd": 1}}, {"gepa": {"token": {"max_spend_usd": 1}}}],
)
def test_a_limit_that_nobody_would_keep_is_refused(limit):
    given = body()
    given["prompt_learning"] |= limit
    with pytest.raises(InvalidRequest, match="online_proposer_max_candidates"):
        parse(given)


def test_dotted_overrides_reach_into_the_config():
    changed = override(body(), {"prompt_learning.gepa.proposer_model": "x"})
    assert parse(changed).proposer.model == "x"
    assert parse(body()).proposer.model == ""


def test_the_proposer_key_is_not_in_the_representation():
    assert "s3cret" not in repr(parse(body(proposer_api_key="s3cret")))


WRONG = {
    "no root": ({}, "config_body"),
    "root is a list": ({"prompt_learning": []}, "prompt_learning"),
    "unknown algorithm": ({"prompt_learning": {"algorithm": "magic"}}, "algorithm"),
    "no messages": ({"prompt_learning": {"algorithm": "gepa"}}, "messages"),
    "empty messages": (
        {"prompt_learning": {"algorithm": "gepa", "initial_prompt": {"messages": []}}}, "messages",
    ),
    "message is text": (
        {"prompt_learning": {"algorithm": "gepa", "initial_prompt": {"messages": ["hi"]}}},
        "messages[0]",
    ),
    "pattern is a number": (
        {"prompt_learning": {"algorithm": "gepa",
         "initial_prompt": {"messages": [{"role": "system", "pattern": 4}]}}}, "messages[0]",
    ),
    "bad wildcard": (
        {"prompt_learning": {"algorithm": "gepa",
         "initial_prompt": {**PROMPT, "wildcards": {"name": "MAYBE"}}}}, "wildcards.name",
    ),
    "wildcard is no word": (
        {"prompt_learning": {"algorithm": "gepa",
         "initial_prompt": {**PROMPT, "wildcards": {"name": {}}}}}, "wildcards.name",
    ),
    "offline mode": (body(mode="offline"), "mode"),
    "unknown key": (body(online_propser_min_rollouts=3), "online_propser_min_rollouts"),
    "wrong type": (body(online_proposer_min_rollouts="ten"), "online_proposer_min_rollouts"),
    "bool for number": (body(online_proposer_min_rollouts=True), "online_proposer_min_rollouts"),
    "unknown dial": (body(safety={"rsik": 1}), "rsik"),
    "dial is text": (body(safety={"risk": "low"}), "risk"),
    "negative dial": (body(safety={"risk": -1}), "risk"),
    "dial to divide by": (body(safety={"patience": 0}), "patience"),
    "fraction of a count": (body(safety={"challengers": 1.5}), "challengers"),
    "delta of one": (body(safety={"delta": 1}), "delta"),
    "proposer model is a list": (body(proposer_model=["x"]), "proposer"),
}  # fmt: skip


@pytest.mark.parametrize(("config", "field"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_config_is_refused_by_name(config, field):
    with pytest.raises(InvalidRequest) as caught:
        parse(config)
    assert field in f"{caught.value.param} {caught.value}"


def test_a_stored_config_of_another_version_is_read_as_far_as_it_is_known():
    stored = parse(body(safety={"risk": 0.03})).dump()
    stored["options"] = {"risk": 0.03, "a_dial_of_tomorrow": 1}
    stored["a_section_of_tomorrow"] = {}
    assert SessionConfig.load(stored) == parse(body(safety={"risk": 0.03}))
