"""What the task app says about its task, for proposals that know what they are about."""

from typing import Any

import orjson

from sidecar.jobs.base import Evaluator, JobLog
from sidecar.jobs.evaluator import TaskEvaluator
from sidecar.jobs.policy import PolicyConfig
from sidecar.jobs.task_app import TaskApp, TaskAppError

_KEY = "task.described"
_SEEDS = 3
_MOST = 4000


async def description(evaluator: Evaluator, config: PolicyConfig, log: JobLog) -> str:
    """As text, the same again when the job runs again; empty when it says nothing."""
    known = log.known(_KEY)
    if known is None:
        said = await _ask(evaluator.app, config) if isinstance(evaluator, TaskEvaluator) else ""
        known = await log.add(
            _KEY, "The task app described its task", {"text": said[:_MOST]}, key=_KEY
        )
    return str(known.data["text"])


async def _ask(app: TaskApp, config: PolicyConfig) -> str:
    seeds = (config.reference_seeds or config.train_seeds)[:_SEEDS]
    try:
        info = await app.info()
        examples = await app.task_info(seeds=seeds)
    except TaskAppError:
        return ""
    shown: dict[str, Any] = {"task": info.get("service"), "dataset": info.get("dataset")}
    return orjson.dumps({**shown, "examples": examples}).decode()
