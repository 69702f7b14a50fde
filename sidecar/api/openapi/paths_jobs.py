"""Offline jobs: find a better prompt, or score an application, before anybody uses it."""

from dataclasses import dataclass

from sidecar.api.openapi.model import (
    JSON,
    Body,
    Group,
    Operation,
    Parameter,
    Reply,
    anything,
    boolean,
    integer,
    ref,
    text,
)
from sidecar.api.openapi.parameters import limit, query
from sidecar.api.openapi.replies import DETAIL, REQUEST_ID, done
from sidecar.api.openapi.schemas_job_config import EXAMPLES

_SINCE = query("since_seq", "Those after this one.", integer(minimum=0, maximum=10**12, default=0))
_LAST = Parameter(
    "Last-Event-ID", "header", "The same, of a client that comes back; goes first.", text()
)
_SESSION_PARTS = (
    query("include_events", "Online jobs: with their events.", boolean(default=False)),
    query("include_snapshot", "Online jobs: with their session.", boolean(default=False)),
    query("include_metadata", "Online jobs: with their metadata.", boolean(default=True)),
)
_FILE = Reply(
    "The file.",
    {JSON: anything("One whose name ends so."), "application/octet-stream": anything("Any other.")},
    REQUEST_ID,
)
_STREAM = Reply(
    "Server-sent events; in between, comments as signs of life.",
    {"text/event-stream": ref("StreamedEvent")},
    REQUEST_ID,
)
_TRACES = Reply(
    "A ZIP of `seed_{seed}.json`.", {"application/zip": anything("The ZIP.")}, REQUEST_ID
)
_SUBMIT = {
    algorithm: Body(ref("JobRequest"), {"algorithm": algorithm, "config_body": config})
    for algorithm, config in EXAMPLES.items()
}
_EVAL = Body(
    ref("EvalRequest"),
    {
        "task_app_url": "http://localhost:8001",
        "seeds": [0, 1, 2, 3],
        "policy": {"model": "gpt-4.1-mini"},
    },
)


@dataclass(frozen=True, slots=True)
class _Path:
    """A path where jobs are asked for, and what jobs those are."""

    path: str
    name: str
    """Of one of its jobs, as the operations call it."""
    words: str
    """Behind the summaries, to tell the paths apart; may be empty."""
    job: str
    results: str
    """The schemas of their status and of their results."""
    id: str = "job_id"
    """The parameter."""
    parameters: tuple[Parameter, ...] = ()
    """Of the status."""

    def operations(self) -> tuple[Operation, ...]:
        """All that can be asked of a job."""
        one = f"{self.path}/{{{self.id}}}"
        name, many = self.name, self.name + "s"
        return (
            self._get(self.path, f"list_{many}", "Jobs in short", "JobList", limit(100, 1000)),
            self._get(one, f"get_{name}", "How a job stands", self.job, *self.parameters),
            self._get(
                one + "/results", f"get_{name}_results", "What came of a job so far", self.results
            ),
            self._get(
                one + "/events", f"list_{name}_events", "What happened, oldest first", "JobEvents",
                _SINCE, limit(1000, 100_000),
            ),
            self._get(
                one + "/events/stream", f"stream_{name}_events", "The same, as it happens",
                _STREAM, _SINCE, _LAST,
            ),
            self._get(
                one + "/metrics", f"list_{name}_metrics", "The newest measurements", "JobMetrics",
                limit(100, 1000),
            ),
            self._get(
                one + "/workflow-state", f"get_{name}_workflow", "Where a job stands, in short",
                "WorkflowState",
            ),
            self._get(
                one + "/artifacts", f"list_{name}_artifacts", "The files that a job left",
                "Artifacts",
            ),
            self._get(
                one + "/artifacts/{artifact}", f"get_{name}_artifact", "A file of a job", _FILE
            ),
            self._get(
                one + "/snapshots/{snapshot_id}", f"get_{name}_snapshot",
                "The file `snapshots/{snapshot_id}`", _FILE,
            ),
            self._steer(one),
        )  # fmt: skip

    def submit(self, path: str, name: str, summary: str, body: Body) -> Operation:
        """Whatever makes a job; the answer is its status."""
        return Operation(
            "POST",
            path,
            name,
            summary + self.words,
            DETAIL.replies(done(self.job, "It is kept, and begins when there is room."),
                           400, 404, 413, 503),
            body=body,
        )  # fmt: skip

    def _get(
        self, path: str, name: str, summary: str, answer: str | Reply, *parameters: Parameter
    ) -> Operation:
        reply = done(answer) if isinstance(answer, str) else answer
        refused = (400, 404, 503) if parameters else (404, 503)
        replies = DETAIL.replies(reply, *refused)
        return Operation("GET", path, name, summary + self.words, replies, parameters=parameters)

    def _steer(self, one: str) -> Operation:
        return Operation(
            "POST",
            one + "/{action}",
            f"steer_{self.name}",
            "Cancel, pause or resume a job" + self.words,
            DETAIL.replies(done("Steered"), 400, 404, 413, 503)
            | {409: DETAIL.refusal(409, "The job has ended, so it can be cancelled only.")},
            "Cancelling a job that has ended is no error, but the answer's `status` is `failed`.",
            body=Body(ref("Steering"), {"reason": "enough"}, required=False),
        )


_POLICY = _Path(
    "/api/{optimizer}/online/jobs", "job", "", "Job", "PolicyResults", parameters=_SESSION_PARTS
)
_EVALS = _Path("/api/eval/jobs", "eval", " (eval)", "EvalJob", "EvalResults", "eval_id")
_EITHER = _Path(
    "/api/jobs", "any_job", " (any job)", "AnyJob", "AnyResults", parameters=_SESSION_PARTS
)
_SERVICES = _Path(
    "/api/{service}/jobs", "service_job", " (by service)", "AnyJob",
    "AnyResults", parameters=_SESSION_PARTS,
)  # fmt: skip
_BARE = _Path("/eval/jobs", "bare_eval", " (without `/api`)", "EvalJob", "EvalResults", "eval_id")


def _evals(path: _Path) -> tuple[Operation, ...]:
    one = f"{path.path}/{{{path.id}}}"
    return (
        path.submit(path.path, f"create_{path.name}", "Score an application as it is", _EVAL),
        *path.operations(),
        Operation(
            "GET",
            one + "/traces",
            f"get_{path.name}_traces",
            "What happened in each rollout" + path.words,
            DETAIL.replies(_TRACES, 404, 503),
        ),
    )


JOBS = Group(
    "Policy jobs",
    "An offline job finds a better prompt against a task app; one in online mode is a session, and "
    "says in its metadata which one and where its calls go. Events, status and steering are for "
    "both, all else for offline jobs.",
    (
        _POLICY.submit(_POLICY.path, "create_job", "Find a better prompt", _SUBMIT["gepa"]),
        *_POLICY.operations(),
    ),
)

EVALS = Group("Eval jobs", "Score a task app as it is, on given seeds.", _evals(_EVALS))

OTHERS = Group(
    "Other names of jobs",
    "The same jobs, as older and later clients ask for them. Under `/api/jobs` and its other names "
    "are jobs of either kind.",
    (
        *(
            _POLICY.submit(
                f"/api/jobs/{algorithm}",
                f"create_{algorithm}_job",
                f"Find a better prompt with {algorithm.upper()}",
                body,
            )
            for algorithm, body in _SUBMIT.items()
        ),
        *_EITHER.operations(),
        *_SERVICES.operations(),
        *_evals(_BARE),
    ),
)
