"""What a session is created from."""

from dataclasses import fields

from sidecar.api.openapi.model import (
    Json,
    anything,
    array,
    boolean,
    integer,
    nullable,
    number,
    one_given,
    or_empty,
    record,
    ref,
    text,
)
from sidecar.api.openapi.schemas_rules import RULE_FIELDS
from sidecar.core.ids import BASELINE
from sidecar.engine.guards import FEEDBACK_TEXT, PROMOTION, Guards
from sidecar.engine.mipro import SURROGATES
from sidecar.engine.options import Options
from sidecar.engine.tpe import TpeOptions

_BILLION = 1_000_000_000
_TPE = TpeOptions()
_DIALS = {
    "risk": "Reward a call may give up against the baseline on average, spent on trying prompts.",
    "delta": "Probability, over the session's life, of promoting a prompt that is not better.",
}
"""What the dials mean that most sessions may want to turn."""

EXAMPLE = {
    "prompt_learning": {
        "algorithm": "gepa",
        "initial_prompt": {
            "messages": [{"role": "system", "pattern": "You are the support of {shop}."}],
            "wildcards": {"shop": "REQUIRED"},
        },
        "gepa": {"mode": "online", "online_proposer_min_rollouts": 10},
    }
}
"""A config with everything that a session needs."""


def _dials() -> dict[str, Json]:
    kinds = {int: integer, float: number}
    dials = {
        f.name: kinds[type(f.default)](
            _DIALS.get(f.name, ""), minimum=0, exclusiveMaximum=_BILLION, default=f.default
        )
        for f in fields(Options)
    }
    dials["delta"] |= {"exclusiveMinimum": 0, "exclusiveMaximum": 1}
    return dials | {
        "feedback_text": _word(
            "How users' words reach the model that writes prompts: not at all, without secrets, "
            "addresses and longer numbers, or as they are.",
            FEEDBACK_TEXT,
            Guards().feedback_text,
        ),
        "promotion": _word(
            "Who lets a proven candidate serve by default.", PROMOTION, Guards().promotion
        ),
        "locked_prefix": nullable(text("What the prompt begins with, and every candidate's must.")),
        "locked_suffix": nullable(text("The same for its end.")),
    }


def _word(description: str, words: tuple[str, ...], default: str) -> Json:
    return {"description": description, "enum": [*words, None], "default": default}


def _part(description: str, **rules: float) -> Json:
    """A number in 0..1, or null for the default."""
    return nullable(number(description, minimum=0, maximum=1, **rules))


_PROPOSER = {
    "model": nullable(text("Writes new prompts; else the server's own setting.")),
    "inference_url": nullable(
        text("Its chat completions; an origin that `engine.proposer_origins` allows.")
    ),
    "api_key": nullable(text("Its key; else the server's own.", writeOnly=True)),
    "temperature": nullable(number()),
    "max_tokens": integer(minimum=0),
}

_SHARED = {
    "mode": text(enum=["online"], default="online"),
    "online_proposer_min_rollouts": integer("Rewards between proposals.", minimum=1, default=20),
    "online_proposer_max_candidates": integer(
        "Proposals over the session's life; 0 for no limit.", minimum=0, default=0
    ),
    "online_prune_min_rollouts": integer(
        "Rewards from which `online_prune_threshold` is asked.", minimum=1, default=20
    ),
    "proposer_model": nullable(text("As `proposer.model`; goes first.")),
    "proposer_url": nullable(text("As `proposer.inference_url`; goes first.")),
    "proposer_api_key": nullable(text("As `proposer.api_key`; goes first.", writeOnly=True)),
    "safety": ref("SafetyDials"),
    **RULE_FIELDS,
}

_PRUNE = "Average reward under which a prompt on trial leaves."

_OTHER_KEYS = anything(
    "Keys of offline jobs are accepted and listed in the status under `safety.unused_config`; any "
    "other key is refused by name."
)

GEPA = _SHARED | {
    "online_prune_threshold": nullable(number(_PRUNE)),
    "proposer": record(_PROPOSER),
}

MIPRO = _SHARED | {
    "online_prune_threshold": _part(_PRUNE),
    "proposer": record(
        {
            **_PROPOSER,
            "mode": text(enum=["instruction_only"]),
            "instructions_per_batch": integer("Asked for at once.", minimum=1, default=2),
            "provider": anything("Not used online."),
            "generate_at_iterations": anything("Not used online."),
        },
        additionalProperties=False,
    ),
    "online_proposer_mode": text(enum=["inline"]),
    "online_proposer_min_rewards": integer("As `…_min_rollouts`; the larger counts.", minimum=0),
    "online_proposer_min_seconds": nullable(number("Seconds between proposals.")),
    "online_rollouts_per_candidate": integer(
        "Rewards that a prompt on trial gets before another may take its place.",
        minimum=1,
        default=10,
    ),
    "rollouts_per_candidate": integer("As `online_rollouts_per_candidate`.", minimum=1),
    "candidate_rollouts": integer("As `online_rollouts_per_candidate`.", minimum=1),
    "few_shot_score_threshold": _part(
        "Reward from which a rollout may be a demonstration.", default=0.8
    ),
    "surrogate": text("How the next trial is chosen.", enum=list(SURROGATES)),
    "tpe": ref("TpeDials"),
    "demo": record(
        {
            "max_few_shot_examples": integer("Demonstrations in a set.", minimum=0, default=3),
            "sets_per_size": integer("Demonstration sets.", minimum=0, default=4),
            "include_empty": boolean(enum=[True]),
        },
        additionalProperties=False,
    ),
}


def _learning(algorithm: str, section: str) -> Json:
    return record(
        {
            "algorithm": text(enum=[algorithm]),
            "initial_prompt": ref("InitialPrompt"),
            algorithm: ref(section),
            "safety": ref("SafetyDials", "The same as inside the algorithm's section."),
            **RULE_FIELDS,
        },
        f"Of a {algorithm.upper()} session. Sections that it has no use for are accepted.",
        require="algorithm initial_prompt",
    )


SCHEMAS: dict[str, Json] = {
    "ConfigBody": record(
        {
            "prompt_learning": ref("PromptLearning"),
            "policy_optimization": anything("The same under its other name, in place of it."),
        },
        "The published config, under either of its two names.",
        anyOf=[
            {"required": ["prompt_learning"]},
            {
                "required": ["policy_optimization"],
                "properties": {
                    "prompt_learning": False,
                    "policy_optimization": ref("PromptLearning"),
                },
            },
        ],
    ),
    "PromptLearning": {
        "description": "The config of a session, for the algorithm of the path.",
        "anyOf": [ref("GepaLearning"), ref("MiproLearning")],
    },
    "GepaLearning": _learning("gepa", "GepaConfig"),
    "MiproLearning": _learning("mipro", "MiproConfig"),
    "InitialPrompt": record(
        {
            "messages": array(ref("PromptMessage"), minItems=1),
            "wildcards": record(
                {},
                "The parts in braces, by name.",
                additionalProperties=text(enum=["REQUIRED", "OPTIONAL"]),
            ),
        },
        f"The prompt that is in use today, from now on called `{BASELINE}`.",
        require="messages",
    ),
    "PromptMessage": record(
        {
            "role": text("The first `system` (or `developer`) message is the baseline."),
            "pattern": text("Its text, with `{wildcards}` where the application fills in."),
            "content": text("The same under its other name."),
            "order": integer("Its place among the messages.", default=0),
        },
        require="role",
        **one_given("pattern", "content"),
    ),
    "GepaConfig": record(GEPA, "How a GEPA session works.", additionalProperties=_OTHER_KEYS),
    "MiproConfig": record(MIPRO, "How a MIPRO session works.", additionalProperties=_OTHER_KEYS),
    "TpeDials": record(
        {
            "gamma": _part("Part of the trials that counts as good.", default=_TPE.gamma),
            "n_candidates": integer(
                "Cells drawn from the good side.", minimum=1, default=_TPE.n_candidates
            ),
            "n_startup_trials": integer(
                "Trials before the estimator is asked.", minimum=2, default=_TPE.n_startup_trials
            ),
            "epsilon": _part("Part of the suggestions that is random.", default=_TPE.epsilon),
            "alpha": nullable(
                number("Pseudo-count of every choice.", exclusiveMinimum=0, default=_TPE.alpha)
            ),
        },
        "Of the surrogate `tpe`.",
        additionalProperties=False,
    ),
    "SafetyDials": record(
        _dials(),
        "How bold a session is; shares, probabilities and rewards are in 0..1. The defaults are "
        "those of GEPA sessions.",
        additionalProperties=False,
    ),
}


def create_fields() -> dict[str, Json]:
    """The fields of every create request."""
    return {
        "config_body": ref("ConfigBody", "Needed unless the session exists or a config is named."),
        "config_name": text("A file of `engine.config_dir`, without its ending."),
        "config_path": text("A file of `engine.config_dir`, by its path."),
        "overrides": nullable(
            record({}, "Values that replace those of the config; a dotted key reaches inside.")
        ),
        "metadata": nullable(record({}, "Kept, and shown in the status.")),
        "session_id": nullable(
            ref("SessionId", "Your own id. If it is known already, that session is returned.")
        ),
        "correlation_id": nullable(or_empty(ref("CorrelationId", "Of the first conversation."))),
        "agent_id": anything("In place of `correlation_id`, if that is not given."),
    }
