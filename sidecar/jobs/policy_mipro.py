"""Reading `mipro` of a policy job's configuration (wire contract 6.5)."""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from sidecar.engine.config import read_proposer
from sidecar.engine.fields import one_of
from sidecar.engine.tpe import TpeOptions
from sidecar.errors import InvalidRequest
from sidecar.jobs.policy import MiproDials, PolicyConfig
from sidecar.jobs.policy_fields import (
    PROPOSER,
    agreed_seeds,
    amount,
    count,
    given,
    only,
    share,
    smallest,
    text,
)

_USED = {
    "mode", "bootstrap_train_seeds", "online_pool", "val_seeds", "validation_seeds",
    "reference_pool", "test_pool", "num_iterations", "num_evaluations_per_iteration", "batch_size",
    "max_concurrent", "few_shot_score_threshold", "min_bootstrap_demos", "proposer",
    "proposer_model", "proposer_url", "proposer_api_key", "tpe", "demo", "max_token_limit",
    "max_spend_usd", "env_name", "env_config", "rng_seed", "metaprompt", "validation_top_k",
}  # fmt: skip
_UNUSED = {"ontology", "text_dreamer", "grounding", "meta_update", "spec_path", "modules",
           "rollouts_per_candidate", "candidate_rollouts", "surrogate", "safety"}  # fmt: skip
_UNUSED_FORMS = re.compile(r"online_(?!pool$)\w+|meta_model\w*")
_DEMO = {"max_few_shot_examples", "sets_per_size", "include_empty"}


def read(config: PolicyConfig, section: Mapping[str, Any], root: str) -> PolicyConfig:
    """The configuration with what stands under `mipro`."""
    where = f"{root}.mipro"
    mipro = given(section, "mipro", root)
    _check(mipro, where)
    pools = {
        name: agreed_seeds([(mipro, name), (section, name)], where)
        for name in ("bootstrap_train_seeds", "online_pool", "reference_pool", "test_pool")
    }
    train = pools["online_pool"] or pools["bootstrap_train_seeds"]
    if train is None:
        raise InvalidRequest(
            "`online_pool` is missing: the seeds to search on", param=f"{where}.online_pool"
        )
    bootstrap = pools["bootstrap_train_seeds"] or train
    return replace(
        config,
        train_seeds=train,
        bootstrap_seeds=bootstrap,
        reference_seeds=pools["reference_pool"] or (),
        fresh_seeds=_fresh(mipro, section, pools["test_pool"], where),
        env_name=text(mipro, "env_name", where) or config.env_name,
        env_config={**config.env_config, **given(mipro, "env_config", where)},
        max_concurrent=count(mipro.get("max_concurrent"), 20, f"{where}.max_concurrent"),
        finalists=count(mipro.get("validation_top_k"), 3, f"{where}.validation_top_k"),
        limits=replace(
            config.limits,
            tokens=_optional(mipro, "max_token_limit", where),
            cost_usd=smallest(
                config.limits.cost_usd,
                amount(mipro.get("max_spend_usd"), f"{where}.max_spend_usd"),
            ),
        ),
        proposer=read_proposer(
            {**mipro, "proposer": given(mipro, "proposer", where)}, section, where
        ),
        guidance=text(mipro, "metaprompt", where),
        rng_seed=_optional(mipro, "rng_seed", where, at_least=0),
        mipro=_dials(mipro, where, len(bootstrap)),
        unused=(*config.unused, *_unused(mipro, where)),
    )


def _check(mipro: Mapping[str, Any], where: str) -> None:
    forms = {name for name in mipro if _UNUSED_FORMS.fullmatch(name)}
    only(mipro, _USED | _UNUSED | forms, where, "an offline MIPRO job")
    one_of(mipro, "mode", ("offline",), where)
    proposer = given(mipro, "proposer", where)
    only(proposer, PROPOSER, f"{where}.proposer", "`proposer`")
    one_of(proposer, "mode", ("instruction_only",), f"{where}.proposer")
    demo = given(mipro, "demo", where)
    only(demo, _DEMO, f"{where}.demo", "`demo`")
    if demo.get("include_empty", True) is not True:
        raise InvalidRequest(
            "`include_empty` must be true: what has no demonstrations is always compared with",
            param=f"{where}.demo.include_empty",
        )


def _fresh(
    mipro: Mapping[str, Any],
    section: Mapping[str, Any],
    tests: tuple[int, ...] | None,
    where: str,
) -> tuple[int, ...]:
    found = agreed_seeds(
        [(mipro, "val_seeds"), (mipro, "validation_seeds"), (section, "validation_seeds")], where
    )
    if found is None and tests is None:
        raise InvalidRequest(
            "`val_seeds` is missing: seeds on which the winner is scored, and nothing else",
            param=f"{where}.val_seeds",
        )
    return tuple(dict.fromkeys([*(found or ()), *(tests or ())]))


def _optional(
    section: Mapping[str, Any], name: str, where: str, *, at_least: int = 1
) -> int | None:
    if name not in section:
        return None
    return count(section[name], at_least, f"{where}.{name}", at_least=at_least)


def _dials(mipro: Mapping[str, Any], where: str, bootstrap: int) -> MiproDials:
    default = MiproDials()
    demo, proposer = given(mipro, "demo", where), given(mipro, "proposer", where)
    at = f"{where}.proposer"
    demos = count(mipro.get("min_bootstrap_demos"), 0, f"{where}.min_bootstrap_demos", at_least=0)
    if demos > bootstrap:
        raise InvalidRequest(
            f"there are only {bootstrap} bootstrap seeds", param=f"{where}.min_bootstrap_demos"
        )
    return MiproDials(
        iterations=count(mipro.get("num_iterations"), 10, f"{where}.num_iterations"),
        evaluations=count(
            mipro.get("num_evaluations_per_iteration"), 5, f"{where}.num_evaluations_per_iteration"
        ),
        batch_size=count(mipro.get("batch_size"), default.batch_size, f"{where}.batch_size"),
        threshold=share(
            mipro.get("few_shot_score_threshold"), 0.8, f"{where}.few_shot_score_threshold"
        ),
        min_demos=demos,
        demo_size=count(demo.get("max_few_shot_examples"), 3, f"{where}.demo", at_least=0),
        demo_sets=count(demo.get("sets_per_size"), 4, f"{where}.demo", at_least=0),
        per_batch=count(proposer.get("instructions_per_batch"), 2, f"{at}.instructions_per_batch"),
        generate_at=_iterations(proposer, at),
        tpe=_tpe(mipro, where),
    )


def _iterations(proposer: Mapping[str, Any], where: str) -> tuple[int, ...]:
    given_ = proposer.get("generate_at_iterations", [0, 1, 2])
    at = f"{where}.generate_at_iterations"
    if not isinstance(given_, list):
        raise InvalidRequest("must be a list of iterations, counted from 0", param=at)
    return tuple(count(item, 0, at, at_least=0) for item in given_)


def _tpe(mipro: Mapping[str, Any], where: str) -> TpeOptions:
    tpe, at = given(mipro, "tpe", where), f"{where}.tpe"
    only(tpe, {f.name for f in fields(TpeOptions)}, at, "`tpe`")
    default = TpeOptions()
    alpha = amount(tpe.get("alpha"), f"{at}.alpha")
    return TpeOptions(
        gamma=share(tpe.get("gamma"), default.gamma, f"{at}.gamma"),
        n_candidates=count(tpe.get("n_candidates"), default.n_candidates, f"{at}.n_candidates"),
        n_startup_trials=count(
            tpe.get("n_startup_trials"), default.n_startup_trials, f"{at}.n_startup_trials",
            at_least=2,
        ),
        epsilon=share(tpe.get("epsilon"), default.epsilon, f"{at}.epsilon"),
        alpha=default.alpha if alpha is None else alpha,
    )  # fmt: skip


def _unused(mipro: Mapping[str, Any], where: str) -> list[str]:
    own = [n for n in mipro if n in _UNUSED or _UNUSED_FORMS.fullmatch(n)]
    nested = {"provider"} & given(mipro, "proposer", where).keys()
    return [f"mipro.{name}" for name in own] + [f"mipro.proposer.{n}" for n in nested]
