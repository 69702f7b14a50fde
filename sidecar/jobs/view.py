"""Jobs as the published API shows them (wire contract, sections 8 and 9): what every job has, and
what a policy job found. Those of evals are in `eval_view.py`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sidecar.core.job import JobEvent, JobRecord, JobState, JobStatus

BEST = "candidate.new_best"
STEPS = ("generation.completed", "iteration.completed")
"""The events that the history of a policy job is made of."""
MEASURED = (BEST, "candidate.evaluated", "seed.completed")
"""The events that hold a point of the metrics."""

_BEST_SCORE = ("best_score", "best_reward", "outcome_reward")
_POINTS = {
    BEST: ("best_reward", _BEST_SCORE),
    "candidate.evaluated": ("reward", ("val_accuracy", "train_accuracy")),
    "seed.completed": ("reward", ("reward",)),
}
"""What a point is called and which field it is, by the event it comes from."""


def time_of(at: float | None) -> str | None:
    """Unix seconds as ISO 8601; None for none."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()


def event_view(record: JobRecord, event: JobEvent) -> dict[str, Any]:
    """An event, as the list and the stream show it."""
    return {
        "seq": event.seq,
        "type": event.type,
        "message": event.message,
        "data": event.data,
        "created_at": time_of(event.at),
        "job_id": record.job_id,
        "level": "error" if event.type.endswith(".job.failed") else "info",
    }


def common_view(record: JobRecord, state: JobState, status: str) -> dict[str, Any]:
    """What the status of any job says; `status` is the word for it."""
    return {
        "job_id": record.job_id,
        "status": status,
        "error": state.error or None,
        "created_at": time_of(record.created_at),
        "started_at": time_of(state.started_at),
        "completed_at": time_of(state.finished_at),
        "progress": state.progress,
    }


def policy_view(record: JobRecord, state: JobState, best: JobEvent | None) -> dict[str, Any]:
    """The status of a policy job: what it found once it has succeeded, else the best so far
    (`best`: the newest such event)."""
    found = state.result if state.status is JobStatus.SUCCEEDED else best.data if best else {}
    shown = dict(found) if state.status is JobStatus.SUCCEEDED else {}
    score, prompt = _first_number(found, _BEST_SCORE), found.get("best_prompt")
    if score is not None:
        shown |= {"best_score": score, "best_reward": score}
    if prompt is not None:
        shown |= {"best_prompt": prompt, "best_candidate": found.get("best_candidate", prompt)}
    iteration = _first_number(state.progress, ("iteration", "generation"))
    if iteration is not None:
        shown["iteration"] = iteration
    return {
        **shown,
        **common_view(record, state, state.status.value),
        "algorithm": record.algorithm,
        "mode": "offline",
        "metadata": {**record.metadata, "algorithm": record.algorithm},
    }


def history(events: Sequence[JobEvent]) -> list[dict[str, Any]]:
    """The best reward after each generation, from events of the types `STEPS`."""
    found = []
    for number, event in enumerate(events, 1):
        step = _first_number(event.data, ("generation", "iteration"))
        reward = _first_number(event.data, _BEST_SCORE)
        found.append({"generation": number if step is None else step, "best_reward": reward})
    return found


def points(record: JobRecord, events: Sequence[JobEvent]) -> list[dict[str, Any]]:
    """The metrics, from events of the types `MEASURED`."""
    found = []
    for event in events:
        name, fields = _POINTS[event.type.removeprefix(record.family + ".")]
        value = _first_number(event.data, fields)
        if value is not None:
            at = time_of(event.at)
            found.append({"name": name, "value": value, "step": event.seq, "created_at": at})
    return found


def workflow_view(record: JobRecord, state: JobState, status: str) -> dict[str, Any]:
    """Where a job stands, for a workflow query; `status` is the word for it."""
    workflow = {
        "job_id": record.job_id,
        "run_id": record.job_id,
        "status": status,
        "progress": state.progress,
        "algorithm": record.algorithm or None,
        "error": state.error or None,
    }
    return {"job_id": record.job_id, "workflow_state": workflow, "query_name": "workflow_state"}


def listed_view(record: JobRecord, state: JobState, status: str) -> dict[str, Any]:
    """A job in short."""
    return {
        "job_id": record.job_id,
        "kind": record.kind.value,
        "algorithm": record.algorithm or None,
        "status": status,
        "created_at": time_of(record.created_at),
        "completed_at": time_of(state.finished_at),
    }


def _first_number(data: Mapping[str, Any], names: Sequence[str]) -> float | None:
    for name in names:
        value = data.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
    return None
