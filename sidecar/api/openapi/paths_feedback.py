"""Feedback from users, and what could not be counted of it."""

from sidecar.api.feedback import LISTED, MOST_LISTED
from sidecar.api.openapi.model import Body, Group, Operation, ref
from sidecar.api.openapi.parameters import limit
from sidecar.api.openapi.replies import DETAILS, done
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
        | {409: DETAILS.refusal(409, "An event of that id came before, with other content.")},
        "Each event says what it is about and what was said.",
        body=Body(ref("Feedback"), {"rollout_id": ROLLOUT, "thumbs": "up", "comment": "Thanks!"}),
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
