"""Trials: prompts on their way to the task app's calls, and what was heard of those calls.

While a prompt is being evaluated it is registered under a trial id, a secret nobody can guess, and
the task app is handed an address with that id and the rollout's correlation id. Calls that come
there are served with the prompt; what they said and used is noted under the correlation id, in
memory: it goes into the rollout's score, and a rollout that a crash has interrupted is run again.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sidecar.backend.base import Mode, Selection
from sidecar.core.ids import BASELINE
from sidecar.core.job import JobKind, JobRecord
from sidecar.core.prompt import Pattern, Wildcard
from sidecar.core.rollout import Assignment, Turn
from sidecar.errors import NotFound
from sidecar.jobs.base import Prompt

_ANYTHING = Pattern.parse("{prompt}", (Wildcard("prompt", required=False),))
"""Stands for whatever a task app sends, so that it stays as it is."""
_TURNS = 200
"""Calls of a rollout that are kept with their text; the others are counted."""
_SETTLE_SECONDS = 1.0
"""How long a call that is still under way when its rollout has ended is waited for."""


@dataclass(slots=True)
class Heard:
    """What the interceptor has heard of one rollout."""

    turns: list[Turn] = field(default_factory=list)
    calls: int = 0
    matched: int = 0
    """Calls that held the job's prompt, and so were served with the one on trial."""
    usage: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Tokens of input and output, by model."""
    under_way: int = 0
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while no call is under way."""

    @property
    def tokens(self) -> int:
        """Of input and output, all models."""
        return sum(sum(pair) for pair in self.usage.values())


@dataclass(frozen=True, slots=True)
class Trial:
    """A prompt while it is evaluated."""

    trial_id: str
    record: JobRecord
    pattern: Pattern
    """The system prompt that is replaced."""
    prompt: Prompt

    @property
    def is_baseline(self) -> bool:
        """Whether it changes nothing."""
        return self.prompt.text == self.pattern.text and not self.prompt.demos


class Trials:
    """All trials of this process; the optimiser of the interceptor's calls."""

    def __init__(self, base: Callable[[], str]) -> None:
        """`base` is where the sidecar is reached from a task app; asked when it is needed, since
        the port may be known late."""
        self._base = base
        self._open: dict[str, Trial] = {}
        self._heard: dict[str, Heard] = {}

    @contextmanager
    def trial(
        self, record: JobRecord, baseline: Pattern | None, prompt: Prompt | None
    ) -> Iterator[Trial]:
        """Serve this prompt in place of the baseline; without one, serve calls as they are."""
        pattern = baseline if baseline is not None else _ANYTHING
        shown = prompt if baseline is not None and prompt is not None else Prompt(pattern.text)
        trial = Trial("trial_" + os.urandom(16).hex(), record, pattern, shown)
        self._open[trial.trial_id] = trial
        try:
            yield trial
        finally:
            del self._open[trial.trial_id]

    @contextmanager
    def rollout(self, trial: Trial) -> Iterator[tuple[str, str]]:
        """A new correlation id whose calls are noted, and the address to hand out for it."""
        prefix = "trace_" if trial.record.kind is JobKind.POLICY else "eval_"
        correlation = prefix + os.urandom(16).hex()
        self._heard[correlation] = heard = Heard()
        heard.quiet.set()
        try:
            yield correlation, self.url(trial.trial_id, correlation)
        finally:
            del self._heard[correlation]

    def url(self, trial_id: str, correlation: str) -> str:
        """Where the calls of a rollout are sent, without `/chat/completions`."""
        return f"{self._base().rstrip('/')}/api/interceptor/v1/{trial_id}/{correlation}"

    async def heard(self, correlation: str) -> Heard:
        """What was heard of a rollout that has just ended; its last call may still be settling."""
        heard = self._heard[correlation]
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                await heard.quiet.wait()
        except TimeoutError:
            pass  # the task app left a call behind: what is known has to do
        return heard

    # -- the request path -----------------------------------------------------------------------

    def pattern(self, session_id: str) -> Pattern:
        """The prompt to recognise in a trial's calls. Raises `NotFound`."""
        return self._trial(session_id).pattern

    def select(self, session_id: str, correlation_id: str, now: float) -> Selection:
        """What a call of a trial is served with; from here to `note` it is under way."""
        trial = self._trial(session_id)
        heard = self._heard.get(correlation_id)
        if heard is not None:
            heard.calls += 1
            heard.under_way += 1
            heard.quiet.clear()
        candidate = BASELINE if trial.is_baseline else "cand_" + trial.prompt.digest
        return Selection(
            Assignment(session_id, correlation_id, candidate, 1.0, 0, 0, now, weight=0.0),
            trial.pattern,
            trial.prompt.text,
            Mode.BASELINE if trial.is_baseline else Mode.OPTIMIZED,
            None,
            trial.prompt.demos,
            trial.record.algorithm,
        )

    def note(self, turn: Turn, model: str, *, matched: bool) -> None:
        """A call has ended like this."""
        heard = self._heard.get(turn.rollout_id)
        if heard is None:
            return
        heard.under_way -= 1
        if heard.under_way <= 0:
            heard.quiet.set()
        heard.matched += matched
        if len(heard.turns) < _TURNS:
            heard.turns.append(turn)
        before = heard.usage.get(model, (0, 0))
        heard.usage[model] = (before[0] + turn.prompt_tokens, before[1] + turn.completion_tokens)

    def _trial(self, trial_id: str) -> Trial:
        trial = self._open.get(trial_id)
        if trial is None:
            raise NotFound(
                "this sidecar has no such trial: it is over, or its job runs on another one, whose "
                "jobs.interceptor_url does not lead there"
            )
        return trial
