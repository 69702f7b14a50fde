"""The end of a policy job in the published form (wire contract, sections 8.3 and 8.4)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sidecar.core.ids import BASELINE
from sidecar.core.job import JobRecord
from sidecar.jobs.book import Book, Candidate
from sidecar.jobs.estimate import Estimate
from sidecar.jobs.journal import Journal, best_prompt
from sidecar.jobs.policy import PolicyConfig
from sidecar.jobs.winner import Verdict
from sidecar.jobs.work import Work

_Z95 = 1.96
_ATTEMPTS = 500
"""Attempted candidates that are listed."""
_KINDS = ("rollout", "reward", "trace")


async def announce(journal: Journal, verdict: Verdict) -> None:
    """The events about the finalists and the winner."""
    for place, candidate in enumerate(verdict.ranked, 1):
        value = verdict.values[candidate.candidate_id]
        await journal.tell(
            "candidate.evaluated",
            f"{candidate.candidate_id} came in on place {place}",
            {**journal.shown(candidate), **_scores(candidate, value), "rank": place},
            key=f"{candidate.candidate_id}:rank",
        )
        await journal.tell(
            "validation.completed",
            f"place {place}: {value.mean:.3f}",
            {"candidate_id": candidate.candidate_id, **_validated(place, candidate, value)},
            key=str(place),
        )
    await journal.new_best(verdict.winner, verdict.values[verdict.winner.candidate_id], final=True)


def result(record: JobRecord, work: Work, verdict: Verdict, stopped_by: str) -> dict[str, Any]:
    """The data of `job.completed`."""
    config, book, meter = work.config, work.book, work.meter
    value = verdict.values[verdict.winner.candidate_id]
    prompt = best_prompt(config, verdict.winner.prompt)
    score = round(value.mean, 6)
    baseline = verdict.values.get(BASELINE)
    return {
        "best_prompt": prompt,
        "best_candidate": prompt,
        "best_candidate_id": verdict.winner.candidate_id,
        "best_score": score,
        "best_reward": score,
        "best_score_interval": _interval(value),
        "best_score_on_fresh_seeds": verdict.fresh,
        "baseline_score": None if baseline is None else round(baseline.mean, 6),
        "optimized_candidates": [
            _optimized(config, place, candidate, verdict.values)
            for place, candidate in enumerate(verdict.ranked, 1)
        ],
        "attempted_candidates": [_attempted(config, c) for c in list(book)[:_ATTEMPTS]],
        "version_tree": [
            {"candidate_id": c.candidate_id, "version": k, "parent_ids": list(c.parents)}
            for k, c in enumerate(list(book)[:_ATTEMPTS])
        ],
        "validation": [
            _validated(place, c, verdict.values[c.candidate_id])
            for place, c in enumerate(verdict.ranked, 1)
        ],
        "history": book.history,
        "total_rollouts": meter.rollouts,
        "failed_rollouts": meter.failed,
        "trials_tried": book.trials,
        "total_cost_usd": round(meter.cost, 6),
        "total_tokens": meter.tokens,
        "stopped_by": stopped_by,
        "unused_config": list(config.unused),
        **_levers(record, config, book, verdict.winner.candidate_id),
    }


def _scores(candidate: Candidate, value: Estimate) -> dict[str, Any]:
    return {
        "train_accuracy": candidate.search_mean,
        "val_accuracy": candidate.fresh_mean,
        "outcome_reward": round(value.mean, 6),
        "score": {"outcome_reward": round(value.mean, 6)},
    }


def _validated(place: int, candidate: Candidate, value: Estimate) -> dict[str, Any]:
    return {
        "rank": place,
        "outcome_reward": round(value.mean, 6),
        "interval": _interval(value),
        "is_baseline": candidate.candidate_id == BASELINE,
        "rollouts": candidate.fresh_rollouts,
    }


def _optimized(
    config: PolicyConfig, place: int, candidate: Candidate, values: Mapping[str, Estimate]
) -> dict[str, Any]:
    return {
        "rank": place,
        "candidate_id": candidate.candidate_id,
        "is_baseline": candidate.candidate_id == BASELINE,
        "full_text": candidate.prompt.text,
        "pattern": best_prompt(config, candidate.prompt),
        **_scores(candidate, values[candidate.candidate_id]),
    }


def _attempted(config: PolicyConfig, candidate: Candidate) -> dict[str, Any]:
    mean = candidate.trial if candidate.search_mean is None else candidate.search_mean
    return {
        "candidate_id": candidate.candidate_id,
        "parent_ids": list(candidate.parents),
        "kind": candidate.kind,
        "generation": candidate.generation,
        "accepted": bool(candidate.search),
        "outcome_reward": mean,
        "pattern": best_prompt(config, candidate.prompt),
    }


def _interval(value: Estimate) -> list[float]:
    """Of 95%."""
    low, high = value.mean - _Z95 * value.sd, value.mean + _Z95 * value.sd
    return [round(max(0.0, low), 6), round(min(1.0, high), 6)]


def _levers(record: JobRecord, config: PolicyConfig, book: Book, winner: str) -> dict[str, Any]:
    """The one lever is the prompt; a candidate is a version of it, numbered by birth."""
    lever = f"{config.algorithm}.prompt.{record.job_id}"
    versions = {c.candidate_id: k for k, c in enumerate(book)}
    return {
        "lever_summary": {
            "prompt_lever_id": lever,
            "candidate_lever_versions": versions,
            "best_candidate_id": winner,
            "selected_candidate_id": winner,
            "baseline_candidate_id": BASELINE,
            "lever_count": 1,
            "mutation_count": len(versions) - 1,
            "latest_version": len(versions) - 1,
        },
        "lever_versions": {lever: versions[winner]},
        "best_lever_version": versions[winner],
        "sensor_frames": [
            {
                "frame_id": f"frame_{frame.number}",
                "created_at": datetime.fromtimestamp(frame.at, UTC).isoformat(),
                "sensor_count": len(_KINDS) * len(frame.traces),
                "sensor_kinds": list(_KINDS),
                "trace_ids": list(frame.traces),
                "lever_versions": {lever: versions[frame.best]},
            }
            for frame in book.frames
        ],
    }
