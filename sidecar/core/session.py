"""Sessions, candidates and the journal: what an optimisation session is made of.

The journal is the session's truth. Everything that may change what is served (a reward, a new
candidate, a pause, a pin) is an entry, appended once under a unique key; the engine's state is a
fold over the entries. A snapshot is only a shortcut: state, and the sequence number it includes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sidecar.core.prompt import Demo


class Status(StrEnum):
    """A session's life: started and paused lead to each other, the other two are final."""

    STARTED = "started"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing can change any more."""
        return self in {Status.COMPLETED, Status.CANCELLED}


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What was asked for when the session was created; never changes."""

    session_id: str
    algorithm: str
    config: Mapping[str, Any]
    """The validated configuration, as `engine.config` dumps it."""
    created_at: float
    salt: str
    """Keys the hash that draws candidates, so that users cannot choose their own."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    job_id: str = ""


class Entry(StrEnum):
    """What a journal entry says."""

    REWARD = "reward"
    CANDIDATE = "candidate"
    """A prompt began its trial."""
    INSTRUCTION = "instruction"
    """A new row of a MIPRO grid."""
    DEMONSTRATIONS = "demonstrations"
    """A new column of a MIPRO grid."""
    REFUSED = "refused"
    """A proposal that failed or was screened out: it spent budget, nothing else."""
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    COMPLETE = "complete"
    PIN = "pin"
    UNPIN = "unpin"
    ROLLBACK = "rollback"
    APPROVE = "approve"
    RETIRE = "retire"
    QUARANTINE = "quarantine"
    """Newcomers' rewards are held back."""
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One fact. `seq` is 0 until the store has assigned it."""

    key: str
    """Unique in its session: appending the same key twice is a no-op."""
    kind: Entry
    subject: str
    """The rollout or candidate it is about; empty for commands."""
    payload: Mapping[str, Any]
    at: float
    """Unix seconds."""
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A session's folded state and the last journal entry in it."""

    seq: int
    state: bytes


@dataclass(frozen=True, slots=True)
class Candidate:
    """A prompt that may serve, with its lineage. `text` is the system prompt, `demos` the
    examples that are shown after it."""

    candidate_id: str
    text: str
    parent_id: str | None
    origin: str
    """How it came to be: `baseline`, `reflection`, `grid` or `manual`."""
    created_at: float
    rationale: str = ""
    """What its proposer was shown, in one line, for people."""
    demos: tuple[Demo, ...] = ()
    cell: tuple[int, int] | None = None
    """Of a MIPRO grid: which instruction and which demonstration set; None without a grid."""
