"""What a running job has in its hands: a journal that remembers, and a switch that stops it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol
from uuid import uuid4

import orjson

from sidecar.core.job import JobEvent, JobRecord
from sidecar.core.prompt import Demo
from sidecar.store.base import Jobs


class JobCancelled(Exception):
    """Raised inside a job that was cancelled; the supervisor ends it."""


class JobFailed(Exception):
    """A job cannot go on; the text says why and what to do, and is shown to its owner."""


class Control:
    """Cancelling and pausing, as the job sees them."""

    def __init__(self) -> None:
        self._cancelled = False
        self._going = asyncio.Event()
        self._going.set()

    def cancel(self) -> None:
        """Have the job end at its next gate."""
        self._cancelled = True
        self._going.set()

    def pause(self) -> None:
        """Have the job wait at its next gate."""
        if not self._cancelled:
            self._going.clear()

    def resume(self) -> None:
        """Let it go on."""
        self._going.set()

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled

    async def gate(self) -> None:
        """Pass while the job may go on; wait while it is paused. Raises `JobCancelled`. To be
        passed before every effect that costs something."""
        await self._going.wait()
        if self._cancelled:
            raise JobCancelled


class JobLog:
    """The journal of one job: what is added is stored before it counts, and a key that is known
    is not added again but found."""

    def __init__(self, record: JobRecord, store: Jobs, clock: Callable[[], float]) -> None:
        self.record = record
        self._store = store
        self._clock = clock
        self._by_key: dict[str, JobEvent] = {}
        self._listeners: list[Callable[[JobEvent], None]] = []

    async def restore(self) -> list[JobEvent]:
        """Read the journal from the store; all events so far, oldest first."""
        events: list[JobEvent] = []
        while page := await self._store.job_events(
            self.record.job_id, events[-1].seq if events else 0, 1000
        ):
            events += page
        self._by_key = {event.key: event for event in events}
        return events

    def known(self, key: str) -> JobEvent | None:
        """The event under this key, if it has happened."""
        return self._by_key.get(key)

    async def add(
        self, what: str, message: str, data: Mapping[str, Any], *, key: str | None = None
    ) -> JobEvent:
        """Append `{family}.{what}` and return it with its number; the event that has the key
        already, if one has. Without a key it is always new."""
        if key is not None and (old := self._by_key.get(key)) is not None:
            return old
        own = key or f"{what}:{uuid4().hex}"
        event = JobEvent(own, f"{self.record.family}.{what}", message, data, self._clock())
        appended = await self._store.append_events(self.record.job_id, [event])
        stored = appended[0] if appended else self._by_key.get(own, event)
        self._by_key[own] = stored
        for tell in self._listeners:
            tell(stored)
        return stored

    def listen(self, tell: Callable[[JobEvent], None]) -> Callable[[], None]:
        """Be told of every new event; returns how to stop that."""
        self._listeners.append(tell)
        return lambda: self._listeners.remove(tell)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is being tried: the system prompt and the demonstrations after it."""

    text: str
    demos: tuple[Demo, ...] = ()

    @property
    def digest(self) -> str:
        """Equal prompts have equal digests; part of the keys under which rollouts are known."""
        shown = [[demo.user, demo.assistant] for demo in self.demos]
        return sha256(orjson.dumps([self.text, shown])).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Score:
    """One rollout of a prompt on a seed."""

    seed: int
    reward: float
    """In 0..1; 0 when the rollout failed."""
    error: str = ""
    """Why it failed; empty when it did not."""
    correlation_id: str = ""
    latency_ms: float = 0.0
    tokens: int = 0
    cost_usd: float = 0.0
    asked: str = ""
    """What a user wrote, as the interceptor captured it; empty if nothing came through."""
    replied: str = ""
    feedback: str = ""
    """What the task app said about it in words."""


class Evaluator(Protocol):
    """Runs a prompt on seeds of the task app."""

    async def evaluate(
        self, prompt: Prompt, seeds: Sequence[int], *, split: str = "train", repeat: int = 0
    ) -> list[Score]:
        """One score for each seed, in their order. A rollout that is known already (same prompt,
        split, seed and repeat) is not run again; others run with the job's concurrency. A failed
        rollout is a score of 0 with its error. Raises `JobCancelled`, and `JobFailed` when the
        task app as a whole cannot be used (unreachable, wrong key)."""


class Writer(Protocol):
    """The reflection model, remembered."""

    async def write(self, prompt: str, *, key: str) -> str:
        """Its answer to a prompt; the same one again under the same key. Raises `JobFailed` when
        the model cannot be reached after retries."""
