"""The same sessions under the names that the published demos and later clients use."""

from sidecar.api.openapi.model import Body, Group, Operation, integer, or_empty, ref, text
from sidecar.api.openapi.parameters import limit, query
from sidecar.api.openapi.paths_sessions import CORRELATION, REWARD
from sidecar.api.openapi.replies import DETAIL, MODEL, Dialect, done
from sidecar.api.openapi.schemas_common import CANDIDATE, ROLLOUT, SESSION
from sidecar.api.openapi.schemas_config import EXAMPLE

_GEPA = "/api/gepa/v1"
_MIPRO = "/api/prompt-learning/online/mipro/systems"
_STEERED = "/api/v1/online/sessions/{session_id}"
_VERSIONS = {"mipro": "/api/v1/online/sessions", "gepa": "/api/v2/online/sessions"}

_EVENTS = (
    query(
        "since_seq",
        "Those after this one.",
        integer(minimum=0, maximum=1_000_000_000_000, default=0),
    ),
    limit(100, 1000),
)


def _system(algorithm: str, path: str, dialect: Dialect) -> tuple[Operation, ...]:
    one = path + "/{system_id}"
    example = {"status": "done", "rollout_id": ROLLOUT, "candidate_id": CANDIDATE, "reward": 1.0}
    return (
        Operation(
            "POST",
            one + "/status",
            f"report_{algorithm}_rollout",
            f"A rollout's progress, and its reward ({algorithm.upper()})",
            dialect.replies(done("SystemReported"), 400, 404, 409, 413, 503),
            body=Body(ref("SystemReport"), example),
        ),
        Operation(
            "GET",
            one + "/state",
            f"get_{algorithm}_state",
            f"The session's status, with its candidates by id ({algorithm.upper()})",
            dialect.replies(done("SystemState"), 404, 503),
        ),
        Operation(
            "GET",
            one + "/events",
            f"list_{algorithm}_events",
            f"What happened, oldest first ({algorithm.upper()})",
            dialect.replies(done("SystemEvents"), 400, 404, 503),
            "What happened at once has one number and is never torn apart, so an answer may hold "
            "a few more than `limit`.",
            _EVENTS,
        ),
    )


_INIT = Operation(
    "POST",
    _GEPA + "/init",
    "init_gepa_system",
    "Create a session under your own id, or find it (GEPA)",
    MODEL.replies(done("SystemCreated"), 400, 413, 503),
    body=Body(ref("InitSystem"), {"system_id": SESSION, "org_id": "demo", "config": EXAMPLE}),
)


def _online(algorithm: str, path: str) -> tuple[Operation, ...]:
    one, name = path + "/{session_id}", algorithm.upper()
    kind = f"{algorithm}_online"
    section = EXAMPLE["prompt_learning"]
    config = {
        "algorithm": algorithm,
        "initial_prompt": section["initial_prompt"],
        algorithm: section["gepa"],
    }
    example = {"session_id": SESSION, "kind": kind, "config_body": {"prompt_learning": config}}
    return (
        Operation(
            "POST",
            path,
            f"create_online_{algorithm}_session",
            f"Create a {name} session, or find the one of that id",
            DETAIL.replies(done("OnlineSession"), 400, 413, 503),
            f"`kind` is `{kind}` here.",
            body=Body(ref("CreateOnlineSession"), example),
        ),
        Operation(
            "GET",
            one,
            f"get_online_{algorithm}_session",
            f"A {name} session, its candidates and what they earned",
            DETAIL.replies(done("SessionState"), 404, 503),
        ),
        Operation(
            "GET",
            one + "/prompt",
            f"get_online_{algorithm}_prompt_urls",
            f"Where to send a {name} session's calls",
            DETAIL.replies(done("PromptUrls"), 400, 404, 503),
            parameters=(CORRELATION,),
        ),
        Operation(
            "POST",
            one + "/reward",
            f"reward_online_{algorithm}_session",
            f"Give a rollout of a {name} session its reward",
            DETAIL.replies(done("RewardAnswer"), 400, 404, 409, 413, 503),
            body=REWARD,
        ),
    )


_STEER = Operation(
    "PATCH",
    _STEERED,
    "steer_online_session",
    "Pause, resume or cancel a session of either algorithm",
    DETAIL.replies(done("SessionState", "The session after it."), 400, 404, 409, 413, 503),
    body=Body(ref("Steer"), {"state": "paused"}),
)

_CANDIDATES = (
    Operation(
        "GET",
        "/api/v1/systems/{system_id}/candidates",
        "list_candidates",
        "A session's candidates, oldest first",
        DETAIL.replies(done("CandidatePage"), 400, 404, 503),
        "Every candidate comes whole, whatever `include` says.",
        (
            limit(50, 500),
            query("cursor", "The last `next_cursor`.", text()),
            query("status", "Only those.", text(enum=["active", "archived"])),
            query("algorithm", "Only of it.", text()),
            query("mode", "Only of it.", text()),
            query("job_id", "Only of it.", text()),
            query("include", "Not looked at.", text()),
            query("sort", "Only empty: candidates come oldest first.", text(maxLength=0)),
        ),
    ),
    Operation(
        "GET",
        "/api/v1/candidates/{candidate_id}",
        "get_candidate",
        "A candidate with its text and lineage, whichever session it is of",
        DETAIL.replies(done("ExportedCandidate"), 404, 503)
        | {409: DETAIL.refusal(409, "Several sessions have it.")},
        "Every session has a `baseline`, so for that `system_id` must say which.",
        (query("system_id", "The session.", or_empty(ref("SessionId")), SESSION),),
    ),
)

DEMOS = Group(
    "Published demos",
    "Sessions under the names that the public GEPA and MIPRO demos use: a system is a session. The "
    "MIPRO demos make theirs as an online job.",
    (_INIT, *_system("gepa", _GEPA, MODEL), *_system("mipro", _MIPRO, DETAIL)),
)

LATER = Group(
    "Later names",
    "Sessions under the later published paths: version 1 for MIPRO, version 2 for GEPA.",
    (
        *(operation for of, path in _VERSIONS.items() for operation in _online(of, path)),
        _STEER,
        *_CANDIDATES,
    ),
)
