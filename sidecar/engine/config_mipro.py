"""A MIPRO online session's configuration (wire contract 6.5): GEPA's, and the grid's own keys.

The same promise as in `config`: a key is honoured, refused by name, or accepted and listed in
`unused` because it belongs to offline jobs or to the hosted service's own storage.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

from sidecar.engine.config import (
    SessionConfig,
    idle_keys,
    known_fields,
    read_options,
    read_prompt,
    read_proposer,
    section_of,
)
from sidecar.engine.fields import integer, mapping, number, one_of, only, part
from sidecar.engine.guards import dials_only, held_back, read_guards
from sidecar.engine.mipro import FACTORED, GRID_OPTIONS, SURROGATES
from sidecar.engine.options import Options
from sidecar.engine.rules import KEYS, read_rules
from sidecar.engine.tpe import TpeOptions
from sidecar.errors import InvalidRequest

_BLOCK = ("online_rollouts_per_candidate", "rollouts_per_candidate", "candidate_rollouts")
_ONLINE = {
    *_BLOCK, "mode", "safety", "surrogate", "tpe", "demo", "proposer", "online_proposer_mode",
    "online_proposer_min_rollouts", "online_proposer_min_rewards", "online_proposer_min_seconds",
    "online_proposer_max_candidates", "online_prune_threshold", "online_prune_min_rollouts",
    "proposer_url", "proposer_model", "proposer_api_key", "few_shot_score_threshold", *KEYS,
}  # fmt: skip
_UNUSED = {
    "bootstrap_train_seeds", "online_pool", "val_seeds", "reference_pool", "test_pool",
    "num_iterations", "num_evaluations_per_iteration", "batch_size", "max_concurrent",
    "min_bootstrap_demos", "ontology", "text_dreamer", "grounding", "meta_update", "spec_path",
    "max_token_limit", "proxy_models", "system_id", "system_name", "env_name",
    "env_config", "modules",
    "online_recent_event_window", "online_recent_rollout_window", "online_snapshot_max_events",
    "online_snapshot_max_seconds",
}  # fmt: skip
_UNUSED_FORMS = re.compile(r"meta_model\w*|online_\w+_shard_size")
_PROPOSER = {"mode", "model", "provider", "temperature", "max_tokens", "inference_url", "api_key",
             "instructions_per_batch", "generate_at_iterations"}  # fmt: skip
_DEMO = {"max_few_shot_examples", "sets_per_size", "include_empty"}


@dataclass(frozen=True, slots=True)
class MiproConfig(SessionConfig):
    """What a MIPRO online session runs on."""

    algorithm: ClassVar[str] = "mipro"
    surrogate: str = FACTORED
    tpe: TpeOptions = field(default_factory=TpeOptions)
    min_seconds: float = 0.0
    """Seconds between proposals."""
    instructions_per_batch: int = 2
    """Instructions asked for in one proposal."""
    demo_threshold: float = 0.8
    """Reward from which a rollout may be a demonstration."""
    demo_size: int = 3
    """Demonstrations in a set, at most."""
    demo_sets: int = 4
    """Demonstration sets of a session, at most; without the empty one."""

    @staticmethod
    def load(data: Mapping[str, Any]) -> "MiproConfig":
        """From what `dump` made, as far as this version knows it."""
        own = known_fields(MiproConfig, data)
        return MiproConfig(
            **own | _shared(SessionConfig.load(data)) | {"tpe": TpeOptions(**own["tpe"])}
        )


def _shared(config: SessionConfig) -> dict[str, Any]:
    return {f.name: getattr(config, f.name) for f in fields(SessionConfig)}


def parse(body: Mapping[str, Any]) -> MiproConfig:
    """The configuration in a `config_body`. Raises `InvalidRequest` naming the wrong field."""
    section, where = section_of(body, "mipro")
    mipro = mapping(section.get("mipro", {}), f"{where}.mipro")
    _check_keys(mipro, f"{where}.mipro")
    return _config(section, mipro, where)


def _config(section: Mapping[str, Any], mipro: Mapping[str, Any], root: str) -> MiproConfig:
    where = f"{root}.mipro"
    baseline, wildcards = read_prompt(section.get("initial_prompt"), f"{root}.initial_prompt")
    proposer = mapping(mipro.get("proposer", {}), f"{where}.proposer")
    demo = mapping(mipro.get("demo", {}), f"{where}.demo")
    safety = _safety(section, mipro, root)
    guards = read_guards(safety, baseline, f"{where}.safety")
    return MiproConfig(
        baseline=baseline,
        wildcards=wildcards,
        min_rollouts=_pause(mipro, where),
        max_candidates=integer(mipro, "online_proposer_max_candidates", 0, where, least=0),
        proposer=read_proposer(mipro, section, where),
        options=held_back(_dials(dials_only(safety), mipro, where), guards, safety),
        guards=guards,
        rules=read_rules(section, mipro, where),
        unused=(*_unused(mipro, proposer), *idle_keys(section)),
        surrogate=mipro.get("surrogate", FACTORED),
        tpe=_tpe(mipro, where),
        min_seconds=number(mipro, "online_proposer_min_seconds", where) or 0.0,
        instructions_per_batch=integer(
            proposer, "instructions_per_batch", 2, f"{where}.proposer", least=1
        ),
        demo_threshold=part(mipro, "few_shot_score_threshold", 0.8, where),
        demo_size=integer(demo, "max_few_shot_examples", 3, f"{where}.demo", least=0),
        demo_sets=integer(demo, "sets_per_size", 4, f"{where}.demo", least=0),
    )


def _pause(mipro: Mapping[str, Any], where: str) -> int:
    """Rewards between proposals: the rollouts asked for, or the rewards if those are more."""
    rollouts = integer(mipro, "online_proposer_min_rollouts", 20, where, least=1)
    return max(rollouts, integer(mipro, "online_proposer_min_rewards", 0, where, least=0))


def _safety(section: Mapping[str, Any], mipro: Mapping[str, Any], root: str) -> dict[str, Any]:
    return {
        **mapping(section.get("safety", {}), f"{root}.safety"),
        **mapping(mipro.get("safety", {}), f"{root}.mipro.safety"),
    }


def _dials(safety: dict[str, Any], mipro: Mapping[str, Any], where: str) -> Options:
    """The safety dials: the grid's defaults, then the config's own keys, then `safety`."""
    block = {integer(mipro, name, 10, where, least=1) for name in _BLOCK if name in mipro}
    if len(block) > 1:
        raise InvalidRequest(
            f"{' and '.join(n for n in _BLOCK if n in mipro)} say different things",
            param=f"{where}.{_BLOCK[0]}",
        )
    read_options(safety, f"{where}.safety")
    own = {
        "evict_rewards": block.pop() if block else GRID_OPTIONS.evict_rewards,
        "prune_below": part(mipro, "online_prune_threshold", 0.0, where),
        "prune_rewards": integer(mipro, "online_prune_min_rollouts", 20, where, least=1),
    }
    return replace(GRID_OPTIONS, **own | safety)


def _tpe(mipro: Mapping[str, Any], where: str) -> TpeOptions:
    given = mapping(mipro.get("tpe", {}), f"{where}.tpe")
    at = f"{where}.tpe"
    only(given, {f.name for f in fields(TpeOptions)}, at)
    alpha = number(given, "alpha", at)
    if alpha is not None and alpha <= 0:
        raise InvalidRequest("`alpha` must be more than 0", param=f"{at}.alpha")
    return TpeOptions(
        gamma=part(given, "gamma", 0.25, at),
        n_candidates=integer(given, "n_candidates", 24, at, least=1),
        n_startup_trials=integer(given, "n_startup_trials", 10, at, least=2),
        epsilon=part(given, "epsilon", 0.1, at),
        alpha=1.0 if alpha is None else alpha,
    )


def _check_keys(mipro: Mapping[str, Any], where: str) -> None:
    fixed = {
        "mode": ("online",),
        "online_proposer_mode": ("inline",),
        "surrogate": SURROGATES,
    }
    for name, allowed in fixed.items():
        one_of(mipro, name, allowed, where)
    proposer = mapping(mipro.get("proposer", {}), f"{where}.proposer")
    only(proposer, _PROPOSER, f"{where}.proposer")
    one_of(proposer, "mode", ("instruction_only",), f"{where}.proposer")
    demo = mapping(mipro.get("demo", {}), f"{where}.demo")
    only(demo, _DEMO, f"{where}.demo")
    if demo.get("include_empty", True) is not True:
        raise InvalidRequest(
            "`include_empty` must be true: the baseline has no demonstrations and always serves",
            param=f"{where}.demo.include_empty",
        )
    unused = {name for name in mipro if _UNUSED_FORMS.fullmatch(name)}
    only(mipro, _ONLINE | _UNUSED | unused, where)
    number(mipro, "online_proposer_min_seconds", where)


def _unused(mipro: Mapping[str, Any], proposer: Mapping[str, Any]) -> tuple[str, ...]:
    nested = {"provider", "generate_at_iterations"} & proposer.keys()
    return tuple(sorted([*(mipro.keys() - _ONLINE), *(f"proposer.{name}" for name in nested)]))
