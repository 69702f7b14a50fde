"""Offline jobs: what they are, and what their journal makes of them.

A job is its journal. Its events are what the published API lists, and at the same time its memory:
every effect that costs something (a rollout, a word from the reflection model) is an event under a
key of its own, so a job that is started again after a crash runs the same program and finds what it
has paid for already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class JobKind(StrEnum):
    """What a job is for."""

    POLICY = "policy"
    """Find a better prompt."""
    EVAL = "eval"
    """Score the application as it is."""


class JobStatus(StrEnum):
    """A job's life. Pending and paused jobs may run again, the last three are final."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing can change any more."""
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}


_TURNS = {
    "job.started": JobStatus.RUNNING,
    "job.resumed": JobStatus.RUNNING,
    "job.paused": JobStatus.PAUSED,
    "job.completed": JobStatus.SUCCEEDED,
    "job.failed": JobStatus.FAILED,
    "job.cancelled": JobStatus.CANCELLED,
}
"""The ends of event types that change a job's status."""


_QUEUED = "job.queued"
_PROGRESS = "progress"


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What was asked for; never changes. Holds no secret."""

    job_id: str
    kind: JobKind
    algorithm: str
    """`gepa` or `mipro`; empty for an eval job."""
    config: Mapping[str, Any]
    """The validated configuration as plain data."""
    created_at: float
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """What its event types begin with: `learning.policy.gepa` or `eval.policy`."""
        return f"learning.policy.{self.algorithm}" if self.kind is JobKind.POLICY else "eval.policy"

    def types(self, *whats: str) -> list[str]:
        """What these events are called in its family."""
        return [f"{self.family}.{what}" for what in whats]

    @property
    def telling(self) -> list[str]:
        """The types whose newest events make its `JobState`."""
        return self.types(*_TURNS, _QUEUED, _PROGRESS)


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One thing that happened. `seq` is 0 until the store has assigned it."""

    key: str
    """Unique in its job: appending the same key twice is a no-op."""
    type: str
    """`{family}.{what}`, such as `learning.policy.gepa.job.started`."""
    message: str
    data: Mapping[str, Any]
    at: float
    """Unix seconds."""
    seq: int = 0


@dataclass(slots=True)
class JobState:
    """The fold over a job's events, as far as its status goes."""

    status: JobStatus = JobStatus.PENDING
    started_at: float | None = None
    finished_at: float | None = None
    error: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)
    """The data of the event that completed it."""
    progress: Mapping[str, Any] = field(default_factory=dict)
    """The data of the newest `….progress` event."""
    queued: bool = False
    """Whether it may begin; one that is submitted without `auto_start` may not."""
    since: int = 0
    """The number of the event that its status comes from."""
    seq: int = 0

    @property
    def wanted(self) -> bool:
        """Whether it is to be run."""
        waits = self.status is JobStatus.PENDING and self.queued
        return waits or self.status is JobStatus.RUNNING

    def apply(self, event: JobEvent) -> None:
        """Take an event in; events that are in already change nothing."""
        if event.seq <= self.seq:
            return
        self.seq = event.seq
        if event.type.endswith("." + _PROGRESS):
            self.progress = event.data
        if event.type.endswith("." + _QUEUED):
            self.queued = True
        status = next((s for end, s in _TURNS.items() if event.type.endswith("." + end)), None)
        if status is None or self.status.final:
            return
        self.status, self.since = status, event.seq
        if status is JobStatus.RUNNING and self.started_at is None:
            self.started_at = event.at
        if status.final:
            self.finished_at = event.at
            self.error = str(event.data.get("error", "")) if status is JobStatus.FAILED else ""
            self.result = event.data

    @staticmethod
    def of(events: Sequence[JobEvent]) -> "JobState":
        """The state after these events."""
        state = JobState()
        for event in events:
            state.apply(event)
        return state
