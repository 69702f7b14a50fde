"""Ids and errors: the schemas that every group of routes uses."""

from sidecar.api.openapi.model import Json, array, integer, nullable, record, text

SESSION = "support"
ROLLOUT = "trace_6f1c"
CANDIDATE = "baseline"
JOB = "pl_0123456789abcdef"
EVAL = "eval-0123456789abcdef"
ARTIFACT = "traces/seed_1.json"
SOURCE = "help-desk"
TRIAL = "trial_0123456789abcdef0123456789abcdef"
"""What the examples talk about."""

_DOTS = {"not": {"enum": [".", ".."]}}

SCHEMAS: dict[str, Json] = {
    "SessionId": text(
        "1 to 64 of `A-Z a-z 0-9 _ . -`.", pattern=r"^[A-Za-z0-9_.-]{1,64}$", **_DOTS
    ),
    "SourceName": text(
        "1 to 64 of `a-z 0-9 _ -`, not beginning with a sign.",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$",
    ),
    "CorrelationId": text(
        "The id of one conversation: 1 to 128 of `A-Z a-z 0-9 _ . : -`. A rollout is one "
        "conversation, so its rollout id is the same.",
        pattern=r"^[A-Za-z0-9_.:-]{1,128}$",
        **_DOTS,
    ),
    "CandidateId": text(
        "A prompt of a session; `baseline` is the one it started with.", minLength=1
    ),
    "ApiError": record(
        {
            "detail": text("What was wrong and what to do."),
            "error": record(
                {
                    "message": text("The same as `detail`."),
                    "code": text("For programs."),
                    "param": text("The field it is about, when it is about one."),
                },
                require="message code",
            ),
        },
        "An error of the session API, in the words that the published SDK reads.",
        require="detail error",
    ),
    "Problem": record(
        {
            "type": text("Always `about:blank`."),
            "title": text("The status in words."),
            "status": integer("The HTTP status.", minimum=400, maximum=599),
            "detail": text("What was wrong and what to do."),
            "instance": text("The path that was asked for."),
            "code": text("For programs."),
            "request_id": text("The answer's `X-Request-Id`."),
        },
        "An error as problem details (RFC 9457).",
        require="type title status detail instance code request_id",
    ),
    "ModelError": record(
        {
            "error": record(
                {
                    "message": text("What was wrong and what to do."),
                    "type": nullable(text("The kind of error.")),
                    "param": nullable(text("The field it is about.")),
                    "code": {"type": ["string", "integer", "null"], "description": "Its code."},
                },
                require="message",
            ),
            "detail": text("The same as `error.message`; on errors of the sidecar's own."),
        },
        "An error in OpenAI's shape: the sidecar's own, or the provider's passed through.",
        require="error",
    ),
    "Message": record(
        {
            "role": text("Who speaks: `system`, `user`, `assistant` …"),
            "content": {
                "description": "Text, content parts, or null beside tool calls.",
                "anyOf": [
                    {"type": "string"},
                    array({"type": ["object", "string"]}),
                    {"type": "null"},
                ],
            },
        },
        "A chat message; its other fields are kept.",
        require="role",
    ),
}
