"""Sessions, their candidates and their rewards."""

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
from sidecar.api.openapi.schemas_config import create_fields
from sidecar.api.scope import ALGORITHMS
from sidecar.core.session import Status

COUNT = integer(minimum=0)
TIME = text("ISO 8601, UTC.", format="date-time")
UNIT = number(minimum=0, maximum=1)

_URLS = {
    "online_url": text("Base URL of the session's calls.", format="uri"),
    "proxy_url": text("The same under its older name.", format="uri"),
    "chat_completions_url": text("Where to post chat completions.", format="uri"),
}

_URL_NAMES = " ".join(_URLS)

_HEAD = {
    "session_id": ref("SessionId"),
    "job_id": text("`pl_` and 16 hex digits."),
    "algorithm": text(enum=list(ALGORITHMS)),
    "mode": text(enum=["online"]),
    "status": ref("SessionStatus"),
    "created_at": TIME,
    "rollout_count": {**COUNT, "description": "Conversations that were given a prompt."},
    "reward_count": {**COUNT, "description": "Of them, how many have a reward."},
    "candidate_count": {**COUNT, "minimum": 1},
    "best_candidate_id": ref("CandidateId", "The highest expected reward so far."),
    "incumbent_id": ref("CandidateId", "The best one that is proven; it serves by default."),
}

_FULL = {
    "best_score": {**UNIT, "description": "Expected reward of `best_candidate_id`."},
    "proposal_seq": {**COUNT, "description": "Proposals so far."},
    "version": {**COUNT, "description": "Of the shares; grows when they may have changed."},
    "lever_summary": ref("LeverSummary"),
    "lever_versions": record({}, "By lever id.", additionalProperties=COUNT),
    "best_lever_version": COUNT,
    "sensor_frames": array(ref("SensorFrame")),
    "wildcards": record(
        {},
        "The parts of the prompts that the application fills in.",
        additionalProperties=text(enum=["REQUIRED", "OPTIONAL"]),
    ),
    "safety": ref("Safety"),
    "influence": ref("Influence"),
    "metadata": record({}, "As it was given."),
}

_REWARD = {
    "rollout_id": nullable(ref("CorrelationId", "The rollout; goes before `correlation_id`.")),
    "correlation_id": nullable(ref("CorrelationId", "The conversation, which is the rollout.")),
    "candidate_id": nullable(
        text(
            "Beside a rollout: the candidate that must have served it. Alone: that candidate's "
            "newest rollout without a reward."
        )
    ),
    "reward_info": ref("RewardInfo"),
    "artifact": anything("Whatever was produced; not looked at."),
    "metadata": anything("Free; text under `feedback` is read as the user's words."),
    "trace_ref": anything("Not looked at."),
    "stop": nullable(boolean("Complete the session with this reward.")),
}

_INFO_NUMBERS = ("outcome_reward", "score", "reward")


def _of_kind(kind: str, name: str) -> Json:
    """A rule for an object: that field is there, and of that type."""
    return {"type": "object", "required": [name], "properties": {name: {"type": kind}}}


SCHEMAS: dict[str, Json] = {
    "SessionStatus": text("The last two are final.", enum=[str(status) for status in Status]),
    "CreateSession": record(
        create_fields(), "A new session; other fields are allowed and not looked at."
    ),
    "Session": record(_HEAD, "A session in short.", require=" ".join(_HEAD)),
    "CreatedSession": record(
        {**_URLS, "correlation_id": ref("CorrelationId", "As it was given.")},
        "A session, and where to send its calls. The URLs start with `server.public_url`, else "
        "with the address that was asked.",
        require=_URL_NAMES,
        allOf=[ref("Session")],
    ),
    "Sessions": record({"sessions": array(ref("Session"))}, require="sessions"),
    "SessionFacts": record(
        _FULL,
        "Everything about a session but its candidates.",
        require=" ".join(_FULL),
        allOf=[ref("Session")],
    ),
    "SessionState": record(
        {"candidates": array(ref("Candidate"), "In order of birth, `baseline` first.")},
        "Everything about a session.",
        require="candidates",
        allOf=[ref("SessionFacts")],
    ),
    "PromptUrls": record(
        {
            "session_id": ref("SessionId"),
            "correlation_id": ref("CorrelationId", "When one was given; the URLs hold it."),
            **_URLS,
        },
        require=f"session_id {_URL_NAMES}",
    ),
    "Export": record(
        {
            "session_id": ref("SessionId"),
            "messages": array(ref("Message"), "To be put before the conversation."),
            "lineage": array(
                record(
                    {"candidate_id": ref("CandidateId"), "text": text(), "origin": text()},
                    require="candidate_id text origin",
                ),
                "From this prompt back to the baseline.",
            ),
        },
        "A candidate with all that is needed to use it without a sidecar.",
        require="session_id messages lineage",
        allOf=[ref("Candidate")],
    ),
    "Pin": record({"candidate_id": ref("CandidateId")}, require="candidate_id"),
    "RewardRequest": record(
        _REWARD,
        "A reward for a rollout, which `rollout_id`, `correlation_id` or `candidate_id` names.",
        require="reward_info",
        **one_given("rollout_id", "correlation_id", "candidate_id"),
    ),
    "RewardInfo": record(
        {
            **{name: nullable(UNIT) for name in _INFO_NUMBERS},
            "outcome_objectives": nullable(record({"reward": nullable(UNIT)})),
            "correct": anything("Without a number: true is 1, false is 0."),
            "retracted": anything("true: takes back what this route was told of the rollout."),
            "feedback": anything("What the user said, as text."),
            "comment": anything("The same."),
            "details": anything("Free; text under `feedback` is read too."),
        },
        "One number in 0..1: the first of `outcome_reward`, `score`, `reward`, "
        "`outcome_objectives.reward` that is given, else `correct`. Other fields are kept.",
        anyOf=[
            *(_of_kind("number", name) for name in _INFO_NUMBERS),
            {
                "required": ["outcome_objectives"],
                "properties": {"outcome_objectives": _of_kind("number", "reward")},
            },
            _of_kind("boolean", "correct"),
        ],
    ),
    "RewardAnswer": record(
        {
            "status": ref("SessionStatus"),
            "session_id": ref("SessionId"),
            "rollout_id": ref("CorrelationId"),
            "candidate_id": ref("CandidateId", "The one that served the rollout."),
            "reward_count": COUNT,
            "counted": boolean("False when the same request had been counted before."),
        },
        require="status session_id rollout_id candidate_id reward_count",
    ),
}
