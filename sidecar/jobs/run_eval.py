"""Eval jobs: score the task app as it is, on given seeds."""

import json
from collections.abc import Mapping
from typing import Any

import orjson

from sidecar.core.job import JobRecord
from sidecar.core.rollout import Turn
from sidecar.jobs.base import Control, JobFailed, JobLog, Score
from sidecar.jobs.eval_config import EvalConfig
from sidecar.jobs.evaluator import Evaluators, Naming
from sidecar.jobs.trials import Heard

_NAMING = Naming("seed.completed", "Evaluation")
_REPORTS = 100
"""Most events of progress that a job writes."""
_TRACE_BYTES = 4 * 1024 * 1024
"""Larger traces are kept without what the task app returned."""


class EvalRunner:
    """Runs eval jobs."""

    def __init__(self, evaluators: Evaluators) -> None:
        self._evaluators = evaluators

    async def __call__(self, record: JobRecord, log: JobLog, control: Control) -> dict[str, Any]:
        """Run a job; its summary. Raises `JobFailed` when not one rollout was worth anything."""
        config = EvalConfig.load(record.config)
        witness = _Witness(log, len(config.seeds))
        async with self._evaluators.open(
            record, config.spec(), log, control, naming=_NAMING, witness=witness
        ) as evaluator:
            scores = await evaluator.evaluate(None, config.seeds, split="eval")
        failed = [score for score in scores if score.error]
        if len(failed) == len(scores):
            raise JobFailed(
                f"All {len(failed)} rollouts failed, the last one because {failed[-1].error}"
            )
        return {
            **witness.summary(),
            "num_seeds": len(scores),
            "num_successful": len(scores) - len(failed),
            "num_failed": len(failed),
        }


class _Witness:
    """Keeps the traces of an eval job, and reports its progress."""

    def __init__(self, log: JobLog, total: int) -> None:
        self._log = log
        self._total = total
        self._every = -(-total // _REPORTS)
        self._count = 0
        self._rewards = 0.0
        self._tokens = 0
        self._cost = 0.0

    async def ended(self, score: Score, heard: Heard, answer: Mapping[str, Any]) -> None:
        """Keep the trace: a seed that counts has one."""
        content = _trace(self._log.record.job_id, score, heard, answer)
        await self._log.keep(f"traces/seed_{score.seed}.json", content)

    async def counted(self, score: Score) -> None:
        """Add it up."""
        self._count += 1
        self._rewards += score.reward
        self._tokens += score.tokens
        self._cost += score.cost_usd
        if self._count % self._every == 0 or self._count == self._total:
            await self._log.add(
                "progress",
                f"{self._count} of {self._total} seeds",
                {"completed": self._count, "total": self._total, **self.summary()},
                key=f"progress:{self._count}",
            )

    def summary(self) -> dict[str, Any]:
        """Of what counts so far; a failed rollout counts as 0."""
        return {
            "mean_reward": self._rewards / self._count if self._count else None,
            "total_tokens": self._tokens,
            "total_cost_usd": round(self._cost, 9),
        }


def _trace(job_id: str, score: Score, heard: Heard, answer: Mapping[str, Any]) -> bytes:
    """A rollout as it went: our side of it, and what the task app returned."""
    trace = {
        "job_id": job_id,
        "seed": score.seed,
        "correlation_id": score.correlation_id,
        "reward": None if score.error else score.reward,
        "error": score.error or None,
        "feedback": score.feedback or None,
        "latency_ms": score.latency_ms,
        "tokens": score.tokens,
        "cost_usd": score.cost_usd,
        "calls": [_call(turn) for turn in heard.turns],
        "rollout": answer or None,
    }
    content = _json(trace)
    return content if len(content) <= _TRACE_BYTES else _json({**trace, "rollout": "too large"})


def _call(turn: Turn) -> dict[str, Any]:
    return {
        "started_at": turn.started_at,
        "seconds": turn.duration,
        "status": turn.status,
        "outcome": turn.outcome.value,
        "completion_id": turn.completion_id,
        "messages": [{"role": role, "content": text} for role, text in turn.request],
        "reply": turn.reply,
        "prompt_tokens": turn.prompt_tokens,
        "completion_tokens": turn.completion_tokens,
    }


def _json(value: Any) -> bytes:
    """Also what was read leniently: whole numbers of any size, lone surrogates, deep nesting."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value).encode()
