"""Offline jobs: what they are asked for with, and what they answer."""

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
from sidecar.api.openapi.schemas_session import COUNT, TIME
from sidecar.api.scope import ALGORITHMS
from sidecar.core.job import JobKind, JobStatus
from sidecar.jobs.policy_config import KEY_NAMES, URL_NAMES

_STATUSES = [status.value for status in JobStatus]
_EVAL_STATUSES = ["completed" if word == JobStatus.SUCCEEDED else word for word in _STATUSES]
_ONLINE_STATUSES = ["running", "paused", "succeeded", "cancelled"]
_DOLLARS = number("US dollars.", minimum=0)
_REWARD = number("In 0..1.")
_PROMPT = ref("FoundPrompt")
_HISTORY = array(
    record(
        {"generation": number(), "best_reward": nullable(_REWARD)}, require="generation best_reward"
    ),
    "The best after each generation (or iteration).",
)
_LEVERS = record({}, "By lever id.", additionalProperties=COUNT)

_COMMON: dict[str, Json] = {
    "job_id": ref("JobId"),
    "status": text(enum=_STATUSES),
    "error": nullable(text("Why it failed.")),
    "created_at": TIME,
    "started_at": nullable(TIME),
    "completed_at": nullable(TIME),
    "progress": record({}, "The newest numbers; empty before there are any."),
}

_FOUND: dict[str, Json] = {
    "best_score": number("Expected reward of the best prompt."),
    "best_reward": number("The same."),
    "best_prompt": _PROMPT,
    "best_candidate": _PROMPT,
    "iteration": COUNT,
    "best_candidate_id": ref("CandidateId"),
    "best_score_interval": array(_REWARD, "Of 95%.", minItems=2, maxItems=2),
    "best_score_on_fresh_seeds": boolean("Whether the search never saw those seeds."),
    "baseline_score": nullable(_REWARD),
    "optimized_candidates": array(ref("RankedCandidate"), "The finalists, best first."),
    "attempted_candidates": array(ref("AttemptedCandidate"), "All, oldest first."),
    "version_tree": array(
        record(
            {"candidate_id": text(), "version": COUNT, "parent_ids": array(text())},
            require="candidate_id version parent_ids",
        )
    ),
    "validation": array(
        record(
            {
                "rank": integer(minimum=1),
                "outcome_reward": _REWARD,
                "interval": array(_REWARD, "Of 95%."),
                "is_baseline": boolean(),
                "rollouts": COUNT,
            },
            require="rank outcome_reward interval is_baseline rollouts",
        ),
        "What the finalists earned on fresh seeds.",
    ),
    "history": _HISTORY,
    "total_rollouts": COUNT,
    "failed_rollouts": COUNT,
    "trials_tried": COUNT,
    "total_cost_usd": _DOLLARS,
    "total_tokens": COUNT,
    "best_full_score": number("MIPRO: the same as `best_score`."),
    "best_minibatch_score": number("MIPRO: the best of a trial."),
    "stopped_by": text("What ended the search."),
    "unused_config": array(text(), "Keys of the config that had no use."),
    "lever_summary": ref("LeverSummary"),
    "lever_versions": _LEVERS,
    "best_lever_version": COUNT,
    "sensor_frames": array(ref("SensorFrame")),
}
"""What a policy job's status says as far as it is known; most of it at the end."""

_REQUESTS: dict[str, Json] = {
    "JobRequest": record(
        {
            "config_body": ref("JobConfig"),
            "prompt_learning": anything("As in `JobConfig`, in place of `config_body`."),
            "policy_optimization": anything("The same."),
            "algorithm": nullable(or_empty(text("As in the config.", enum=list(ALGORITHMS)))),
            "overrides": nullable(record({}, "As in a session's create request.")),
            "metadata": nullable(record({}, "Kept, and shown again.")),
            "auto_start": boolean(
                "False: it waits until it is resumed. Online jobs begin at once.", default=True
            ),
        },
        "A job. The config may also be the body itself.",
        anyOf=[
            {"required": ["config_body"]},
            {"properties": {"config_body": False}, **ref("JobConfig")},
        ],
    ),
    "EvalRequest": record(
        {
            **{name: ref("TaskAppUrl", "The task app; one name is enough.") for name in URL_NAMES},
            **{name: ref("TaskAppKey") for name in KEY_NAMES},
            "seeds": ref("Seeds"),
            "app_id": nullable(text("Stands in for `env_name`.")),
            "env_name": nullable(text("Which task, if the task app has several.")),
            "env_config": nullable(record({}, "Goes into every rollout's `env.config`.")),
            "policy": nullable(
                record({}, "Goes into every rollout's `policy.config`: model, temperature …")
            ),
            "policy_config": nullable(record({}, "The same.")),
            "max_concurrent": nullable(
                integer("Rollouts at the same time.", minimum=1, maximum=256, default=20)
            ),
            "concurrency": nullable(integer("The same.", minimum=1, maximum=256)),
            "timeout": nullable(
                number("Seconds of a rollout.", exclusiveMinimum=0, maximum=86_400, default=600)
            ),
            "verifier_config": nullable(
                record({"enabled": boolean(enum=[False])}, "None: rewards are the task app's.")
            ),
            "metadata": nullable(record({}, "Kept, and shown again.")),
        },
        "An evaluation. Other fields are accepted, and listed in the config as `unused`.",
        require="seeds",
        **one_given(*URL_NAMES),
    ),
    "Steering": record({"reason": nullable(text("Kept in the job's events."))}),
}

_STATUS: dict[str, Json] = {
    "JobId": text("`pl_`, or `eval-` for evals, and 16 hex digits.", minLength=1),
    "Job": {
        "description": "A policy job, offline or online.",
        "anyOf": [ref("PolicyJob"), ref("OnlineJob")],
    },
    "AnyJob": {
        "description": "A job of either kind.",
        "anyOf": [ref("PolicyJob"), ref("OnlineJob"), ref("EvalJob")],
    },
    "PolicyJob": record(
        {
            **_COMMON,
            "algorithm": text(enum=list(ALGORITHMS)),
            "mode": text(enum=["offline"]),
            "metadata": record({}, "As given, with the `algorithm`."),
            **_FOUND,
        },
        "A job that finds a better prompt, and what it found so far.",
        require=f"{' '.join(_COMMON)} algorithm mode metadata",
    ),
    "OnlineJob": record(
        {
            "job_id": ref("JobId"),
            "session_id": ref("SessionId"),
            "algorithm": text(enum=list(ALGORITHMS)),
            "mode": text(enum=["online"]),
            "status": text("By its session's status.", enum=_ONLINE_STATUSES),
            "metadata": record(
                {}, "As given, with `{algorithm}_system_id` and `{algorithm}_proxy_url`."
            ),
            "events": array(ref("SystemEvent"), "When `include_events` is true."),
            "snapshot": ref("SystemState", "When `include_snapshot` is true."),
        },
        "A job that is a session; most fields of its session's status stand here too.",
        require="job_id session_id algorithm mode status",
    ),
    "EvalJob": record(
        {
            **_COMMON,
            "status": text(enum=_EVAL_STATUSES),
            "config": ref("EvalConfig"),
            "results": record(
                {
                    "completed": COUNT,
                    "total": COUNT,
                    "mean_reward": nullable(_REWARD),
                    "total_tokens": nullable(COUNT),
                    "total_cost_usd": nullable(_DOLLARS),
                },
                require="completed total mean_reward total_tokens total_cost_usd",
            ),
            "metadata": record({}, "As given."),
        },
        "A job that scores an application as it is.",
        require=f"{' '.join(_COMMON)} config results metadata",
    ),
    "EvalConfig": record(
        {
            "task_app_url": text(),
            "seeds": array(COUNT, minItems=1),
            "app_id": text(),
            "env_name": text(),
            "env_config": record({}),
            "policy": record({}),
            "max_concurrent": integer(minimum=1),
            "timeout": number("Seconds.", exclusiveMinimum=0),
            "unused": array(text(), "Keys of the request that had no use."),
        },
        "The request as it was read, without keys.",
        require="task_app_url seeds app_id env_name env_config policy max_concurrent timeout "
        "unused",
        additionalProperties=False,
    ),
    "JobList": record(
        {
            "jobs": array(
                record(
                    {
                        "job_id": ref("JobId"),
                        "kind": text(enum=[kind.value for kind in JobKind]),
                        "algorithm": nullable(text()),
                        "status": text(enum=[*_STATUSES, "completed"]),
                        "created_at": TIME,
                        "completed_at": nullable(TIME),
                    },
                    require="job_id kind algorithm status created_at completed_at",
                ),
                "Newest first.",
            )
        },
        require="jobs",
    ),
}

_PROMPTS: dict[str, Json] = {
    "FoundPrompt": record(
        {"messages": array(record({"role": text(), "pattern": text()}, require="role pattern"))},
        "A prompt in the form of an `initial_prompt`.",
        require="messages",
    ),
    "RankedCandidate": record(
        {
            "rank": integer("1 is the best.", minimum=1),
            "candidate_id": text(),
            "is_baseline": boolean(),
            "full_text": text("The system prompt."),
            "pattern": _PROMPT,
            "train_accuracy": nullable(_REWARD),
            "val_accuracy": nullable({**_REWARD, "description": "Average on fresh seeds."}),
            "outcome_reward": {**_REWARD, "description": "Expected reward."},
            "score": record({"outcome_reward": _REWARD}, require="outcome_reward"),
        },
        "A finalist.",
        require="rank candidate_id is_baseline full_text pattern train_accuracy val_accuracy "
        "outcome_reward score",
    ),
    "AttemptedCandidate": record(
        {
            "candidate_id": text(),
            "parent_ids": array(text()),
            "kind": text("How it came to be: `baseline`, `mutation`, `crossover` …"),
            "generation": COUNT,
            "accepted": boolean("Whether it was evaluated in full."),
            "outcome_reward": nullable(_REWARD),
            "pattern": _PROMPT,
        },
        "A candidate that was tried.",
        require="candidate_id parent_ids kind generation accepted outcome_reward pattern",
    ),
}

_RESULTS: dict[str, Json] = {
    "PolicyResults": record(
        {
            "config": record({}, "The config as it was read, without keys."),
            "history": _HISTORY,
        },
        "A policy job's status, with its config and history.",
        require="config history",
        allOf=[ref("PolicyJob")],
    ),
    "EvalResults": record(
        {
            "job_id": ref("JobId"),
            "status": text(enum=_EVAL_STATUSES),
            "error": nullable(text()),
            "summary": record(
                {
                    "mean_reward": nullable(_REWARD),
                    "total_tokens": COUNT,
                    "total_cost_usd": _DOLLARS,
                    "num_seeds": COUNT,
                    "num_successful": COUNT,
                    "num_failed": COUNT,
                },
                "Of the seeds that are done; a failed one counts as 0.",
                require="mean_reward total_tokens total_cost_usd num_seeds num_successful "
                "num_failed",
            ),
            "results": array(
                record(
                    {
                        "seed": COUNT,
                        "score": _REWARD,
                        "tokens": COUNT,
                        "cost_usd": _DOLLARS,
                        "latency_ms": number(minimum=0),
                        "error": nullable(text("Why its rollout failed.")),
                    },
                    require="seed score tokens cost_usd latency_ms error",
                ),
                "In the order of the request's seeds.",
            ),
        },
        "What an eval's seeds came to, so far or in the end.",
        require="job_id status error summary results",
    ),
    "AnyResults": {
        "description": "Those of either kind.",
        "anyOf": [ref("PolicyResults"), ref("EvalResults")],
    },
}

_HAPPENED: dict[str, Json] = {
    "JobEvents": record(
        {
            "events": array(ref("JobEvent"), "Oldest first."),
            "next_seq": {**COUNT, "description": "The next `since_seq`."},
        },
        require="events next_seq",
    ),
    "JobEvent": record(
        {
            "seq": integer(minimum=1),
            "type": text("`learning.policy.gepa.job.started`, `eval.policy.seed.completed` …"),
            "message": text(),
            "data": record({}),
            "created_at": TIME,
            "job_id": ref("JobId", "Not on those of online jobs."),
            "level": text(enum=["info", "error"]),
        },
        "Something that happened in a job.",
        require="seq type message data created_at",
    ),
    "StreamedEvent": record(
        {
            "id": text("Its number.", pattern="^[0-9]+$"),
            "data": {
                "description": "A `JobEvent` on one line, or `[DONE]` once the job has ended.",
                "type": "string",
                "anyOf": [
                    {"contentMediaType": "application/json", "contentSchema": ref("JobEvent")},
                    {"enum": ["[DONE]"]},
                ],
            },
        },
        "An event of the stream.",
        require="data",
    ),
    "JobMetrics": record(
        {
            "points": array(
                record(
                    {
                        "name": text(enum=["best_reward", "reward"]),
                        "value": number(),
                        "step": integer("The event's number.", minimum=1),
                        "created_at": TIME,
                    },
                    require="name value step created_at",
                ),
                "Oldest first.",
            )
        },
        require="points",
    ),
    "WorkflowState": record(
        {
            "job_id": ref("JobId"),
            "workflow_state": record(
                {
                    "job_id": ref("JobId"),
                    "run_id": ref("JobId"),
                    "status": text(enum=[*_STATUSES, "completed"]),
                    "progress": record({}),
                    "algorithm": nullable(text(enum=list(ALGORITHMS))),
                    "error": nullable(text()),
                },
                require="job_id run_id status progress algorithm error",
            ),
            "query_name": text(enum=["workflow_state"]),
        },
        require="job_id workflow_state query_name",
    ),
    "Artifacts": record(
        {
            "artifacts": array(
                record({"name": text(), "size_bytes": COUNT}, require="name size_bytes")
            )
        },
        require="artifacts",
    ),
    "Steered": record(
        {
            "job_id": ref("JobId"),
            "status": text("Of the command: `failed` if the job had ended.",
                           enum=["succeeded", "failed"]),
            "message": text("How the job stands."),
            "attempt_id": {"type": "null"},
        },
        require="job_id status message attempt_id",
    ),
}  # fmt: skip

SCHEMAS: dict[str, Json] = _REQUESTS | _STATUS | _PROMPTS | _RESULTS | _HAPPENED
