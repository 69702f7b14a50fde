"""Sessions: create, look at, reward, steer, export."""

from sidecar.api.openapi.model import Body, Group, Operation, or_empty, ref
from sidecar.api.openapi.parameters import query
from sidecar.api.openapi.replies import DETAIL, done
from sidecar.api.openapi.schemas_common import CANDIDATE, ROLLOUT, SESSION
from sidecar.api.openapi.schemas_config import EXAMPLE

_ALL = "/api/prompt-learning/online/{algorithm}/sessions"
_ONE = _ALL + "/{session_id}"

CREATE = Body(ref("CreateSession"), {"session_id": SESSION, "config_body": EXAMPLE, "metadata": {}})
REWARD = Body(
    ref("RewardRequest"),
    {"rollout_id": ROLLOUT, "reward_info": {"score": 0.85, "feedback": "Too long."}},
)
_ANY_OBJECT = Body({"type": "object"}, {}, required=False)

_COMMANDS = {
    "pause": ("Pause: propose no more, while calls and rewards go on", ""),
    "resume": ("Resume: propose again", ""),
    "cancel": (
        "Cancel: end the session for good",
        "Its calls are served with the baseline from now on. It cannot be resumed.",
    ),
    "complete": (
        "Complete: end the session with its winner",
        "Its calls are served with the best proven prompt from now on. It cannot be resumed.",
    ),
    "unpin": ("Unpin: let the evidence choose again", ""),
    "rollback": (
        "Roll back: serve the baseline by default again",
        "What was promoted loses its place and has to prove itself anew.",
    ),
    "release": (
        "Release: count the feedback of newcomers that is held back",
        "It is 409 when none is. Look at `influence.quarantine` in the status first.",
    ),
}

_JUDGEMENTS = {
    "pin": ("Pin: serve one candidate, whatever the evidence", "Until it is unpinned."),
    "approve": (
        "Approve: let a proven candidate serve by default",
        "One that stands in the status under `safety.awaiting`, with what it changes.",
    ),
    "retire": (
        "Retire: have done with one candidate",
        "Not the one that serves by default: that is rolled back.",
    ),
}

CORRELATION = query(
    "correlation_id",
    "A conversation that the URLs are to hold.",
    or_empty(ref("CorrelationId")),
    ROLLOUT,
)


def _command(action: str, summary: str, description: str) -> Operation:
    return Operation(
        "POST",
        f"{_ONE}/{action}",
        f"{action}_session",
        summary,
        DETAIL.replies(done("SessionState", "The session after it."), 400, 404, 409, 413, 503),
        description,
        body=_ANY_OBJECT,
    )


def _judgement(action: str, summary: str, description: str) -> Operation:
    return Operation(
        "POST",
        f"{_ONE}/{action}",
        f"{action}_candidate",
        summary,
        DETAIL.replies(done("SessionState", "The session after it."), 400, 404, 409, 413, 503),
        description,
        body=Body(ref("Pin"), {"candidate_id": CANDIDATE}),
    )


_OPERATIONS = (
    Operation(
        "POST",
        _ALL,
        "create_session",
        "Create a session, or find the one of that id",
        DETAIL.replies(done("CreatedSession", "The session."), 400, 404, 413, 503),
        "An existing session keeps the config that it has. `session_id` must not be `v1`.",
        body=CREATE,
    ),
    Operation(
        "GET",
        _ALL,
        "list_sessions",
        "All sessions of the algorithm",
        DETAIL.replies(done("Sessions"), 404, 503),
    ),
    Operation(
        "GET",
        _ONE,
        "get_session",
        "A session, its candidates and what they earned",
        DETAIL.replies(done("SessionState"), 404, 503),
    ),
    Operation(
        "GET",
        _ONE + "/prompt",
        "get_prompt_urls",
        "Where to send the session's calls",
        DETAIL.replies(done("PromptUrls"), 400, 404, 503),
        parameters=(CORRELATION,),
    ),
    Operation(
        "POST",
        _ONE + "/reward",
        "reward_session",
        "Give a rollout its reward",
        DETAIL.replies(
            done("RewardAnswer", "It is counted, and shows in the status."),
            *(400, 404, 409, 413, 503),
        ),
        "The same request sent again right away is the same reward, as long as it names the "
        "rollout. A later one for the same rollout takes its place.",
        body=REWARD,
    ),
    Operation(
        "GET",
        _ONE + "/export",
        "export_prompt",
        "Export: a prompt to keep",
        DETAIL.replies(done("Export"), 404, 503),
        "The best one that is proven, unless another is named.",
        parameters=(query("candidate_id", "Which one.", or_empty(ref("CandidateId")), CANDIDATE),),
    ),
    *(_judgement(action, *words) for action, words in _JUDGEMENTS.items()),
    *(_command(action, *words) for action, words in _COMMANDS.items()),
)

GROUP = Group(
    "Sessions", "A session is one prompt of an application that is being made better.", _OPERATIONS
)
