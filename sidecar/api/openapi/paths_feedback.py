"""Feedback from users, and what could not be counted of it."""

from sidecar.api.feedback import LISTED, MOST_LISTED
from sidecar.api.openapi.model import Body, Group, Key, Operation, Reply, ref
from sidecar.api.openapi.parameters import limit
from sidecar.api.openapi.replies import DETAILS, REQUEST_ID, done
from sidecar.api.openapi.schemas_common import ROLLOUT, SESSION

_OPERATIONS = (
    Operation(
        "POST",
        "/feedback",
        "send_feedback",
        "Say what users thought of an answer",
        DETAILS.replies(
            done("FeedbackAnswer", "Stored, all of it."), 400, 413, 422, 503, status=202
        )
        | {
            403: DETAILS.refusal(403, "The token is for another rollout."),
            409: DETAILS.refusal(409, "An event of that id came before, with other content."),
            429: DETAILS.refusal(429, "A page has changed its mind too often."),
        },
        "Each event says what it is about and what was said. A page sends a `token` in place of a "
        "key (`feedback.tokens`).",
        body=Body(ref("Feedback"), {"rollout_id": ROLLOUT, "thumbs": "up", "comment": "Thanks!"}),
    ),
    Operation(
        "POST",
        "/feedback/{source}",
        "receive_webhook",
        "Take the webhook of another product",
        DETAILS.replies(
            done("FeedbackAnswer", "Verified, and stored, all of it."),
            *(400, 404, 413, 415, 422, 503),
            status=202,
            keyed=False,
        )
        | {
            200: Reply("Verified; what this product wants to hear.", {"*/*": {}}, REQUEST_ID),
            401: DETAILS.refusal(401, "The signature is missing, does not fit or is too old."),
            409: DETAILS.refusal(409, "An event of that id came before, with other content."),
        },
        "The source's signature takes the place of a key. What the body holds is the product's "
        "business; for the kind `generic` it is what `/feedback` takes.",
        body=Body({}, {"rollout_id": ROLLOUT, "thumbs": "up"}),
        key=Key.NONE,
    ),
    Operation(
        "POST",
        "/feedback/tokens/rotate",
        "rotate_feedback_tokens",
        "Sign feedback tokens with a new key",
        DETAILS.replies(done("TokensRotated", "From now on."), 400, 413, 503)
        | {404: DETAILS.refusal(404, "There are no feedback tokens (`feedback.tokens`).")},
        body=Body(ref("TokenRotation"), {"revoke": False}, required=False),
    ),
    Operation(
        "DELETE",
        "/feedback/actors/{actor}",
        "erase_actor",
        "Forget a user: what they wrote, and what it did",
        DETAILS.replies(done("ActorErased"), 404, 503),
        "Their words and their name are blanked in the store, and what they said is taken back: "
        "the rewards concerned are counted anew without it. May be called again.",
    ),
    Operation(
        "GET",
        "/feedback/dead-letters",
        "list_dead_letters",
        "Rewards that were given up, oldest first",
        DETAILS.replies(done("DeadLetters"), 400, 503),
        parameters=(limit(LISTED, MOST_LISTED),),
    ),
    Operation(
        "POST",
        "/feedback/dead-letters/replay",
        "replay_dead_letter",
        "Try one of them again",
        DETAILS.replies(done("Replayed", "It will be."), 400, 404, 413, 422, 503, status=202),
        body=Body(ref("Replay"), {"session_id": SESSION, "rollout_id": ROLLOUT}),
    ),
)

GROUP = Group("Feedback", "Rewards by another way: whatever users say, as it comes.", _OPERATIONS)
