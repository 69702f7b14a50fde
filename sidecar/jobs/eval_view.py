"""Eval jobs as the published API shows them (wire contract, section 9)."""

from collections.abc import Sequence
from typing import Any

from sidecar.core.job import JobEvent, JobRecord, JobState, JobStatus
from sidecar.jobs.view import common_view

SEED = "seed.completed"
"""The events that the results are made of: data `{seed, reward, tokens, cost_usd, latency_ms,
error}`."""

_TOTALS = ("mean_reward", "total_tokens", "total_cost_usd")


def eval_status(state: JobState) -> str:
    """The status word: evals do not succeed, they complete (published clients wait for it)."""
    return "completed" if state.status is JobStatus.SUCCEEDED else state.status.value


def eval_view(record: JobRecord, state: JobState) -> dict[str, Any]:
    """The status of an eval job."""
    progress = state.progress
    results = {
        "completed": progress.get("completed", 0),
        "total": _asked(record),
        **{name: progress.get(name) for name in _TOTALS},
    }
    return {
        **common_view(record, state, eval_status(state)),
        "config": record.config,
        "results": results,
        "metadata": record.metadata,
    }


def eval_results(record: JobRecord, state: JobState, events: Sequence[JobEvent]) -> dict[str, Any]:
    """The results so far, from all events of the type `SEED`; a failed rollout counts as 0."""
    place = {seed: number for number, seed in enumerate(record.config.get("seeds", ()))}
    rows = sorted((_row(event) for event in events), key=lambda row: place.get(row["seed"], 0))
    scores = [row["score"] for row in rows]
    failed = sum(row["error"] is not None for row in rows)
    summary = {
        "mean_reward": sum(scores) / len(scores) if scores else None,
        "total_tokens": sum(row["tokens"] for row in rows),
        "total_cost_usd": sum(row["cost_usd"] for row in rows),
        "num_seeds": _asked(record),
        "num_successful": len(rows) - failed,
        "num_failed": failed,
    }
    return {
        "job_id": record.job_id,
        "status": eval_status(state),
        "error": state.error or None,
        "summary": summary,
        "results": rows,
    }


def _row(event: JobEvent) -> dict[str, Any]:
    data = event.data
    return {
        "seed": data.get("seed"),
        "score": data.get("reward", 0.0),
        "tokens": data.get("tokens", 0),
        "cost_usd": data.get("cost_usd", 0.0),
        "latency_ms": data.get("latency_ms", 0.0),
        "error": data.get("error") or None,
    }


def _asked(record: JobRecord) -> int:
    return len(record.config.get("seeds", ()))
