"""What an offline job that finds a better prompt is made from."""

from sidecar.api.openapi.model import (
    Json,
    anything,
    array,
    boolean,
    integer,
    nullable,
    number,
    one_given,
    record,
    ref,
    text,
)
from sidecar.engine.config import ROOTS
from sidecar.jobs.policy import GepaDials, MiproDials
from sidecar.jobs.policy_config import KEY_NAMES, URL_NAMES
from sidecar.jobs.seeds import MAX_SEEDS

_GEPA = GepaDials()
_MIPRO = MiproDials()
_NOT_USED = anything("Not used.")

_TRAIN, _FRESH = {"start": 0, "end": 40}, {"start": 100, "end": 130}
_OWN: dict[str, Json] = {
    "gepa": {
        "evaluation": {"seeds": _TRAIN, "validation_seeds": _FRESH},
        "rollout": {"budget": 400},
    },
    "mipro": {"online_pool": _TRAIN, "val_seeds": _FRESH},
}
EXAMPLES = {
    algorithm: {
        "prompt_learning": {
            "algorithm": algorithm,
            "task_app_url": "http://localhost:8001",
            "initial_prompt": {
                "messages": [{"role": "system", "pattern": "You sort messages of bank customers."}]
            },
            "policy": {"model": "gpt-4.1-mini"},
            algorithm: own,
        }
    }
    for algorithm, own in _OWN.items()
}
"""Configs with everything that a policy job needs."""


def _count(description: str = "", default: int | None = None, minimum: int = 1) -> Json:
    rules = {} if default is None else {"default": default}
    return nullable(integer(description, minimum=minimum, **rules))


def _share(description: str, default: float) -> Json:
    return nullable(number(description, minimum=0, maximum=1, default=default))


def _amount(description: str) -> Json:
    return nullable(number(description, exclusiveMinimum=0))


def _text(description: str) -> Json:
    return nullable(text(description))


def _seeds(description: str) -> Json:
    return nullable(ref("Seeds", description))


def _part(properties: dict[str, Json], description: str = "") -> Json:
    return nullable(record(properties, description, additionalProperties=False))


PROPOSER = {
    "model": _text("Writes new prompts; else the server's own setting."),
    "inference_url": _text("Its address; an origin that `engine.proposer_origins` allows."),
    "api_key": nullable(text("Its key; else the server's own.", writeOnly=True)),
    "temperature": nullable(number()),
    "max_tokens": _count(minimum=0),
    "mode": nullable(text(enum=["instruction_only"])),
    "provider": _NOT_USED,
    "instructions_per_batch": _count("MIPRO: asked for at once.", _MIPRO.per_batch),
    "generate_at_iterations": nullable(
        array(integer(minimum=0), "MIPRO: iterations that begin with new ones, counted from 0.")
    ),
}

_SHARED = {
    "mode": text(enum=["offline"], default="offline"),
    "env_name": _text("As beside it; goes first."),
    "env_config": nullable(record({}, "Added to the one beside it.")),
    "rng_seed": _count("Of all that is random in the job.", minimum=0),
    "metaprompt": _text("What the model that writes prompts should know."),
    "proposer": _part(PROPOSER),
    "proposer_model": _text("As `proposer.model`; goes first."),
    "proposer_url": _text("As `proposer.inference_url`; goes first."),
    "proposer_api_key": nullable(text("As `proposer.api_key`; goes first.", writeOnly=True)),
}

GEPA_PARTS: dict[str, dict[str, Json]] = {
    "rollout": {
        "budget": _count("Rollouts of the whole job."),
        "max_concurrent": _count("Rollouts at the same time.", 20),
        "minibatch_size": _count("Seeds of one reflection.", _GEPA.minibatch),
    },
    "evaluation": {
        "seeds": _seeds("What the search works on."),
        "train_seeds": _seeds("The same."),
        "validation_seeds": _seeds("Never seen by the search: the finalists are scored on them."),
        "val_seeds": _seeds("The same."),
        "test_pool": _seeds("Added to `validation_seeds`."),
        "validation_pool": _NOT_USED,
        "validation_top_k": _count("Finalists, besides the baseline.", 3),
    },
    "mutation": {
        "rate": _share("Part of the crossed that reflection changes too.", _GEPA.mutation_rate),
        "llm_model": _text("As `proposer.model`, which goes first."),
        "llm_provider": _NOT_USED,
        "llm_inference_url": _NOT_USED,
        "prompt": _text("As `metaprompt`; added to it."),
    },
    "population": {
        "initial_size": _count("Prompts of the first generation.", _GEPA.initial_size),
        "num_generations": _count(default=_GEPA.generations),
        "children_per_generation": _count(default=_GEPA.children),
        "crossover_rate": _share("Part of the children with two parents.", _GEPA.crossover_rate),
        "selection_pressure": _amount("Exponent on a parent's share of the Pareto frontier."),
        "patience_generations": _count(
            "Generations in a row that may bring nothing better.", _GEPA.patience
        ),
    },
    "archive": {
        "size": _count("Candidates that may become parents.", _GEPA.archive_size),
        "pareto_set_size": _count("Training seeds that score; the others are for reflection."),
        "pareto_eps": _share("Scores that differ by no more are equal.", _GEPA.pareto_eps),
        "feedback_fraction": _share(
            "Part of the training seeds for reflection.", _GEPA.feedback_fraction
        ),
    },
    "token": {
        "max_limit": _count("Longest prompt, at 4 characters a token.", 32_000),
        "counting_model": _NOT_USED,
        "enforce_pattern_limit": nullable(boolean("Whether that counts.", default=True)),
        "max_spend_usd": _amount("US dollars for rollouts."),
    },
}

GEPA = _SHARED | {
    **{name: _part(part) for name, part in GEPA_PARTS.items()},
    "proposed_prompt_max_tokens": _count("As `token.max_limit`; the smaller counts."),
    "verifier": anything("Rewards come from the task app; another source is refused."),
}

MIPRO = _SHARED | {
    "online_pool": _seeds("What the search works on."),
    "bootstrap_train_seeds": _seeds("Where demonstrations come from; else `online_pool`."),
    "reference_pool": _seeds("Shown to the model that writes prompts, never run."),
    "val_seeds": _seeds("Never seen by the search: the finalists are scored on them."),
    "validation_seeds": _seeds("The same."),
    "test_pool": _seeds("Added to `val_seeds`."),
    "validation_top_k": _count("Finalists, besides the baseline.", 3),
    "num_iterations": _count(default=_MIPRO.iterations),
    "num_evaluations_per_iteration": _count("Trials of an iteration.", _MIPRO.evaluations),
    "batch_size": _count("Seeds of a trial.", _MIPRO.batch_size),
    "max_concurrent": _count("Rollouts at the same time.", 20),
    "few_shot_score_threshold": _share(
        "Reward from which a rollout may be a demonstration.", _MIPRO.threshold
    ),
    "min_bootstrap_demos": _count("Demonstrations to look for.", _MIPRO.min_demos, 0),
    "demo": _part(
        {
            "max_few_shot_examples": _count("In a set.", _MIPRO.demo_size, 0),
            "sets_per_size": _count("Demonstration sets.", _MIPRO.demo_sets, 0),
            "include_empty": boolean(enum=[True]),
        }
    ),
    "tpe": ref("TpeDials"),
    "max_token_limit": _count("Tokens of all rollouts."),
    "max_spend_usd": _amount("US dollars for rollouts."),
}

TERMINATION: dict[str, Json] = {
    "max_rollouts": _count("Of all phases."),
    "max_trials": _count("Candidates that are tried."),
    "max_trials_without_improvement": _count("In a row."),
    "max_cost_usd": _amount("For rollouts."),
    "max_category_costs_usd": nullable(
        record({"rollouts": _amount("The same."), "rollout": _amount("The same.")})
    ),
    "max_seconds": _amount("Of running."),
    "max_time_seconds": _amount("The same."),
    "pessimism_enabled": nullable(
        boolean("Estimate a batch by the dearest rollout so far.", default=False)
    ),
}

_OTHER_KEYS = anything(
    "GEPA takes what stands in its parts under the published flat names too. Keys of online "
    "sessions are accepted and listed in the result under `unused_config`; any other key is "
    "refused by name."
)


def _learning(algorithm: str, section: str) -> Json:
    return record(
        {
            "algorithm": text(enum=[algorithm]),
            **{name: ref("TaskAppUrl", "The task app; one name is enough.") for name in URL_NAMES},
            **{name: ref("TaskAppKey") for name in KEY_NAMES},
            "env_name": _text("Which task, if the task app has several."),
            "env_config": record({}, "Goes into every rollout's `env.config`."),
            "initial_prompt": ref("InitialPrompt"),
            "policy": nullable(
                record({}, "Goes into every rollout's `policy.config`: model, temperature …")
            ),
            "termination_config": _part(TERMINATION, "Where the job ends at the latest."),
            algorithm: ref(section),
        },
        f"Of a {algorithm.upper()} job. Seeds may stand here too.",
        require=f"algorithm initial_prompt {algorithm}",
        **one_given(*URL_NAMES),
    )


_SEED = integer(minimum=0, exclusiveMaximum=2**53)

SCHEMAS: dict[str, Json] = {
    "JobConfig": record(
        {
            ROOTS[0]: ref("JobLearning"),
            ROOTS[1]: anything("The same under its other name, in place of it."),
        },
        "The published config, under either of its two names.",
        anyOf=[
            {"required": [ROOTS[0]]},
            {"required": [ROOTS[1]], "properties": {ROOTS[0]: False, ROOTS[1]: ref("JobLearning")}},
        ],
    ),
    "JobLearning": {
        "description": "The config of an offline job; with `mode` `online` in the algorithm's "
        "section, that of a session.",
        "anyOf": [ref("GepaJobLearning"), ref("MiproJobLearning"), ref("PromptLearning")],
    },
    "GepaJobLearning": _learning("gepa", "GepaJobConfig"),
    "MiproJobLearning": _learning("mipro", "MiproJobConfig"),
    "GepaJobConfig": record(
        GEPA,
        "How a GEPA job works. It needs `evaluation.seeds` and `evaluation.validation_seeds`.",
        additionalProperties=_OTHER_KEYS,
    ),
    "MiproJobConfig": record(
        MIPRO,
        "How a MIPRO job works. It needs `online_pool` and `val_seeds`.",
        additionalProperties=_OTHER_KEYS,
    ),
    "Seeds": {
        "description": "Which instances of the task, as a list or as a range without its end; "
        f"{MAX_SEEDS:,} at most.",
        "anyOf": [
            array(_SEED, minItems=1, maxItems=MAX_SEEDS, uniqueItems=True),
            record(
                {"start": _SEED, "end": _SEED, "step": {**_SEED, "minimum": 1}},
                require="end",
                additionalProperties=False,
            ),
        ],
    },
    "TaskAppUrl": text(
        "An http or https URL without user name and fragment.",
        pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]+)?(/[!-~]*)?$",
        maxLength=2048,
    ),
    "TaskAppKey": nullable(
        text("The task app's key: one line. Kept apart, never shown.", writeOnly=True)
    ),
}
