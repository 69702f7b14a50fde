"""What state exists, and what a store promises about it.

Seven kinds of state, in the order a conversation meets them:

* **assignments and turns**: which candidate serves a conversation, and each call of it;
* **feedback**: the events users sent, acknowledged only once they are here;
* **the outbox**: which rollouts have feedback that the session has not been told about yet;
* **sessions**: their creation record, their journal and a snapshot of the folded state;
* **jobs**: offline jobs, their journals and what they left behind;
* **secrets**: what the sidecar signs and opens with, and the keys that users entrust to it;
* **leases**: which of several sidecars does what only one may do.

Two ways to write. `record_*` is for the request path: it never blocks and never raises; the write
is queued in order and the returned future (or flag) says whether it was taken. Everything else is
awaited, and has happened for good when it returns: it survives `kill -9` of this process when the
store is `durable`. Writes become durable in the order they were made.

All times are Unix seconds and come from the caller; only leases run on the store's own clock, the
one that all holders share. Methods raise `StoreError` when the store cannot be reached or cannot
write; then it is not known whether a write has happened, and it may be made again. The only other
errors are those of journals: `JournalMoved` and `Deposed`.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sidecar.core.feedback import FeedbackEvent
from sidecar.core.job import JobEvent, JobRecord
from sidecar.core.rollout import Assignment, Turn
from sidecar.core.session import JournalEntry, SessionRecord, Snapshot
from sidecar.errors import Unavailable

CLOSED = 2**53 - 1
"""A fencing token above all that are granted: whoever writes with it is the last one to write."""
LOCATED = 100
"""Most assignments that a reply's text leads to: what so many said tells nobody apart."""


class StoreError(Unavailable):
    """The store could not do it: nothing was acknowledged, the same call may be made again."""

    code = "store_unavailable"


class StoreUnusable(StoreError):
    """Asking again will not help until a person has done what the message says."""


class JournalMoved(Exception):
    """The journal is longer than the caller knew: read on, and decide again."""


class Deposed(Exception):
    """A later holder of the caller's lease has written to this journal: stop leading."""


@dataclass(frozen=True, slots=True)
class DueReward:
    """A rollout whose session has not been told of all its events."""

    session_id: str
    rollout_id: str
    revision: int
    """How many events the rollout has now."""
    reported: int
    """The revision the session was last told; 0 for never."""
    attempts: int
    """Deliveries tried since the last one that succeeded."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A reward that could not be delivered, kept until somebody replays or drops it."""

    session_id: str
    rollout_id: str
    revision: int
    error: str
    at: float


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals of one session, or of all: they add up (promise P23)."""

    rollouts: int
    """Assignments recorded."""
    turns: int
    feedback: int
    """Events attributed to those rollouts."""
    rewards: int
    """Rollouts whose events have been reported."""
    waiting: int
    """Events parked, without a rollout yet (only when counted over all sessions)."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret under its name. Its value shows in no representation."""

    name: str
    value: bytes = field(repr=False)
    updated_at: float


class Rollouts(Protocol):
    """Assignments and turns."""

    def record_assignment(self, assignment: Assignment) -> asyncio.Future[Assignment | None]:
        """Queue an assignment. The first one of (session, rollout) wins, whoever records it: the
        future resolves to that one once it is stored, to None if this one could not be (full
        queue, broken disk)."""

    def record_turn(self, turn: Turn) -> bool:
        """Queue a settled turn. False when the queue is full: the turn is dropped, not the call."""

    async def assignment(self, session_id: str, rollout_id: str) -> Assignment | None:
        """The assignment of a rollout in a session."""

    async def locate(
        self,
        *,
        rollout_id: str | None = None,
        completion_id: str | None = None,
        fingerprint: str | None = None,
    ) -> list[Assignment]:
        """Every assignment, in any session, of this rollout id or holding a turn with this
        completion id or whose reply has this fingerprint (exactly one of the three is given). Of
        those with the fingerprint at most `LOCATED`: when there are so many, there may be more."""

    async def recent_assignments(self, session_id: str, limit: int) -> list[Assignment]:
        """The newest assignments, newest first."""

    async def recent_chains(self, session_id: str, limit: int) -> list[tuple[str, str]]:
        """(chain key, rollout id) of the newest turns that have one, newest first."""

    async def chained(self, session_id: str, keys: Sequence[str]) -> str | None:
        """The rollout of the newest turn with the first of these chain keys that any turn has."""

    async def tally(self, session_id: str) -> dict[str, int]:
        """How many assignments each candidate has."""

    async def turns(self, session_id: str, rollout_ids: Sequence[str]) -> list[Turn]:
        """All turns of these rollouts, oldest first."""


class Feedback(Protocol):
    """Acknowledged events, the attribution of each, and the outbox."""

    async def add_feedback(
        self, events: Sequence[FeedbackEvent], park_until: float
    ) -> list[FeedbackEvent | None]:
        """Store events, all or none. For each: None if it is new, else the stored event of that id
        (a duplicate: nothing changes). Unattributed events wait until `park_until`."""

    async def waiting_feedback(self, limit: int, after: str = "") -> list[FeedbackEvent]:
        """Events not yet attributed and not expired, in order of event id, from after `after`."""

    async def attribute(self, event_id: str, session_id: str, rollout_id: str) -> bool:
        """Tie a waiting event to a rollout and put the rollout in the outbox, atomically. False if
        the event was already attributed or has expired (nothing changes)."""

    async def expire_feedback(self, now: float) -> int:
        """Give up on waiting events whose parking time has passed; how many."""

    async def events_of(self, session_id: str, rollout_id: str) -> list[FeedbackEvent]:
        """All events attributed to a rollout, in any order."""

    async def erase_actor(self, actor: str, alias: str) -> list[FeedbackEvent]:
        """Blank the words of an actor's events and call the actor `alias` in them. Returns all
        events of that alias, so a call that was cut short may be made again."""

    async def due_rewards(self, now: float, limit: int) -> list[DueReward]:
        """Rollouts to report, oldest first: revision above what was reported, not put off beyond
        `now`, not dead."""

    async def mark_reported(self, session_id: str, rollout_id: str, revision: int) -> None:
        """The session has counted this revision (or a later one was reported already)."""

    async def put_off(
        self, session_id: str, rollout_id: str, until: float, error: str, *, dead: bool
    ) -> None:
        """A delivery failed: try again at `until`, or never (`dead`: it becomes a dead letter)."""

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        """Rewards that were given up, oldest first."""

    async def replay(self, session_id: str, rollout_id: str) -> bool:
        """Put a dead letter back into the outbox; False if there is none."""


class Sessions(Protocol):
    """Creation records, journals, snapshots."""

    async def add_session(self, record: SessionRecord) -> SessionRecord | None:
        """Store a new session. None if it is new, else the record that already has this id."""

    async def sessions(self) -> list[SessionRecord]:
        """All sessions, oldest first."""

    async def session_count(self) -> int:
        """How many sessions there are."""

    async def append(
        self,
        session_id: str,
        entries: Sequence[JournalEntry],
        *,
        after: int | None = None,
        token: int = 0,
    ) -> list[JournalEntry]:
        """Append to a session's journal, all or none, skipping keys that it already has. Returns
        the entries that were appended, with their sequence numbers (1, 2, 3, … without gaps).

        `after` is the last number that the caller knows of (None: any). Raises `JournalMoved` when
        there are others. `token` is the caller's fencing token (0: none). Raises `Deposed` when a
        higher one has been used on this journal."""

    async def journal(self, session_id: str, after: int, limit: int) -> list[JournalEntry]:
        """Entries with a sequence number above `after`, in order."""

    async def last_entries(
        self, session_id: str, subjects: Sequence[str]
    ) -> dict[str, JournalEntry]:
        """The newest reward entry about each of these rollouts, where there is one. Entries about
        candidates do not count: clients may call a conversation like a candidate."""

    async def save_snapshot(self, session_id: str, snapshot: Snapshot) -> None:
        """Keep a snapshot unless a newer one is kept already."""

    async def snapshot(self, session_id: str) -> Snapshot | None:
        """The newest snapshot."""


class Secrets(Protocol):
    """Named secrets."""

    async def keep_secret(self, secret: Secret) -> Secret:
        """Store a secret unless the name is taken; the one that has the name now."""

    async def put_secret(self, secret: Secret) -> None:
        """Store a secret in place of any that has the name."""

    async def secret(self, name: str) -> Secret | None:
        """The secret of this name."""


class Jobs(Protocol):
    """Offline jobs: their records, their journals, and what they left behind."""

    async def add_job(self, record: JobRecord) -> JobRecord | None:
        """Store a new job. None if it is new, else the record that already has this id."""

    async def jobs(self) -> list[JobRecord]:
        """All jobs, oldest first."""

    async def job_count(self) -> int:
        """How many jobs there are."""

    async def append_events(
        self,
        job_id: str,
        events: Sequence[JobEvent],
        *,
        after: int | None = None,
        token: int = 0,
    ) -> list[JobEvent]:
        """Append to a job's journal as `append` does to a session's. A token without events is only
        noted: from then on no lower one is used."""

    async def job_events(
        self, job_id: str, after: int, limit: int, types: Sequence[str] = ()
    ) -> list[JobEvent]:
        """Events with a sequence number above `after`, in order; when types are given, only
        those."""

    async def last_events(self, job_id: str, types: Sequence[str]) -> list[JobEvent]:
        """The newest event of each of these types, where there is one, in order."""

    async def keep_artifact(
        self, job_id: str, name: str, content: bytes, *, token: int = 0
    ) -> None:
        """Keep a file of a job, in place of any of that name. Raises `Deposed` when a higher
        fencing token than the caller's (0: none) has been used on the job's journal."""

    async def artifact(self, job_id: str, name: str) -> bytes | None:
        """The file of this name."""

    async def artifacts(self, job_id: str) -> list[tuple[str, int]]:
        """Name and size in bytes of every file, by name."""


class Leases(Protocol):
    """Who does what only one sidecar may do."""

    async def lease(self, name: str, holder: str, seconds: float) -> int | None:
        """Grant or renew the lease of this name for so long. None while somebody else holds it,
        else its fencing token: the same as long as the holder renews in time, higher with every
        other grant."""

    async def release(self, name: str, holder: str) -> None:
        """Give the lease back, if this holder has it."""


class Store(Rollouts, Feedback, Sessions, Secrets, Jobs, Leases, Protocol):
    """All of it, behind one life cycle."""

    @property
    def shared(self) -> bool:
        """Whether other sidecars may be using it at the same time."""

    @property
    def durable(self) -> bool:
        """Whether what was acknowledged survives `kill -9` of this process, and of the server that
        keeps it, if there is one: as of the last answer, for a server may change its mind."""

    @property
    def trouble(self) -> str:
        """Why it cannot be asked at present, as far as that is known; empty while it can."""

    async def open(self) -> None:
        """Make ready (create files, run migrations). Raises `StoreError`, and of those
        `StoreUnusable` when it needs a person. May be called again after that."""

    async def close(self) -> None:
        """Finish queued writes and let go."""

    async def counts(self, session_id: str | None = None) -> Counts:
        """Totals of one session, or of everything."""

    async def prune(self, before: float) -> int:
        """Empty the captured content (request and reply) of turns that started before `before`;
        the turns stay. Returns how many had content."""
