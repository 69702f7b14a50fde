"""Runs a policy job: search, then a winner whose score is honest.

The program is deterministic over its journal: rollouts and texts are found there when it runs
again, so a job that was killed ends with the same winner and pays for nothing twice.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from hashlib import sha256
from typing import Any, Protocol

from sidecar.core.job import JobRecord
from sidecar.engine.config import Proposer
from sidecar.engine.propose import Reflection
from sidecar.jobs.base import Control, Evaluator, JobLog, Prompt
from sidecar.jobs.book import Book
from sidecar.jobs.drafts import Drafts
from sidecar.jobs.gepa_offline import GepaSearch
from sidecar.jobs.grounding import description
from sidecar.jobs.journal import Journal
from sidecar.jobs.meter import Meter
from sidecar.jobs.mipro_offline import MiproSearch
from sidecar.jobs.mipro_propose import Proposals
from sidecar.jobs.policy import GEPA, PolicyConfig
from sidecar.jobs.policy_report import announce, result
from sidecar.jobs.spec import RolloutSpec
from sidecar.jobs.winner import Final, reserve
from sidecar.jobs.work import Work
from sidecar.jobs.writer import ReflectionWriter

_SEARCH_SHARE = 0.75
"""Part of the limits on cost, tokens and time that the search may spend."""


class Evaluators(Protocol):
    """Where evaluators come from."""

    def open(
        self, record: JobRecord, spec: RolloutSpec, log: JobLog, control: Control
    ) -> AbstractAsyncContextManager[Evaluator]:
        """An evaluator for a job, as long as it is needed."""


class PolicyRunner:
    """Runs policy jobs."""

    def __init__(
        self,
        evaluators: Evaluators,
        reflection: Reflection,
        proposer_key: Callable[[str], Awaitable[str]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        rollout_seconds: float = 600.0,
    ) -> None:
        """`proposer_key` finds the reflection model's key that came with a job, by the job's id;
        `clock` counts the seconds that a job may run; a rollout may take `rollout_seconds`."""
        self._evaluators = evaluators
        self._reflection = reflection
        self._proposer_key = proposer_key
        self._clock = clock
        self._rollout_seconds = rollout_seconds

    async def __call__(self, record: JobRecord, log: JobLog, control: Control) -> Mapping[str, Any]:
        """The data of the job's `job.completed`. Raises `JobCancelled` and `JobFailed`."""
        config = PolicyConfig.load(record.config)
        writer = ReflectionWriter(
            self._reflection, await self._proposer(record, config), log, control
        )
        spec = replace(config.spec(), timeout=self._rollout_seconds)
        async with self._evaluators.open(record, spec, log, control) as evaluator:
            meter = Meter(evaluator, config.limits, log, control, self._clock)
            job = _PolicyJob(record, config, log, meter, Drafts(writer, config))
            return await job.run(evaluator)

    async def _proposer(self, record: JobRecord, config: PolicyConfig) -> Proposer:
        key = await self._proposer_key(record.job_id) if self._proposer_key else ""
        return replace(config.proposer, api_key=key)


class _PolicyJob:
    """One run of the program."""

    def __init__(
        self, record: JobRecord, config: PolicyConfig, log: JobLog, meter: Meter, drafts: Drafts
    ) -> None:
        book = Book(Prompt(config.baseline))
        journal = Journal(config, log, book, meter)
        self._record = record
        self._log = log
        self._drafts = drafts
        self._work = Work(config, meter, book, journal, _seed(record, config))

    async def run(self, evaluator: Evaluator) -> dict[str, Any]:
        """To the end."""
        meter, journal = self._work.meter, self._work.journal
        meter.held_back, meter.share = reserve(self._work.config), _SEARCH_SHARE
        search = await self._search(evaluator)
        await search.run()
        meter.held_back, meter.share = 0, 1.0
        await journal.phase("validation", "Scoring the finalists on fresh seeds")
        verdict = await Final(self._work).decide()
        await announce(journal, verdict)
        done = result(self._record, self._work, verdict, search.stopped_by)
        if isinstance(search, MiproSearch):
            done["best_full_score"] = done["best_score"]
            done["best_minibatch_score"] = round(search.best_minibatch, 6)
        return done

    async def _search(self, evaluator: Evaluator) -> GepaSearch | MiproSearch:
        work = self._work
        if work.config.algorithm == GEPA:
            await work.journal.phase("search", "Evolving the prompt")
            return GepaSearch(work, self._drafts)
        text = await description(evaluator, work.config, self._log)
        return MiproSearch(work, Proposals(self._drafts, text, work.seed))


def _seed(record: JobRecord, config: PolicyConfig) -> int:
    """Of all that is random in the job: the owner's, or one of the job's own."""
    if config.rng_seed is not None:
        return config.rng_seed
    return int.from_bytes(sha256(record.job_id.encode()).digest()[:4], "big")
