"""A sidecar with two jobs that have run, and in which no job ever calls anybody."""

import time
from collections.abc import Mapping
from typing import Any

from sidecar.core.job import JobKind, JobRecord, JobStatus
from sidecar.core.prompt import Pattern
from sidecar.jobs import eval_config
from sidecar.jobs.base import Control, JobFailed, JobLog, Prompt
from sidecar.jobs.run_policy import PolicyRunner
from sidecar.jobs.trials import Trial
from support.job_api import scoring
from support.jobs import reached
from support.policy_jobs import (
    BASELINE,
    Bill,
    PolicyJob,
    SimulatedEvaluators,
    SimulatedReflection,
    World,
    body,
    gepa,
)
from support.whole import Whole

_SMALL = gepa(
    evaluation={"seeds": list(range(10)), "validation_seeds": list(range(100, 106))},
    rollout={"budget": 50, "minibatch_size": 3},
    population={"initial_size": 3, "num_generations": 2, "children_per_generation": 2},
)


async def finish_jobs(ours: Whole, job_id: str, eval_id: str, trial_id: str) -> None:
    """A policy job and an eval that have succeeded and left files, and a trial under way. Jobs that
    are submitted afterwards fail without having called the task app that they name."""
    jobs, store = ours.sidecar.jobs, ours.sidecar.store
    policy = PolicyJob(body("gepa", _SMALL), job_id=job_id).record
    evaluation = JobRecord(
        eval_id, JobKind.EVAL, "", eval_config.parse(scoring()).dump(), time.time()
    )
    jobs.runs.runners = {JobKind.POLICY: _policy(job_id), JobKind.EVAL: _evaluation(eval_id)}
    for record in (policy, evaluation):
        await jobs.submit(record)
        await reached(jobs, record.job_id, JobStatus.SUCCEEDED)
        for name in ("traces/seed_1.json", "snapshots/1"):
            await store.keep_artifact(record.job_id, name, b'{"seed": 1}')
    trial = Trial(trial_id, policy, Pattern.parse(BASELINE), Prompt("Sort them."))
    ours.sidecar.trials._open[trial_id] = trial


def _policy(job_id: str) -> Any:
    """The program itself, on a simulated task."""
    bill = Bill()
    world = World(salt=job_id)
    runner = PolicyRunner(SimulatedEvaluators(world, bill), SimulatedReflection(bill))

    async def run(record: JobRecord, log: JobLog, control: Control) -> Mapping[str, Any]:
        _refuse_others(record, job_id)
        return await runner(record, log, control)

    return run


def _evaluation(eval_id: str) -> Any:
    async def run(record: JobRecord, log: JobLog, control: Control) -> Mapping[str, Any]:
        del control
        _refuse_others(record, eval_id)
        for seed in record.config["seeds"]:
            error = "the task app answered 500" if seed == 2 else ""
            row = {"seed": seed, "reward": 0.0 if error else 0.5, "error": error}
            cost = {"tokens": 7, "cost_usd": 0.25, "latency_ms": 12.5}
            await log.add("seed.completed", f"Seed {seed}", row | cost, key=f"seed:{seed}")
        totals = {"mean_reward": 1 / 3, "total_tokens": 21, "total_cost_usd": 0.75}
        progress = {"completed": 3, "total": 3, **totals}
        await log.add("progress", "3 of 3 seeds", progress, key="progress:3")
        return totals

    return run


def _refuse_others(record: JobRecord, job_id: str) -> None:
    if record.job_id != job_id:
        raise JobFailed("No job calls anybody here.")
