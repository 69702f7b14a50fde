"""Parameters: those of the paths by name, and what several queries share."""

from sidecar.api.openapi.model import Parameter, integer, ref, text
from sidecar.api.openapi.schemas_common import (
    ARTIFACT,
    CANDIDATE,
    EVAL,
    JOB,
    ROLLOUT,
    SESSION,
    SOURCE,
    TRIAL,
)
from sidecar.api.scope import ALGORITHMS

IN_PATHS = {
    one.name: one
    for one in (
        Parameter(
            "algorithm", "path", "Of the session.", text(enum=list(ALGORITHMS)), ALGORITHMS[0]
        ),
        Parameter("session_id", "path", "The session.", ref("SessionId"), SESSION),
        Parameter("system_id", "path", "The session's id.", ref("SessionId"), SESSION),
        Parameter(
            "correlation_id",
            "path",
            "The conversation. `v1` stands for none: it is what OpenAI clients add.",
            ref("CorrelationId"),
            ROLLOUT,
        ),
        Parameter("candidate_id", "path", "The candidate.", ref("CandidateId"), CANDIDATE),
        Parameter(
            "actor", "path", "As in the events.", text(minLength=1, maxLength=128), "user-17"
        ),
        Parameter(
            "optimizer",
            "path",
            "Either name.",
            text(enum=["policy-optimization", "prompt-learning"]),
            "policy-optimization",
        ),
        Parameter(
            "service", "path", "Either name.", text(enum=["learning", "orchestration"]), "learning"
        ),
        Parameter("job_id", "path", "The job.", ref("JobId"), JOB),
        Parameter("eval_id", "path", "The job.", ref("JobId"), EVAL),
        Parameter(
            "action", "path", "What to do.", text(enum=["cancel", "pause", "resume"]), "cancel"
        ),
        Parameter("artifact", "path", "Its name, slashes and all.", text(minLength=1), ARTIFACT),
        Parameter("snapshot_id", "path", "Its name.", text(minLength=1), "1"),
        Parameter("trial", "path", "The trial: a secret of the rollout.", text(minLength=1), TRIAL),
        Parameter("source", "path", "Its name in the settings.", ref("SourceName"), SOURCE),
        Parameter("file_id", "path", "Any id.", text(minLength=1), "file_1"),
    )
}
"""Every name that stands in a path."""


def query(
    name: str, description: str, schema: dict[str, object], example: object = None
) -> Parameter:
    """An optional parameter of a query."""
    return Parameter(name, "query", description, schema, example)


def limit(default: int, most: int) -> Parameter:
    """How many to answer with."""
    schema = integer(minimum=1, maximum=most, default=default)
    return query("limit", "How many at most.", schema)
