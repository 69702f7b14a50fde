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

_PAGE = 1000


class JobCancelled(Exception):
    """Raised inside a job that has been ended, or is to be run here no more."""


class JobFailed(Exception):
    """A job cannot go on; the text says why and what to do, and is shown to its owner."""


class Control:
    """Cancelling and pausing, as the job sees them."""

    def __init__(self, ours: Callable[[], bool] = lambda: True) -> None:
        """`ours` says whether the job is still to be run here."""
        self._ours = ours
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
        if self._cancelled or not self._ours():
            raise JobCancelled


class JobLog:
    """The journal of one job: what is added is stored before it counts, and a key that is known
    is not added again but found. Others may write to it, too."""

    def __init__(
        self, record: JobRecord, store: Jobs, clock: Callable[[], float], token: int = 0
    ) -> None:
        """`clock` gives Unix seconds; `token` fences what is written."""
        self.record = record
        self._store = store
        self._clock = clock
        self._token = token
        self._by_key: dict[str, JobEvent] = {}
        self._seq = 0
        """All events up to this number are known and told."""
        self._ahead: dict[int, JobEvent] = {}
        """Those that are known beyond a gap."""
        self._listeners: list[Callable[[JobEvent], None]] = []

    async def restore(self) -> None:
        """Read the journal, once nobody with a lower token can add to it. Raises `StoreError`,
        `Deposed`."""
        await self._store.append_events(self.record.job_id, [], token=self._token)
        await self.catch_up()

    async def catch_up(self) -> None:
        """Read what others have added. Raises `StoreError`."""
        while page := await self._store.job_events(self.record.job_id, self._seq, _PAGE):
            for event in page:
                self._take_in(event)

    def known(self, key: str) -> JobEvent | None:
        """The event under this key, if it has happened."""
        return self._by_key.get(key)

    async def add(
        self,
        what: str,
        message: str,
        data: Mapping[str, Any],
        *,
        key: str | None = None,
        sure: bool = False,
    ) -> JobEvent:
        """Append `{family}.{what}` and return it with its number; the event that has the key
        already, if one has. Without a key it is always new. When `sure`, only if nobody has added
        anything that is not known here. Raises `StoreError`, `Deposed`, and then `JournalMoved`."""
        if key is not None and (old := self._by_key.get(key)) is not None:
            return old
        own = key or f"{what}:{uuid4().hex}"
        event = JobEvent(own, f"{self.record.family}.{what}", message, data, self._clock())
        appended = await self._store.append_events(
            self.record.job_id, [event], after=self._seq if sure else None, token=self._token
        )
        for stored in appended:
            self._take_in(stored)
        if not appended or self._ahead:
            await self.catch_up()
        return self._by_key[own]

    async def keep(self, name: str, content: bytes) -> None:
        """Keep a file of the job, in place of any of that name. Raises `StoreError`, `Deposed`."""
        await self._store.keep_artifact(self.record.job_id, name, content, token=self._token)

    def listen(self, tell: Callable[[JobEvent], None]) -> None:
        """Be told of every event, in order."""
        self._listeners.append(tell)

    def _take_in(self, event: JobEvent) -> None:
        if event.seq <= self._seq:
            return
        self._by_key.setdefault(event.key, event)
        self._ahead[event.seq] = event
        while (told := self._ahead.pop(self._seq + 1, None)) is not None:
            self._seq += 1
            for tell in self._listeners:
                tell(told)


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
