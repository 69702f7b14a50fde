"""The reference implementation: every promise of `base.py` but durability, in plain dictionaries.

It is what the other stores are compared with, and what a laptop demo without a disk uses. Nothing
is bounded and nothing is indexed. Methods run to their end without giving way to another task, so
each of them is atomic.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from sidecar.core.feedback import FeedbackEvent, erased
from sidecar.core.job import JobEvent, JobRecord
from sidecar.core.rollout import Assignment, Turn
from sidecar.core.session import Entry, JournalEntry, SessionRecord, Snapshot
from sidecar.store.base import (
    LOCATED,
    Counts,
    DeadLetter,
    Deposed,
    DueReward,
    JournalMoved,
    Secret,
)

_Key = tuple[str, str]
"""Session id and rollout id."""


@dataclass(slots=True)
class _Owed:
    """An outbox row: what a rollout's session has to be told."""

    session_id: str
    rollout_id: str
    revision: int = 0
    reported: int = 0
    attempts: int = 0
    since: float = 0.0
    """When it became due: its place in the line. For a dead one, when it died."""
    until: float = 0.0
    """Not due before; 0 when there is no reason to wait, whatever the clock says."""
    error: str = ""
    dead: bool = False

    @property
    def open(self) -> bool:
        """Whether there is something to tell, and hope."""
        return self.revision > self.reported and not self.dead


class _Rollouts:
    """Assignments and turns."""

    def __init__(self) -> None:
        self._assignments: dict[_Key, Assignment] = {}
        self._turns: dict[str, Turn] = {}

    def record_assignment(self, assignment: Assignment) -> asyncio.Future[Assignment | None]:
        """See `base.Rollouts`; the future is resolved already."""
        key = (assignment.session_id, assignment.rollout_id)
        stored = asyncio.get_running_loop().create_future()
        stored.set_result(self._assignments.setdefault(key, assignment))
        return stored

    def record_turn(self, turn: Turn) -> bool:
        """See `base.Rollouts`; the first record of a turn wins."""
        self._turns.setdefault(turn.turn_id, turn)
        return True

    async def assignment(self, session_id: str, rollout_id: str) -> Assignment | None:
        """See `base.Rollouts`."""
        return self._assignments.get((session_id, rollout_id))

    async def locate(
        self,
        *,
        rollout_id: str | None = None,
        completion_id: str | None = None,
        fingerprint: str | None = None,
    ) -> list[Assignment]:
        """See `base.Rollouts`."""
        if rollout_id is not None:
            return [a for a in self._assignments.values() if a.rollout_id == rollout_id]
        holders = {
            (turn.session_id, turn.rollout_id)
            for turn in self._turns.values()
            if (turn.completion_id if fingerprint is None else turn.fingerprint)
            == (completion_id if fingerprint is None else fingerprint)
        }
        found = [a for key, a in self._assignments.items() if key in holders]
        return found if fingerprint is None else found[:LOCATED]

    async def recent_assignments(self, session_id: str, limit: int) -> list[Assignment]:
        """See `base.Rollouts`; the newest is the one recorded last."""
        found = [a for a in self._assignments.values() if a.session_id == session_id]
        return found[::-1][:limit]

    async def tally(self, session_id: str) -> dict[str, int]:
        """See `base.Rollouts`."""
        return dict(
            Counter(
                a.candidate_id for a in self._assignments.values() if a.session_id == session_id
            )
        )

    async def recent_chains(self, session_id: str, limit: int) -> list[tuple[str, str]]:
        """See `base.Rollouts`; the newest is the one recorded last."""
        found = [
            (turn.chain_key, turn.rollout_id)
            for turn in self._turns.values()
            if turn.session_id == session_id and turn.chain_key is not None
        ]
        return found[::-1][:limit]

    async def chained(self, session_id: str, keys: Sequence[str]) -> str | None:
        """See `base.Rollouts`; the newest is the one recorded last."""
        chains = await self.recent_chains(session_id, len(self._turns))
        newest = dict(reversed(chains))
        return next((newest[key] for key in keys if key in newest), None)

    async def turns(self, session_id: str, rollout_ids: Sequence[str]) -> list[Turn]:
        """See `base.Rollouts`; the oldest is the one that started first."""
        wanted = frozenset(rollout_ids)
        found = [
            turn
            for turn in self._turns.values()
            if turn.session_id == session_id and turn.rollout_id in wanted
        ]
        return sorted(found, key=lambda turn: turn.started_at)

    async def prune(self, before: float) -> int:
        """See `base.Store`."""
        old = [
            turn
            for turn in self._turns.values()
            if turn.started_at < before and (turn.request or turn.reply)
        ]
        self._turns.update((turn.turn_id, replace(turn, request=(), reply="")) for turn in old)
        return len(old)


class _Feedback:
    """Events, their attribution, the outbox."""

    def __init__(self) -> None:
        self._events: dict[str, FeedbackEvent] = {}
        self._parked: dict[str, float] = {}
        self._attributed: dict[_Key, list[str]] = {}
        self._outbox: dict[_Key, _Owed] = {}

    async def add_feedback(
        self, events: Sequence[FeedbackEvent], park_until: float
    ) -> list[FeedbackEvent | None]:
        """See `base.Feedback`."""
        known: list[FeedbackEvent | None] = []
        for event in events:
            known.append(self._events.get(event.event_id))
            if known[-1] is None:
                self._events[event.event_id] = event
                self._parked[event.event_id] = park_until
        return known

    async def waiting_feedback(self, limit: int, after: str = "") -> list[FeedbackEvent]:
        """See `base.Feedback`."""
        waiting = sorted(event_id for event_id in self._parked if event_id > after)
        return [self._events[event_id] for event_id in waiting[:limit]]

    async def attribute(self, event_id: str, session_id: str, rollout_id: str) -> bool:
        """See `base.Feedback`; from now on the event carries these two ids."""
        if self._parked.pop(event_id, None) is None:
            return False
        event = replace(self._events[event_id], session_id=session_id, rollout_id=rollout_id)
        self._events[event_id] = event
        key = (session_id, rollout_id)
        self._attributed.setdefault(key, []).append(event_id)
        owed = self._outbox.setdefault(key, _Owed(session_id, rollout_id))
        behind = owed.revision > owed.reported
        owed.since = min(owed.since, event.received_at) if behind else event.received_at
        owed.revision += 1
        owed.attempts, owed.until, owed.dead, owed.error = 0, 0.0, False, ""
        return True

    async def expire_feedback(self, now: float) -> int:
        """See `base.Feedback`."""
        expired = [event_id for event_id, until in self._parked.items() if until <= now]
        for event_id in expired:
            del self._parked[event_id]
        return len(expired)

    async def events_of(self, session_id: str, rollout_id: str) -> list[FeedbackEvent]:
        """See `base.Feedback`."""
        return [self._events[i] for i in self._attributed.get((session_id, rollout_id), [])]

    async def erase_actor(self, actor: str, alias: str) -> list[FeedbackEvent]:
        """See `base.Feedback`."""
        theirs = [event for event in self._events.values() if event.actor in {actor, alias}]
        self._events.update((event.event_id, erased(event, alias)) for event in theirs)
        return [self._events[event.event_id] for event in theirs]

    async def due_rewards(self, now: float, limit: int) -> list[DueReward]:
        """See `base.Feedback`."""
        due = [owed for owed in self._outbox.values() if owed.open and owed.until <= now]
        due.sort(key=lambda owed: owed.since)
        return [
            DueReward(o.session_id, o.rollout_id, o.revision, o.reported, o.attempts)
            for o in due[:limit]
        ]

    async def mark_reported(self, session_id: str, rollout_id: str, revision: int) -> None:
        """See `base.Feedback`; who takes deliveries is not dead."""
        if owed := self._outbox.get((session_id, rollout_id)):
            owed.reported = max(owed.reported, revision)
            owed.attempts, owed.dead = 0, False

    async def put_off(
        self, session_id: str, rollout_id: str, until: float, error: str, *, dead: bool
    ) -> None:
        """See `base.Feedback`; for a dead letter, `until` is when it was given up."""
        owed = self._outbox.get((session_id, rollout_id))
        if owed and owed.revision > owed.reported:
            owed.since = owed.until = until
            owed.attempts += 1
            owed.error, owed.dead = error, dead

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        """See `base.Feedback`."""
        dead = sorted((o for o in self._outbox.values() if o.dead), key=lambda o: o.since)
        return [
            DeadLetter(o.session_id, o.rollout_id, o.revision, o.error, o.since)
            for o in dead[:limit]
        ]

    async def replay(self, session_id: str, rollout_id: str) -> bool:
        """See `base.Feedback`; it is due at once, with a fresh count of attempts."""
        owed = self._outbox.get((session_id, rollout_id))
        if owed is None or not owed.dead:
            return False
        owed.attempts, owed.until, owed.dead = 0, 0.0, False
        return True


class _Sessions:
    """Creation records, journals, snapshots."""

    def __init__(self) -> None:
        self._records: dict[str, SessionRecord] = {}
        self._journals: dict[str, dict[str, JournalEntry]] = {}
        self._fences: dict[str, int] = {}
        """The highest token used on each journal."""
        self._snapshots: dict[str, Snapshot] = {}

    async def add_session(self, record: SessionRecord) -> SessionRecord | None:
        """See `base.Sessions`."""
        known = self._records.get(record.session_id)
        if known is None:
            self._records[record.session_id] = record
        return known

    async def sessions(self) -> list[SessionRecord]:
        """See `base.Sessions`."""
        return sorted(self._records.values(), key=lambda record: record.created_at)

    async def session_count(self) -> int:
        """See `base.Sessions`."""
        return len(self._records)

    async def append(
        self,
        session_id: str,
        entries: Sequence[JournalEntry],
        *,
        after: int | None = None,
        token: int = 0,
    ) -> list[JournalEntry]:
        """See `base.Sessions`."""
        journal = self._journals.setdefault(session_id, {})
        fence = self._fences.get(session_id, 0)
        if 0 < token < fence:
            raise Deposed
        if after is not None and after != len(journal):
            raise JournalMoved
        self._fences[session_id] = max(token, fence)
        appended = []
        for entry in entries:
            if entry.key not in journal:
                journal[entry.key] = replace(entry, seq=len(journal) + 1)
                appended.append(journal[entry.key])
        return appended

    async def journal(self, session_id: str, after: int, limit: int) -> list[JournalEntry]:
        """See `base.Sessions`."""
        entries = list(self._journals.get(session_id, {}).values())
        start = max(after, 0)
        return entries[start : start + limit]

    async def last_entries(
        self, session_id: str, subjects: Sequence[str]
    ) -> dict[str, JournalEntry]:
        """See `base.Sessions`."""
        wanted = frozenset(subjects)
        entries = self._journals.get(session_id, {}).values()
        return {
            entry.subject: entry
            for entry in entries
            if entry.kind is Entry.REWARD and entry.subject in wanted
        }

    async def save_snapshot(self, session_id: str, snapshot: Snapshot) -> None:
        """See `base.Sessions`."""
        known = self._snapshots.get(session_id)
        if known is None or snapshot.seq >= known.seq:
            self._snapshots[session_id] = snapshot

    async def snapshot(self, session_id: str) -> Snapshot | None:
        """See `base.Sessions`."""
        return self._snapshots.get(session_id)


class _Secrets:
    """Named secrets."""

    def __init__(self) -> None:
        self._secrets: dict[str, Secret] = {}

    async def keep_secret(self, secret: Secret) -> Secret:
        """See `base.Secrets`."""
        return self._secrets.setdefault(secret.name, secret)

    async def put_secret(self, secret: Secret) -> None:
        """See `base.Secrets`."""
        self._secrets[secret.name] = secret

    async def secret(self, name: str) -> Secret | None:
        """See `base.Secrets`."""
        return self._secrets.get(name)


class _Jobs:
    """Offline jobs: records, journals, files."""

    def __init__(self) -> None:
        self._jobs: dict[str, JobRecord] = {}
        self._job_events: dict[str, dict[str, JobEvent]] = {}
        self._job_fences: dict[str, int] = {}
        self._artifacts: dict[str, dict[str, bytes]] = {}

    async def add_job(self, record: JobRecord) -> JobRecord | None:
        """See `base.Jobs`."""
        known = self._jobs.get(record.job_id)
        if known is None:
            self._jobs[record.job_id] = record
        return known

    async def jobs(self) -> list[JobRecord]:
        """See `base.Jobs`."""
        return sorted(self._jobs.values(), key=lambda record: record.created_at)

    async def job_count(self) -> int:
        """See `base.Jobs`."""
        return len(self._jobs)

    async def append_events(
        self,
        job_id: str,
        events: Sequence[JobEvent],
        *,
        after: int | None = None,
        token: int = 0,
    ) -> list[JobEvent]:
        """See `base.Jobs`."""
        journal = self._job_events.setdefault(job_id, {})
        fence = self._job_fences.get(job_id, 0)
        if 0 < token < fence:
            raise Deposed
        if after is not None and after != len(journal):
            raise JournalMoved
        self._job_fences[job_id] = max(token, fence)
        appended = []
        for event in events:
            if event.key not in journal:
                journal[event.key] = replace(event, seq=len(journal) + 1)
                appended.append(journal[event.key])
        return appended

    async def job_events(
        self, job_id: str, after: int, limit: int, types: Sequence[str] = ()
    ) -> list[JobEvent]:
        """See `base.Jobs`."""
        newer = islice(self._job_events.get(job_id, {}).values(), max(after, 0), None)
        return list(islice((e for e in newer if not types or e.type in types), limit))

    async def last_events(self, job_id: str, types: Sequence[str]) -> list[JobEvent]:
        """See `base.Jobs`."""
        journal = self._job_events.get(job_id, {}).values()
        newest = {event.type: event for event in journal if event.type in types}
        return sorted(newest.values(), key=lambda event: event.seq)

    async def keep_artifact(
        self, job_id: str, name: str, content: bytes, *, token: int = 0
    ) -> None:
        """See `base.Jobs`."""
        if 0 < token < self._job_fences.get(job_id, 0):
            raise Deposed
        self._artifacts.setdefault(job_id, {})[name] = content

    async def artifact(self, job_id: str, name: str) -> bytes | None:
        """See `base.Jobs`."""
        return self._artifacts.get(job_id, {}).get(name)

    async def artifacts(self, job_id: str) -> list[tuple[str, int]]:
        """See `base.Jobs`."""
        kept = self._artifacts.get(job_id, {})
        return sorted((name, len(content)) for name, content in kept.items())


@dataclass(slots=True)
class _Lease:
    """Who holds a lease, or held it last."""

    holder: str
    token: int
    until: float


class _Leases:
    """Leases."""

    def __init__(self) -> None:
        self._leases: dict[str, _Lease] = {}

    async def lease(self, name: str, holder: str, seconds: float) -> int | None:
        """See `base.Leases`."""
        now = time.monotonic()
        last = self._leases.get(name, _Lease("", 0, now))
        held = last.until > now
        if held and last.holder != holder:
            return None
        token = last.token if held else last.token + 1
        self._leases[name] = _Lease(holder, token, now + seconds)
        return token

    async def release(self, name: str, holder: str) -> None:
        """See `base.Leases`."""
        last = self._leases.get(name)
        if last and last.holder == holder:
            last.until = 0.0


class MemoryStore(_Rollouts, _Feedback, _Sessions, _Secrets, _Jobs, _Leases):
    """A `base.Store` that forgets everything when the process ends."""

    durable = False
    shared = False
    trouble = ""

    def __init__(self) -> None:
        _Rollouts.__init__(self)
        _Feedback.__init__(self)
        _Sessions.__init__(self)
        _Secrets.__init__(self)
        _Jobs.__init__(self)
        _Leases.__init__(self)

    async def open(self) -> None:
        """Nothing to make ready."""

    async def close(self) -> None:
        """Nothing to let go."""

    async def counts(self, session_id: str | None = None) -> Counts:
        """See `base.Store`."""

        def count(sessions: Iterable[str]) -> int:
            return sum(session_id in {None, of} for of in sessions)

        return Counts(
            rollouts=count(a.session_id for a in self._assignments.values()),
            turns=count(turn.session_id for turn in self._turns.values()),
            feedback=count(of for (of, _), ids in self._attributed.items() for _ in ids),
            rewards=count(o.session_id for o in self._outbox.values() if o.reported),
            waiting=len(self._parked) if session_id is None else 0,
        )
