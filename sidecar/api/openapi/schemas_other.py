"""Systems, keys, files, model calls and health."""

from sidecar.api.env_keys import ALGORITHM
from sidecar.api.keys import MAX_HOURS
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
from sidecar.api.openapi.schemas_session import COUNT, TIME, UNIT
from sidecar.api.scope import ALGORITHMS

_KINDS = [f"{name}_online" for name in ALGORITHMS]

_SYSTEMS: dict[str, Json] = {
    "InitSystem": record(
        {
            "system_id": ref("SessionId"),
            "org_id": nullable(text("Kept in the metadata.")),
            "config": ref("ConfigBody"),
        },
        require="system_id config",
    ),
    "SystemReport": record(
        {
            "status": nullable(text("`reward`, which needs the reward, `done`, or any other.")),
            "rollout_id": nullable(text("With a reward: as in a session's reward request.")),
            "candidate_id": nullable(text("The same.")),
            "reward": nullable(UNIT),
        },
        "A rollout's progress; with a reward, that is counted.",
        anyOf=[
            {"properties": {"reward": {"type": "null"}, "status": {"not": {"const": "reward"}}}},
            {
                "required": ["reward"],
                "properties": {
                    "reward": {"type": "number"},
                    "rollout_id": nullable(ref("CorrelationId")),
                },
                **one_given("rollout_id", "candidate_id"),
            },
        ],
    ),
    "SystemReported": record(
        {
            "system_id": ref("SessionId"),
            "status": ref("SessionStatus"),
            "rollout_id": nullable(text()),
            "candidate_id": nullable(text("The one that served the rollout, if it was rewarded.")),
            "reward_count": COUNT,
        },
        require="system_id status rollout_id candidate_id reward_count",
    ),
    "SystemState": record(
        {
            "system_id": ref("SessionId"),
            "candidates": record({}, "By id.", additionalProperties=ref("Candidate")),
            "archived_candidates": array(ref("Candidate"), "GEPA: those that were retired."),
            "attempted_candidates": array(ref("ScoredCandidate"), "MIPRO: with any reward."),
            "optimized_candidates": array(ref("ScoredCandidate"), "MIPRO: proven better."),
        },
        "The session's status, with its candidates by id.",
        require="system_id candidates",
        allOf=[ref("SessionFacts")],
    ),
    "SystemEvents": record({"events": array(ref("SystemEvent"))}, require="events"),
    "SystemCreated": record(
        {"system_id": ref("SessionId", "The session's id.")},
        require="system_id",
        allOf=[ref("CreatedSession")],
    ),
    "CreateOnlineSession": record(
        {
            "kind": text("That of the path, if it is given.", enum=_KINDS),
            "system": nullable(record({}, "Kept in the metadata.")),
        },
        allOf=[ref("CreateSession")],
    ),
    "OnlineSession": record(
        {"kind": text(enum=_KINDS)},
        "A created session under the later published names.",
        require="kind",
        allOf=[ref("CreatedSession")],
    ),
    "Steer": record({"state": text(enum=["paused", "running", "cancelled"])}, require="state"),
    "CandidatePage": record(
        {
            "items": array(ref("ListedCandidate"), "Oldest first."),
            "next_cursor": nullable(text("Asks for those after the last one.")),
        },
        require="items next_cursor",
    ),
    "ExportedCandidate": {
        "description": "A candidate with its text and lineage.",
        "allOf": [ref("Export"), ref("ListedCandidate")],
    },
}

_KEYS: dict[str, Json] = {
    "DemoKeyRequest": record(
        {"ttl_hours": number("Hours.", exclusiveMinimum=0, maximum=MAX_HOURS, default=4)}
    ),
    "DemoKey": record(
        {"api_key": text(minLength=1), "expires_at": TIME, "ttl_hours": number()},
        require="api_key expires_at ttl_hours",
    ),
    "PublicKey": record(
        {
            "public_key": text("X25519, 32 bytes in base64.", contentEncoding="base64"),
            "alg": text(enum=[ALGORITHM]),
        },
        require="public_key alg",
    ),
    "SealedKey": record(
        {
            "name": ref("KeyName"),
            "ciphertext_b64": text("The sealed box.", contentEncoding="base64"),
        },
        require="name ciphertext_b64",
    ),
    "KeyName": text("Such as `ENVIRONMENT_API_KEY`.", pattern=r"^[A-Za-z0-9_.-]{1,128}$"),
    "KeptKey": record(
        {"id": text(), "name": ref("KeyName"), "updated_at": TIME}, require="id name updated_at"
    ),
    "KeyPresent": record(
        {"name": ref("KeyName"), "updated_at": TIME, "present": boolean(enum=[True])},
        require="name updated_at present",
    ),
    "Files": record(
        {
            "object": text(enum=["list"]),
            "data": array(anything("Nothing."), maxItems=0),
            "has_more": boolean(enum=[False]),
        },
        require="object data has_more",
    ),
}

_CALLS: dict[str, Json] = {
    "ChatRequest": record(
        {
            "model": text("For the provider, and for routes that ask for one."),
            "messages": array(ref("Message"), minItems=1),
            "stream": boolean("Answer with server-sent events."),
        },
        "A chat completions request as the provider takes it. All of its fields are passed on.",
        require="messages",
    ),
    "ChatCompletion": record(
        {
            "id": text(),
            "object": text(),
            "created": integer(),
            "model": text(),
            "choices": array(record({"index": integer(), "message": ref("Message")})),
            "usage": nullable(record({})),
        },
        "The provider's answer, as it came.",
    ),
}

_HEALTH: dict[str, Json] = {
    "Health": record({"status": text(enum=["ok", "starting", "draining"])}, require="status"),
    "HealthParts": record(
        {
            "status": text(enum=["ok", "starting", "draining"]),
            "parts": record({}, "With `?verbose`."),
        },
        require="status",
    ),
}

SCHEMAS: dict[str, Json] = _SYSTEMS | _KEYS | _CALLS | _HEALTH
