"""Rollouts of the task app, remembered: what a job knows already it does not run again.

A rollout that fails is a score of 0 with its error. Two failures say nothing about a prompt but all
about the task app, and no score comes of them: when it cannot be reached, it is waited for a while;
when it does not take our key, the job has to end.
"""

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from time import perf_counter
from typing import Any, Protocol, TypeVar

from sidecar.core.job import JobEvent, JobRecord
from sidecar.jobs.base import Control, JobFailed, JobLog, Prompt, Score
from sidecar.jobs.keys import task_app_key
from sidecar.jobs.prices import Prices
from sidecar.jobs.rollout import NoReward, request_of, verdict_of
from sidecar.jobs.spec import RolloutSpec
from sidecar.jobs.task_app import TaskApp, TaskAppError, Trouble
from sidecar.jobs.together import all_of
from sidecar.jobs.trials import Heard, Trial, Trials
from sidecar.jobs.watch import Watch, reached
from sidecar.store.base import Secrets

T = TypeVar("T")

PATIENCE_SECONDS = 10.0
"""How long a task app that cannot be reached is waited for."""
_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Between tries to reach it; the last one again and again."""
_AGAIN = frozenset({Trouble.RESET, Trouble.BUSY})
"""Failures that are worth one more try."""
_AGAIN_SECONDS = 0.2
_TEXT = 4000
"""Characters of a question and an answer that a score keeps."""


class Witness(Protocol):
    """Sees a job's rollouts."""

    async def ended(self, score: Score, heard: Heard, answer: Mapping[str, Any]) -> None:
        """A new rollout has ended with this; called before it counts."""

    async def counted(self, score: Score) -> None:
        """A rollout counts, a new one or one that was known."""


class _Nobody:
    async def ended(self, score: Score, heard: Heard, answer: Mapping[str, Any]) -> None: ...

    async def counted(self, score: Score) -> None: ...


@dataclass(frozen=True, slots=True)
class Naming:
    """How a job's rollouts are called in its journal."""

    what: str = "rollout.completed"
    """The type of their events."""
    title: str = "Rollout"


class Evaluators:
    """Makes the evaluators of jobs."""

    def __init__(
        self,
        trials: Trials,
        secrets: Secrets,
        prices: Prices,
        *,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._trials = trials
        self._secrets = secrets
        self._prices = prices
        self._patience = patience

    @asynccontextmanager
    async def open(
        self,
        record: JobRecord,
        spec: RolloutSpec,
        log: JobLog,
        control: Control,
        *,
        naming: Naming | None = None,
        witness: Witness | None = None,
    ) -> "AsyncIterator[TaskEvaluator]":
        """The evaluator of a job, while it runs. Raises `JobFailed` when its key is unusable."""
        key = await task_app_key(self._secrets, record.job_id)
        if not key.isprintable():
            raise JobFailed(
                "The task app's key has line breaks or other characters that cannot be sent: "
                "upload it again without them."
            )
        async with TaskApp.open(spec.url, key, spec.concurrency) as app:
            yield TaskEvaluator(
                app,
                spec,
                trials=self._trials,
                journal=_Journal(record, log, naming or Naming()),
                control=control,
                prices=self._prices,
                witness=witness or _Nobody(),
                patience=self._patience,
            )


class TaskEvaluator:
    """Runs prompts on seeds of a task app."""

    def __init__(
        self,
        app: TaskApp,
        spec: RolloutSpec,
        *,
        trials: Trials,
        journal: "_Journal",
        control: Control,
        prices: Prices,
        witness: Witness,
        patience: float,
    ) -> None:
        self.app = app
        self._spec = spec
        self._trials = trials
        self._journal = journal
        self._control = control
        self._prices = prices
        self._witness = witness
        self._patience = patience
        self._places = asyncio.Semaphore(spec.concurrency)
        self._door = asyncio.Lock()
        self._is_open = False
        self._watch = Watch()

    async def evaluate(
        self, prompt: Prompt | None, seeds: Sequence[int], *, split: str = "train", repeat: int = 0
    ) -> list[Score]:
        """One score for each seed, as `base.Evaluator` has it. Without a prompt, the task app's
        calls go on as they are. `split` only tells rollouts on one seed apart: where the instances
        come from is the job's `env_config`."""
        batch = _Batch(prompt, split, repeat)
        wanted = dict.fromkeys(seeds)
        known = {s: event for s in wanted if (event := self._journal.known(batch.key(s)))}
        scores = {seed: await self._count(event) for seed, event in known.items()}
        missing = [seed for seed in wanted if seed not in known]
        if missing:
            await self._ready()
            with self._trials.trial(self._journal.record, self._spec.baseline, prompt) as trial:
                todo = iter(missing)
                hands = min(len(missing), self._spec.concurrency)
                await all_of([self._work(trial, batch, todo, scores) for _ in range(hands)])
        return [scores[seed] for seed in seeds]

    async def _work(
        self, trial: Trial, batch: "_Batch", todo: Iterator[int], scores: dict[int, Score]
    ) -> None:
        for seed in todo:
            async with self._places:
                scores[seed] = await self._score(trial, batch, seed)

    async def _score(self, trial: Trial, batch: "_Batch", seed: int) -> Score:
        """Run a rollout, have it counted."""
        result = await self._rollout(trial, batch, seed)
        score = self._scored(result, seed)
        heard = result.tries[-1]
        await self._witness.ended(score, heard, result.answer)
        extra = {"reached": reached(self._spec, batch.prompt, heard), "calls": heard.calls}
        return await self._count(await self._journal.add(batch, score, extra))

    async def _count(self, event: JobEvent) -> Score:
        self._watch.see(event)
        score = _score_of(event.data)
        await self._witness.counted(score)
        return score

    async def _rollout(self, trial: Trial, batch: "_Batch", seed: int) -> "_Result":
        """Ask for a rollout, once more when the connection broke."""
        result = _Result()
        while True:
            await self._control.gate()
            with self._trials.rollout(trial) as (correlation, url):
                result.correlation_id = correlation
                request = request_of(
                    self._journal.record,
                    self._spec,
                    batch.prompt,
                    seed=seed,
                    correlation_id=correlation,
                    inference_url=url,
                )
                started = perf_counter()
                trouble = await self._ask(request, result)
                result.latency_ms = (perf_counter() - started) * 1000
                result.tries.append(await self._trials.heard(correlation))
            if trouble not in _AGAIN or len(result.tries) > 1:
                return result
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _ask(self, request: Mapping[str, Any], result: "_Result") -> Trouble | None:
        """Put what comes of a rollout into the result; what kind of failure it was, if it was."""
        result.error, result.answer = "", {}
        try:
            result.answer = await self._patiently(
                lambda: self.app.rollout(request, self._spec.timeout)
            )
            verdict = verdict_of(result.answer)
        except TaskAppError as error:
            result.error = str(error)
            return error.trouble
        except NoReward as error:
            result.error = str(error)
        else:
            result.reward, result.feedback = verdict.reward, verdict.feedback
        return None

    async def _ready(self) -> None:
        """Knock once, so that a whole batch does not run into a closed door. Whether the task app
        is well is for its rollouts to show."""
        async with self._door:
            if self._is_open:
                return
            await self._control.gate()
            with suppress(TaskAppError):
                await self._patiently(self.app.health)
            self._is_open = True

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The result of a call, which is made again while nobody is there. Raises `JobFailed` when
        the task app stays away, or refuses our key twice."""
        loop = asyncio.get_running_loop()
        until, refused, tries = loop.time() + self._patience, 0, 0
        while True:
            pause = _PAUSES[min(tries, len(_PAUSES) - 1)]
            try:
                return await ask()
            except TaskAppError as error:
                refused += error.trouble is Trouble.UNAUTHORISED
                gone = error.trouble is Trouble.UNREACHABLE and loop.time() + pause > until
                if refused > 1 or gone:
                    raise JobFailed(_sentence(error)) from error
                if error.trouble not in {Trouble.UNAUTHORISED, Trouble.UNREACHABLE}:
                    raise
            tries += 1
            await asyncio.sleep(pause)
            await self._control.gate()

    def _scored(self, result: "_Result", seed: int) -> Score:
        asked, replied = _exchange(result.tries[-1])
        usage = [(model, *pair) for heard in result.tries for model, pair in heard.usage.items()]
        return Score(
            seed=seed,
            reward=0.0 if result.error else result.reward,
            error=result.error,
            correlation_id=result.correlation_id,
            latency_ms=round(result.latency_ms, 1),
            tokens=sum(heard.tokens for heard in result.tries),
            cost_usd=round(sum(self._prices.cost(*used) for used in usage), 9),
            asked=asked[:_TEXT],
            replied=replied[:_TEXT],
            feedback=result.feedback,
        )


@dataclass(slots=True)
class _Result:
    """What came of a rollout."""

    tries: list[Heard] = field(default_factory=list)
    correlation_id: str = ""
    latency_ms: float = 0.0
    """Of the last try."""
    reward: float = 0.0
    feedback: str = ""
    error: str = ""
    answer: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Batch:
    """What rollouts that are asked for together have in common."""

    prompt: Prompt | None
    split: str
    repeat: int

    @property
    def digest(self) -> str:
        return self.prompt.digest if self.prompt is not None else "own"

    def key(self, seed: int) -> str:
        """Under which a rollout is known."""
        return f"rollout:{self.digest}:{self.split}:{seed}:{self.repeat}"


class _Journal:
    """The rollouts in a job's journal."""

    def __init__(self, record: JobRecord, log: JobLog, naming: Naming) -> None:
        self.record = record
        self._log = log
        self._naming = naming

    def known(self, key: str) -> JobEvent | None:
        """The event of a rollout that has been run."""
        return self._log.known(key)

    async def add(self, batch: _Batch, score: Score, extra: Mapping[str, Any]) -> JobEvent:
        """Have a rollout count; the event that counts."""
        how = score.error or f"reward {score.reward:.3f}"
        return await self._log.add(
            self._naming.what,
            f"{self._naming.title} of seed {score.seed}: {how}",
            {
                **asdict(score),
                "error": score.error or None,
                "prompt": batch.digest,
                "split": batch.split,
                "repeat": batch.repeat,
                **extra,
            },
            key=batch.key(score.seed),
        )


def _score_of(data: Mapping[str, Any]) -> Score:
    known = {f.name: data[f.name] for f in fields(Score) if f.name in data}
    return Score(**{**known, "error": data["error"] or ""})


def _exchange(heard: Heard) -> tuple[str, str]:
    """What a user wrote first in a rollout, and what was answered last."""
    texts = [text for turn in heard.turns for role, text in turn.request if role == "user"]
    replies = [turn.reply for turn in heard.turns if turn.reply]
    return (texts[0] if texts else ""), (replies[-1] if replies else "")


def _sentence(error: TaskAppError) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + "."
