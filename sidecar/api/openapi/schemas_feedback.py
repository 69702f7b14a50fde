"""What users say, and the rewards that could not be counted."""

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
from sidecar.feedback import browser
from sidecar.feedback.intake import Acceptance
from sidecar.feedback.parse import MAX_DETAILS, MAX_EVENTS, MAX_ID, MAX_TEXT

_FOREIGN = text("Visible ASCII.", pattern=f"^[!-~]{{1,{MAX_ID}}}$")
_SAID = ("thumbs", "rating", "score", "correction", "comment", "retract", "retracts")
_ABOUT = ("rollout_id", "completion_id", "correlation_id", "fingerprint", "reply_text")
_RATING = ("value", "min", "max")
_SCORED: dict[str, Json] = {
    "thumbs": {
        "description": "Up (also true, 1) or down (also false, -1).",
        "enum": ["up", "down", True, False, 1, -1, None],
    },
    "rating": nullable(ref("Rating")),
    "score": nullable(number("A number that is in 0..1 already.", minimum=0, maximum=1)),
}


SCHEMAS: dict[str, Json] = {
    "FeedbackEvent": record(
        {
            "rollout_id": nullable(ref("CorrelationId", "What it is about: a rollout …")),
            "correlation_id": nullable(ref("CorrelationId", "… under its other name …")),
            "completion_id": nullable(
                {**_FOREIGN, "description": "… or one answer of it: the provider's `chatcmpl-…`."}
            ),
            "fingerprint": nullable(
                text(
                    "… or the fingerprint of its text: the SHA-256 in hexadecimal of its UTF-8, "
                    "after NFC, with white space made single spaces and none around …",
                    pattern="^[0-9A-Fa-f]{64}$",
                )
            ),
            "reply_text": nullable(text("… or the text itself, which is not kept.")),
            "session_id": nullable(ref("SessionId", "Needed only if ids are not unique.")),
            **_SCORED,
            "correction": nullable(text("A better answer.", maxLength=MAX_TEXT)),
            "comment": nullable(text("In words.", maxLength=MAX_TEXT)),
            "retract": nullable(boolean("Take back what this actor said.")),
            "retracts": nullable({**_FOREIGN, "description": "Take back the event of this id."}),
            "actor": nullable(
                text(
                    "Who said it, printable; a later event of theirs replaces an earlier one.",
                    minLength=1,
                    maxLength=MAX_ID,
                )
            ),
            "event_id": nullable(
                {**_FOREIGN, "description": "Your own id: sent again, it is the same event."}
            ),
            "id": nullable({**_FOREIGN, "description": "The same as `event_id`."}),
            "details": nullable(
                record(
                    {"metric": anything("Its name, as text: what a session's objectives weigh.")},
                    f"Free, {MAX_DETAILS // 1024} KiB at most.",
                )
            ),
        },
        "One statement: what it is about, and one of thumbs, rating or score, or words, or a "
        "retraction, which stands alone.",
        additionalProperties=False,
        allOf=[one_given(*_ABOUT), one_given(*_SAID)],
    ),
    "PageFeedback": record(
        {
            "token": text("The `x-feedback-token` of the answer; no key is needed beside it."),
            **{
                name: nullable(ref(schema, "May stand here if it is the token's own."))
                for name, schema in (
                    ("rollout_id", "CorrelationId"),
                    ("correlation_id", "CorrelationId"),
                    ("session_id", "SessionId"),
                )
            },
            **_SCORED,
            "correction": nullable(text("A better answer.", maxLength=browser.MAX_TEXT)),
            "comment": nullable(text("In words.", maxLength=browser.MAX_TEXT)),
            "retract": nullable(boolean("Take back what was said with this token.")),
        },
        "One statement of a page about the rollout of its token (`feedback.tokens`).",
        require="token",
        additionalProperties=False,
        allOf=[one_given(*browser.SAID)],
    ),
    "Rating": record(
        {name: number() for name in _RATING},
        "A number on its own scale, with `min` < `max`.",
        require=" ".join(_RATING),
        additionalProperties=False,
    ),
    "Feedback": {
        "description": "One event, or an array of them, which is taken as a whole or not at all.",
        "anyOf": [
            ref("FeedbackEvent"),
            ref("PageFeedback"),
            array(ref("FeedbackEvent"), minItems=1, maxItems=MAX_EVENTS),
        ],
    },
    "FeedbackAcknowledgement": record(
        {
            "event_id": text(),
            "feedback_id": text("The same."),
            "status": text(
                "All of them mean: it is stored. `parked` waits for its rollout.",
                enum=[str(word) for word in Acceptance],
            ),
        },
        require="event_id feedback_id status",
    ),
    "FeedbackAnswer": record(
        {
            "events": array(ref("FeedbackAcknowledgement"), "In the order they were sent."),
            "durable": boolean("Whether it survives a crash; false for the memory store."),
            "event_id": text("Of a single event."),
            "feedback_id": text("Of a single event."),
            "status": text("Of a single event."),
        },
        require="events durable",
    ),
    "ActorErased": record(
        {
            "events": integer("How many events of theirs there were.", minimum=0),
            "status": text(enum=["erased"]),
        },
        require="events status",
    ),
    "DeadLetter": record(
        {
            "session_id": ref("SessionId"),
            "rollout_id": ref("CorrelationId"),
            "revision": integer("How many events it was made from.", minimum=1),
            "error": text("Why it was given up."),
            "at": number("Unix seconds."),
        },
        "A reward that could not be delivered.",
        require="session_id rollout_id revision error at",
    ),
    "DeadLetters": record({"dead_letters": array(ref("DeadLetter"))}, require="dead_letters"),
    "TokenRotation": record(
        {"revoke": boolean("Whether the tokens that are out are void at once.", default=False)}
    ),
    "TokensRotated": record(
        {"status": text(enum=["rotated"]), "revoked": boolean()}, require="status revoked"
    ),
    "Replay": record(
        {"session_id": ref("SessionId"), "rollout_id": ref("CorrelationId")},
        require="session_id rollout_id",
    ),
    "Replayed": record(
        {
            "session_id": ref("SessionId"),
            "rollout_id": ref("CorrelationId"),
            "status": text(enum=["replayed"]),
        },
        require="session_id rollout_id status",
    ),
}
