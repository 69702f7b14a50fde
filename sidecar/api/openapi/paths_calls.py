"""Model calls: what applications send instead of to their provider."""

from sidecar.api.openapi.model import (
    JSON,
    Body,
    Group,
    Json,
    Key,
    Operation,
    Parameter,
    Reply,
    anything,
    ref,
    text,
)
from sidecar.api.openapi.parameters import query
from sidecar.api.openapi.replies import MODEL
from sidecar.backend.base import Mode

_SESSION = "/api/{algorithm}/v1/{session_id}"
_TRIAL = "/api/interceptor/v1/{trial}"
_EXAMPLE = {
    "model": "gpt-4.1-mini",
    "messages": [
        {"role": "system", "content": "You are the support of Acme."},
        {"role": "user", "content": "Where is my parcel?"},
    ],
}

_MODES = {
    Mode.OPTIMIZED: "by a candidate",
    Mode.BASELINE: "by the baseline",
    Mode.FAILOPEN: "by the last good prompt, because something of the sidecar's failed",
    Mode.PASSTHROUGH: "untouched",
}


def _header(description: str, schema: Json | None = None) -> Json:
    return {"description": description, "schema": schema or text()}


_SYSTEMS = {
    "x-gepa-system-id": _header("The session. On MIPRO URLs `x-mipro-…` too."),
    "x-gepa-rollout-id": _header("The rollout: what feedback is about."),
    "x-gepa-candidate-id": _header("The candidate that served it."),
    "x-correlation-id": _header("The conversation; the same as the rollout."),
    "x-sidecar-mode": _header(
        f"How it was served: {'; '.join(f'`{mode}` {words}' for mode, words in _MODES.items())}.",
        text(enum=[str(mode) for mode in Mode]),
    ),
    "x-feedback-token": _header(
        "What a page may send feedback with in place of a key; only with `feedback.tokens`."
    ),
    "x-sidecar-reason": _header("Why it was not served as it should have been; else absent."),
}

_ANSWER = {JSON: ref("ChatCompletion"), "text/event-stream": anything("With `stream`.")}

_CONVERSATION = Parameter(
    "x-correlation-id",
    "header",
    "The conversation, if the application names it (`gateway.correlation_header`).",
    ref("CorrelationId"),
)
_CID = query("cid", "The rollout's correlation, where the path names none.", ref("CorrelationId"))


def _replies(*refused: int, keyed: bool = True) -> dict[int | str, Reply]:
    replies = {
        200: Reply("The provider's answer.", _ANSWER, _SYSTEMS),
        **MODEL.replies(None, 502, 503, 504, *refused, keyed=keyed),
    }
    return replies | {"default": Reply("Whatever else the provider answered.")}


def _on_session(form: str, name: str, summary: str, description: str = "") -> Operation:
    return Operation(
        "POST",
        f"{_SESSION}{form}/chat/completions",
        name,
        summary,
        _replies(400, 404, 413),
        description,
        (_CONVERSATION,),
        Body(ref("ChatRequest"), _EXAMPLE),
        Key.PROXY,
    )


def _on_trial(form: str, name: str, summary: str, *parameters: Parameter) -> Operation:
    return Operation(
        "POST",
        f"{_TRIAL}{form}/chat/completions",
        name,
        summary,
        _replies(400, 404, 413, keyed=False),
        "The prompt on trial takes the place of the job's. 404 once the rollout is over.",
        parameters,
        Body(ref("ChatRequest"), _EXAMPLE),
        Key.NONE,
    )


_OPERATIONS = (
    Operation(
        "POST",
        "/v1/chat/completions",
        "create_chat_completion",
        "A chat completion, served by the session that the configured routes say",
        _replies(),
        "Without such a session it passes through untouched.",
        (_CONVERSATION,),
        Body(ref("ChatRequest"), _EXAMPLE),
        Key.PROXY,
    ),
    _on_session("", "call_session", "A chat completion of a session"),
    _on_session(
        "/{correlation_id}", "call_conversation", "A chat completion of a session's conversation"
    ),
    _on_session(
        "/{correlation_id}/v1",
        "call_conversation_v1",
        "The same, as OpenAI clients write it",
        "For clients whose base URL ends in `/v1`.",
    ),
    _on_trial("", "call_trial", "A chat completion of an offline job's rollout", _CID),
    _on_trial(
        "/{correlation_id}", "call_trial_conversation", "The same, with the rollout's correlation"
    ),
    _on_trial(
        "/{correlation_id}/v1",
        "call_trial_conversation_v1",
        "The same, as OpenAI clients write it",
        _CID,
    ),
)

GROUP = Group(
    "Model calls",
    "What an application sends here instead of to its provider, with the provider's answer. "
    "Everything else under `/v1/`, whatever the method, passes through to the provider byte for "
    "byte, with the provider's own answer. On `/v1` the `Authorization` header is the provider's; "
    "on session URLs it may be left out, unless `server.require_proxy_key` asks for a key of ours.",
    _OPERATIONS,
)
