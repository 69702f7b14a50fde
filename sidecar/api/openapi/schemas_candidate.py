"""Candidates, and what a session knows of them and of itself."""

from sidecar.api.openapi.model import (
    Json,
    array,
    boolean,
    integer,
    nullable,
    number,
    record,
    ref,
    text,
)
from sidecar.engine.guards import PROMOTION

_COUNT = integer(minimum=0)
_UNIT = number(minimum=0, maximum=1)
_NUMBER = number()
_TIME = text("ISO 8601, UTC.", format="date-time")


def _whole(properties: dict[str, Json], description: str) -> Json:
    """An object in which all of these fields are always there."""
    return record(properties, description, require=" ".join(properties))


SCHEMAS: dict[str, Json] = {
    "Candidate": _whole(
        {
            "candidate_id": ref("CandidateId"),
            "text": text("The system prompt, with the baseline's placeholders."),
            "demos": array(
                record({"user": text(), "assistant": text()}, require="user assistant"),
                "Demonstrations that are shown after it.",
            ),
            "role": text(enum=["incumbent", "control", "certified", "challenger", "retired"]),
            "share": {**_UNIT, "description": "Part of new conversations that it gets."},
            "avg_reward": {**nullable(_UNIT), "description": "Null as long as there is none."},
            "rollout_count": _COUNT,
            "reward_count": _COUNT,
            "actor_count": {
                **_COUNT,
                "description": "Distinct actors; a conversation whose events name none is one.",
            },
            "response_rate": {
                **nullable(_UNIT),
                "description": "Part of its conversations that got a score.",
            },
            "response": text(
                "How often its users answer, against the baseline's. If not `as usual`, who is "
                "heard has changed.",
                enum=["unknown", "as usual", "more often", "less often"],
            ),
            "expected_reward": {**_UNIT, "description": "Less moved by time and luck."},
            "interval": array(
                _UNIT, "Where it lies with 95 percent probability.", minItems=2, maxItems=2
            ),
            "probability_better": {
                **nullable(_UNIT),
                "description": "Than the baseline; null for the baseline.",
            },
            "certainty": text("In words: what is known about it."),
            "evidence": {
                **ref("Evidence"),
                "description": "Null until it is tested.",
            },
            "is_baseline": boolean(),
            "parent_id": nullable(text("The candidate whose text it rewrote.")),
            "origin": text("How it came to be: `baseline`, `reflection`, `grid` or `manual`."),
            "rationale": text("What its proposer was shown."),
            "created_at": _TIME,
            "stage_payloads": record({}, "The text again, where the published demos look for it."),
        },
        "A prompt of a session.",
    ),
    "Evidence": {
        "description": "Of the test against the baseline.",
        "anyOf": [
            _whole(
                {
                    "e_value": {**_NUMBER, "minimum": 0},
                    "threshold": {**_NUMBER, "description": "What `e_value` must reach."},
                    "comparisons": _COUNT,
                    "proven_lead": nullable(_NUMBER),
                    "leads_tested": array(_NUMBER),
                },
                "",
            ),
            {"type": "null"},
        ],
    },
    "Safety": _whole(
        {
            "incumbent_id": ref("CandidateId"),
            "incumbent_lead": {**_NUMBER, "description": "Over the baseline, as expected …"},
            "proven_lead": {**_NUMBER, "description": "… and as proven."},
            "risk": _NUMBER,
            "spent": {**_NUMBER, "description": "Rewards given up so far, as estimated."},
            "allowed": {**_NUMBER, "description": "What `risk` has allowed so far."},
            "delta": _NUMBER,
            "pinned": nullable(text("The candidate that is pinned.")),
            "promotion": text("Who lets a proven candidate serve.", enum=list(PROMOTION)),
            "awaiting": array(ref("AwaitingCandidate"), "Proven, and waiting for approval."),
            "rollback_detector": _NUMBER,
            "rollback_alarm": {**_NUMBER, "description": "The detector's value that rolls back."},
            "refused_proposals": _COUNT,
            "journal_seq": _COUNT,
            "unused_config": array(text(), "Keys of the config that have no use online."),
            "events": array(ref("SessionEvent"), "The newest hundred, oldest first."),
        },
        "What is served by default and why, and what trying others has cost.",
    ),
    "AwaitingCandidate": _whole(
        {
            "candidate_id": ref("CandidateId"),
            "replaces": ref("CandidateId", "What serves by default now."),
            "diff": text("What it changes, demonstrations included, as a unified diff."),
        },
        "A candidate that a person is asked about.",
    ),
    "Influence": _whole(
        {
            "credit": text("How ratings of single turns make a conversation's reward."),
            "objectives": record({}, "Weights by signal.", additionalProperties=_NUMBER),
            "min_actors": _COUNT,
            "barred": array(ref("CandidateId"), "Who may not be promoted now."),
            "capped": {**_COUNT, "description": "Rewards beyond their actor's share."},
            "quarantined": {**_COUNT, "description": "Rewards that were held back, ever."},
            "quarantine": {
                "description": "Null while nobody is held back.",
                "anyOf": [
                    _whole(
                        {
                            "candidate_id": ref("CandidateId"),
                            "until": _TIME,
                            "shift": {
                                **_NUMBER,
                                "description": "Standard errors by which newcomers judge it "
                                "otherwise; up is better.",
                            },
                        },
                        "",
                    ),
                    {"type": "null"},
                ],
            },
        },
        "What one user, or many new ones, may do.",
    ),
    "SessionEvent": _whole(
        {
            "seq": _COUNT,
            "kind": text("`certified`, `promoted`, `rolled_back`, `paused` …"),
            "candidate_id": text("Empty when it is about none."),
            "detail": record({}),
            "at": number("Unix seconds."),
        },
        "Something that happened in a session.",
    ),
    "SystemEvent": _whole(
        {
            "seq": _COUNT,
            "event_type": text("The algorithm and the kind, such as `gepa.certified`."),
            "message": text(),
            "data": record({"candidate_id": nullable(text())}),
            "created_at": _TIME,
        },
        "The same as the published demos read it.",
    ),
    "LeverSummary": _whole(
        {
            "prompt_lever_id": text(),
            "candidate_lever_versions": record({}, "By candidate.", additionalProperties=_COUNT),
            "best_candidate_id": ref("CandidateId"),
            "selected_candidate_id": ref("CandidateId"),
            "baseline_candidate_id": ref("CandidateId"),
            "lever_count": _COUNT,
            "mutation_count": _COUNT,
            "latest_version": _COUNT,
        },
        "The session's one lever, its prompt: candidates are its versions, the baseline is 0.",
    ),
    "SensorFrame": _whole(
        {
            "frame_id": text(),
            "created_at": _TIME,
            "sensor_count": _COUNT,
            "sensor_kinds": array(text()),
            "trace_ids": array(text(), "Rollouts whose rewards came in."),
            "lever_versions": record({}, "By lever id.", additionalProperties=_COUNT),
        },
        "What was seen of the traffic since the frame before.",
    ),
    "ScoredCandidate": _whole(
        {
            "candidate_id": ref("CandidateId"),
            "score": nullable(_UNIT),
            "outcome_reward": nullable(_UNIT),
            "reward_count": _COUNT,
        },
        "A candidate in one line.",
    ),
    "ListedCandidate": {
        "description": "A candidate under the later published names.",
        "allOf": [
            ref("Candidate"),
            _whole(
                {
                    "id": ref("CandidateId"),
                    "status": text(enum=["active", "archived"]),
                    "system_id": ref("SessionId"),
                },
                "",
            ),
        ],
    },
}
