"""Reading `gepa` of a policy job's configuration, nested and flat forms (wire contract 6.4)."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sidecar.engine.config import read_proposer
from sidecar.engine.fields import one_of
from sidecar.errors import InvalidRequest
from sidecar.jobs.policy import GepaDials, PolicyConfig
from sidecar.jobs.policy_fields import (
    PROPOSER,
    agreed,
    agreed_seeds,
    amount,
    check_verifier,
    count,
    given,
    only,
    share,
    smallest,
    text,
)

_NESTED = {
    "rollout": {"budget", "max_concurrent", "minibatch_size"},
    "evaluation": {"seeds", "train_seeds", "validation_seeds", "val_seeds", "test_pool",
                   "validation_pool", "validation_top_k"},
    "mutation": {"rate", "llm_model", "llm_provider", "llm_inference_url", "prompt"},
    "population": {"initial_size", "num_generations", "children_per_generation", "crossover_rate",
                   "selection_pressure", "patience_generations"},
    "archive": {"size", "pareto_set_size", "pareto_eps", "feedback_fraction"},
    "token": {"max_limit", "counting_model", "enforce_pattern_limit", "max_spend_usd"},
}  # fmt: skip
_FLAT = {
    "rollout_budget", "max_concurrent_rollouts", "minibatch_size", "train_seeds",
    "evaluation_seeds", "validation_seeds", "val_seeds", "test_pool", "validation_pool",
    "validation_top_k", "mutation_rate", "mutation_llm_model", "mutation_llm_provider",
    "mutation_llm_inference_url", "mutation_prompt", "initial_population_size", "num_generations",
    "children_per_generation", "crossover_rate", "selection_pressure", "patience_generations",
    "archive_size", "pareto_set_size", "pareto_eps", "feedback_fraction", "max_token_limit",
    "token_counting_model", "enforce_pattern_token_limit", "max_spend_usd",
}  # fmt: skip
_OWN = {"mode", "env_name", "env_config", "rng_seed", "metaprompt", "proposed_prompt_max_tokens",
        "proposer", "proposer_model", "proposer_url", "proposer_api_key", "verifier"}  # fmt: skip
_UNUSED = {"proposer_type", "proposer_effort", "proposer_output_tokens", "modules",
           "adaptive_pool", "adaptive_batch", "proxy_models", "unified_optimization",
           "use_byok", "safety", "validation_pool", "mutation_llm_provider",
           "mutation_llm_inference_url", "token_counting_model"}  # fmt: skip
_UNUSED_NESTED = {"evaluation": {"validation_pool"}, "token": {"counting_model"},
                  "mutation": {"llm_provider", "llm_inference_url"}}  # fmt: skip
_ONLINE = re.compile(r"online_\w+")
_CHARS_PER_TOKEN = 4
_NO_LIMIT = 10_000_000
"""Characters that nobody's prompt has."""
_LEFT_FOR_REFLECTION = 3


class _Section:
    """The `gepa` object with its nested ones, and where each field may stand."""

    def __init__(self, section: Mapping[str, Any], where: str) -> None:
        self.whole = section
        self.root = where
        self.where = f"{where}.gepa"
        self.gepa = given(section, "gepa", where)
        self.parts = {name: given(self.gepa, name, self.where) for name in _NESTED}

    def one(self, part: str, name: str, flat: str) -> Any:
        """A value by its nested or its flat name."""
        return agreed([(self.parts[part], name), (self.gepa, flat)], self.where)

    def at(self, part: str, name: str) -> str:
        """The path of a nested field."""
        return f"{self.where}.{part}.{name}"


def read(config: PolicyConfig, section: Mapping[str, Any], root: str) -> PolicyConfig:
    """The configuration with what stands under `gepa`."""
    own = _Section(section, root)
    _check(own)
    evaluation = own.parts["evaluation"]
    fresh = _fresh(own)
    return replace(
        config,
        train_seeds=_train(own),
        fresh_seeds=fresh,
        env_name=text(own.gepa, "env_name", own.where) or config.env_name,
        env_config={**config.env_config, **given(own.gepa, "env_config", own.where)},
        max_concurrent=count(
            own.one("rollout", "max_concurrent", "max_concurrent_rollouts"), 20,
            own.at("rollout", "max_concurrent"),
        ),
        finalists=count(
            agreed([(evaluation, "validation_top_k"), (own.gepa, "validation_top_k")], own.where),
            3, own.at("evaluation", "validation_top_k"),
        ),
        limits=replace(
            config.limits,
            rollouts=smallest(config.limits.rollouts, _budget(own)),
            cost_usd=smallest(
                config.limits.cost_usd,
                amount(own.one("token", "max_spend_usd", "max_spend_usd"),
                       own.at("token", "max_spend_usd")),
            ),
        ),
        proposer=read_proposer(_with_mutation_model(own), section, own.where),
        guidance=_guidance(own),
        prompt_chars=_prompt_chars(own),
        rng_seed=_rng_seed(own),
        gepa=_dials(own, len(_train(own))),
        unused=(*config.unused, *_unused(own)),
    )  # fmt: skip


def _check(own: _Section) -> None:
    only(
        {k: v for k, v in own.gepa.items() if not _ONLINE.fullmatch(k)},
        _OWN | _UNUSED | _FLAT | _NESTED.keys(),
        own.where,
        "an offline GEPA job",
    )
    for part, known in _NESTED.items():
        only(own.parts[part], known, f"{own.where}.{part}", f"`{part}`")
    only(given(own.gepa, "proposer", own.where), PROPOSER, f"{own.where}.proposer", "`proposer`")
    one_of(own.gepa, "mode", ("offline",), own.where)
    check_verifier(own.gepa, own.where)
    modules = own.gepa.get("modules")
    if isinstance(modules, list) and len(modules) > 1:
        raise InvalidRequest(
            "one system prompt is optimised; several `modules` are not supported",
            param=f"{own.where}.modules",
        )


def _train(own: _Section) -> tuple[int, ...]:
    evaluation = own.parts["evaluation"]
    found = agreed_seeds(
        [(evaluation, "seeds"), (evaluation, "train_seeds"), (own.gepa, "evaluation_seeds"),
         (own.gepa, "train_seeds"), (own.whole, "train_seeds"), (own.whole, "evaluation_seeds")],
        own.where,
    )  # fmt: skip
    return _needed(found, "evaluation.seeds", own.where)


def _fresh(own: _Section) -> tuple[int, ...]:
    evaluation = own.parts["evaluation"]
    found = agreed_seeds(
        [(evaluation, "validation_seeds"), (evaluation, "val_seeds"),
         (own.gepa, "validation_seeds"), (own.gepa, "val_seeds"),
         (own.whole, "validation_seeds")],
        own.where,
    )  # fmt: skip
    tests = agreed_seeds(
        [(evaluation, "test_pool"), (own.gepa, "test_pool"), (own.whole, "test_pool")], own.where
    )
    needed = _needed(found, "evaluation.validation_seeds", own.where)
    return tuple(dict.fromkeys([*needed, *(tests or ())]))


def _needed(found: tuple[int, ...] | None, name: str, where: str) -> tuple[int, ...]:
    if found is None:
        raise InvalidRequest(
            f"`{name}` is missing: a list of seeds, or {{start, end, step}}",
            param=f"{where}.{name}",
        )
    return found


def _budget(own: _Section) -> int | None:
    given_ = own.one("rollout", "budget", "rollout_budget")
    return None if given_ is None else count(given_, 1, own.at("rollout", "budget"))


def _with_mutation_model(own: _Section) -> dict[str, Any]:
    """The section with the mutation's model as that of the proposer, if it names none itself."""
    gepa = {**own.gepa, "proposer": given(own.gepa, "proposer", own.where)}
    model = gepa.get("proposer_model") or gepa["proposer"].get("model")
    gepa["proposer_model"] = model or own.one("mutation", "llm_model", "mutation_llm_model")
    return gepa


def _guidance(own: _Section) -> str:
    prompt = own.one("mutation", "prompt", "mutation_prompt")
    found = [own.gepa.get("metaprompt"), prompt]
    for name, value in zip(("metaprompt", "mutation.prompt"), found, strict=True):
        if value is not None and not isinstance(value, str):
            raise InvalidRequest(f"`{name}` must be text", param=f"{own.where}.{name}")
    return "\n\n".join(value for value in found if value)


def _prompt_chars(own: _Section) -> int:
    enforce = own.one("token", "enforce_pattern_limit", "enforce_pattern_token_limit")
    if enforce is False:
        return _NO_LIMIT
    tokens = [
        count(value, 32_000, f"{own.where}.{name}")
        for value, name in (
            (own.one("token", "max_limit", "max_token_limit"), "token.max_limit"),
            (own.gepa.get("proposed_prompt_max_tokens"), "proposed_prompt_max_tokens"),
        )
    ]
    return _CHARS_PER_TOKEN * min(tokens)


def _rng_seed(own: _Section) -> int | None:
    value = own.gepa.get("rng_seed")
    return None if value is None else count(value, 0, f"{own.where}.rng_seed", at_least=0)


def _dials(own: _Section, seeds: int) -> GepaDials:
    default = GepaDials()
    pressure = amount(
        own.one("population", "selection_pressure", "selection_pressure"),
        own.at("population", "selection_pressure"),
    )
    eps = own.one("archive", "pareto_eps", "pareto_eps")
    return GepaDials(
        initial_size=_count(own, "population", "initial_size", "initial_population_size", 20),
        generations=_count(own, "population", "num_generations", "num_generations", 10),
        children=_count(own, "population", "children_per_generation", "children_per_generation", 5),
        crossover_rate=_share(own, "population", "crossover_rate", "crossover_rate", 0.5),
        mutation_rate=_share(own, "mutation", "rate", "mutation_rate", 0.3),
        selection_pressure=default.selection_pressure if pressure is None else pressure,
        patience=_count(own, "population", "patience_generations", "patience_generations", 3),
        archive_size=_count(own, "archive", "size", "archive_size", 64),
        pareto_size=_pareto_size(own, seeds),
        pareto_eps=share(eps, default.pareto_eps, own.at("archive", "pareto_eps")),
        feedback_fraction=_share(own, "archive", "feedback_fraction", "feedback_fraction", 0.5),
        minibatch=_count(own, "rollout", "minibatch_size", "minibatch_size", 8),
    )


def _count(own: _Section, part: str, name: str, flat: str, default: int) -> int:
    return count(own.one(part, name, flat), default, own.at(part, name))


def _share(own: _Section, part: str, name: str, flat: str, default: float) -> float:
    return share(own.one(part, name, flat), default, own.at(part, name))


def _pareto_size(own: _Section, seeds: int) -> int | None:
    value = own.one("archive", "pareto_set_size", "pareto_set_size")
    if value is None:
        return None
    size = count(value, 1, own.at("archive", "pareto_set_size"))
    if size > seeds - _LEFT_FOR_REFLECTION:
        raise InvalidRequest(
            f"{size} of {seeds} seeds are for scoring, which leaves too few to learn from: make "
            f"pareto_set_size at most {max(0, seeds - _LEFT_FOR_REFLECTION)} or give more seeds",
            param=own.at("archive", "pareto_set_size"),
        )
    return size


def _unused(own: _Section) -> list[str]:
    flat = [k for k in own.gepa if k in _UNUSED or _ONLINE.fullmatch(k)]
    nested = [
        f"{part}.{name}"
        for part, names in _UNUSED_NESTED.items()
        for name in sorted(names & own.parts[part].keys())
    ]
    pools = {"bootstrap_train_seeds", "online_pool", "reference_pool"} & own.whole.keys()
    return [f"gepa.{name}" for name in (*flat, *nested)] + sorted(pools)
