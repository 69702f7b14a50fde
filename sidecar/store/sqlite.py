"""The default store: one SQLite file in WAL mode.

What is done with it is here and, for jobs and leases, in `_jobs.py` and `_leases.py`: one method
for one promise of `base.py`. How the file is opened and shared is told in `_file.py`, how writes
are grouped and made durable in `_writer.py`, what the tables look like in `_sql.py`, and what is in
their rows in `_records.py`.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from sidecar.core.feedback import FeedbackEvent, erased
from sidecar.core.rollout import Assignment, Turn
from sidecar.core.session import Entry, JournalEntry, SessionRecord, Snapshot
from sidecar.store import _records, _sql
from sidecar.store._file import SqliteFile
from sidecar.store._jobs import SqliteJobs
from sidecar.store._leases import SqliteLeases
from sidecar.store.base import (
    LOCATED,
    Counts,
    DeadLetter,
    Deposed,
    DueReward,
    JournalMoved,
    Secret,
)

PRUNE_STEP = 500
"""Turns emptied per transaction, so that acknowledgements pass between the steps."""
COUNTS = """
    SELECT (SELECT count(*) FROM assignment),
        (SELECT count(*) FROM turn),
        (SELECT count(*) FROM feedback WHERE rollout_id IS NOT NULL),
        (SELECT count(*) FROM outbox WHERE reported > 0),
        (SELECT count(*) FROM feedback WHERE park_until IS NOT NULL)
"""
COUNTS_OF_SESSION = """
    SELECT (SELECT count(*) FROM assignment WHERE session_id = ?1),
        (SELECT count(*) FROM turn WHERE session_id = ?1),
        (SELECT count(*) FROM feedback WHERE session_id = ?1 AND rollout_id IS NOT NULL),
        (SELECT count(*) FROM outbox WHERE session_id = ?1 AND reported > 0),
        0
"""


class _Rollouts(SqliteFile):
    """Assignments and turns."""

    def record_assignment(self, assignment: Assignment) -> asyncio.Future[Assignment | None]:
        """See `base.Rollouts`."""
        stored = asyncio.get_running_loop().create_future()
        if not self.enqueue(assignment, stored):
            stored.set_result(None)
        return stored

    def record_turn(self, turn: Turn) -> bool:
        """See `base.Rollouts`; the first record of a turn wins."""
        return self.enqueue(turn, None)

    async def assignment(self, session_id: str, rollout_id: str) -> Assignment | None:
        """See `base.Rollouts`."""
        rows = await self.rows(_sql.FIND_ASSIGNMENT, session_id, rollout_id)
        return _records.to_assignment(*rows[0]) if rows else None

    async def locate(
        self,
        *,
        rollout_id: str | None = None,
        completion_id: str | None = None,
        fingerprint: str | None = None,
    ) -> list[Assignment]:
        """See `base.Rollouts`."""
        if rollout_id is not None:
            rows = await self.rows(_sql.OF_ROLLOUT, rollout_id)
        elif completion_id is not None:
            rows = await self.rows(_sql.OF_COMPLETION, completion_id)
        else:
            rows = await self.rows(_sql.OF_FINGERPRINT, fingerprint, LOCATED)
        return [_records.to_assignment(*row) for row in rows]

    async def recent_assignments(self, session_id: str, limit: int) -> list[Assignment]:
        """See `base.Rollouts`; the newest is the one recorded last."""
        rows = await self.rows(
            "SELECT body FROM assignment WHERE session_id = ? ORDER BY id DESC LIMIT ?",
            session_id,
            limit,
        )
        return [_records.to_assignment(*row) for row in rows]

    async def tally(self, session_id: str) -> dict[str, int]:
        """See `base.Rollouts`."""
        rows = await self.rows(
            """SELECT body ->> 'candidate_id', COUNT(*) FROM assignment
            WHERE session_id = ? GROUP BY 1""",
            session_id,
        )
        return dict(rows)

    async def recent_chains(self, session_id: str, limit: int) -> list[tuple[str, str]]:
        """See `base.Rollouts`; the newest is the one recorded last."""
        return await self.rows(
            """SELECT chain_key, rollout_id FROM turn
            WHERE session_id = ? AND chain_key IS NOT NULL ORDER BY id DESC LIMIT ?""",
            session_id,
            limit,
        )

    async def chained(self, session_id: str, keys: Sequence[str]) -> str | None:
        """See `base.Rollouts`; the newest is the one recorded last."""
        rows = await self.rows(
            """SELECT rollout_id FROM turn JOIN json_each(?) AS asked ON chain_key = asked.value
            WHERE session_id = ? ORDER BY asked.key, turn.id DESC LIMIT 1""",
            _sql.marks(keys),
            session_id,
        )
        return rows[0][0] if rows else None

    async def turns(self, session_id: str, rollout_ids: Sequence[str]) -> list[Turn]:
        """See `base.Rollouts`; the oldest is the one that started first."""
        rows = await self.rows(
            """SELECT body FROM turn WHERE session_id = ?
            AND rollout_id IN (SELECT value FROM json_each(?)) ORDER BY id""",
            session_id,
            _sql.marks(rollout_ids),
        )
        return sorted((_records.to_turn(*row) for row in rows), key=lambda turn: turn.started_at)

    async def prune(self, before: float) -> int:
        """See `base.Store`."""

        def step(db: sqlite3.Connection) -> int:
            return db.execute(
                """UPDATE turn SET captured = 0, body = json_remove(body, '$.request', '$.reply')
                WHERE id IN
                    (SELECT id FROM turn WHERE captured = 1 AND started_at < ? LIMIT ?)""",
                (before, PRUNE_STEP),
            ).rowcount

        total = touched = await self.write(step)
        while touched == PRUNE_STEP:
            touched = await self.write(step)
            total += touched
        return total


class _Feedback(SqliteFile):
    """Events, their attribution, the outbox."""

    async def add_feedback(
        self, events: Sequence[FeedbackEvent], park_until: float
    ) -> list[FeedbackEvent | None]:
        """See `base.Feedback`."""

        def add(db: sqlite3.Connection) -> list[FeedbackEvent | None]:
            known = {
                event_id: _records.to_event(*row)
                for event_id, *row in db.execute(
                    """SELECT event_id, body, session_id, rollout_id FROM feedback
                    WHERE event_id IN (SELECT value FROM json_each(?))""",
                    (_sql.marks([event.event_id for event in events]),),
                )
            }
            found = []
            for event in events:
                found.append(known.get(event.event_id))
                if found[-1] is None:
                    known[event.event_id] = event
                    db.execute(
                        """INSERT INTO feedback (event_id, received_at, park_until, body)
                        VALUES (?, ?, ?, ?)""",
                        (event.event_id, event.received_at, park_until, _records.dump(event)),
                    )
            return found

        return await self.write(add)

    async def waiting_feedback(self, limit: int, after: str = "") -> list[FeedbackEvent]:
        """See `base.Feedback`."""
        rows = await self.rows(
            """SELECT body, NULL, NULL FROM feedback
            WHERE park_until IS NOT NULL AND event_id > ? ORDER BY event_id LIMIT ?""",
            after,
            limit,
        )
        return [_records.to_event(*row) for row in rows]

    async def attribute(self, event_id: str, session_id: str, rollout_id: str) -> bool:
        """See `base.Feedback`; from now on the event carries these two ids."""

        def tie(db: sqlite3.Connection) -> bool:
            waited = db.execute(
                """UPDATE feedback SET park_until = NULL, session_id = ?, rollout_id = ?
                WHERE event_id = ? AND park_until IS NOT NULL RETURNING received_at""",
                (session_id, rollout_id, event_id),
            ).fetchall()
            for (received_at,) in waited:
                db.execute(
                    """INSERT INTO outbox (session_id, rollout_id, revision, since)
                    VALUES (?, ?, 1, ?)
                    ON CONFLICT DO UPDATE SET
                        since = iif(revision > reported, min(since, excluded.since),
                            excluded.since),
                        revision = revision + 1, attempts = 0, until = 0, dead = 0, error = ''""",
                    (session_id, rollout_id, received_at),
                )
            return bool(waited)

        return await self.write(tie)

    async def expire_feedback(self, now: float) -> int:
        """See `base.Feedback`."""
        return await self._change(
            "UPDATE feedback SET park_until = NULL WHERE park_until <= ?", now
        )

    async def events_of(self, session_id: str, rollout_id: str) -> list[FeedbackEvent]:
        """See `base.Feedback`."""
        rows = await self.rows(
            """SELECT body, session_id, rollout_id FROM feedback
            WHERE session_id = ? AND rollout_id = ?""",
            session_id,
            rollout_id,
        )
        return [_records.to_event(*row) for row in rows]

    async def erase_actor(self, actor: str, alias: str) -> list[FeedbackEvent]:
        """See `base.Feedback`. There is no index: it reads all feedback, and is rare."""

        def erase(db: sqlite3.Connection) -> list[FeedbackEvent]:
            events = [
                erased(_records.to_event(*row), alias)
                for row in db.execute(
                    """SELECT body, session_id, rollout_id FROM feedback
                    WHERE body ->> 'actor' IN (?, ?)""",
                    (actor, alias),
                )
            ]
            db.executemany(
                "UPDATE feedback SET body = ? WHERE event_id = ?",
                [(_records.dump(event), event.event_id) for event in events],
            )
            return events

        return await self.write(erase)

    async def due_rewards(self, now: float, limit: int) -> list[DueReward]:
        """See `base.Feedback`."""
        rows = await self.rows(
            """SELECT session_id, rollout_id, revision, reported, attempts FROM outbox
            WHERE revision > reported AND dead = 0 AND until <= ? ORDER BY since, id LIMIT ?""",
            now,
            limit,
        )
        return [DueReward(*row) for row in rows]

    async def mark_reported(self, session_id: str, rollout_id: str, revision: int) -> None:
        """See `base.Feedback`; who takes deliveries is not dead."""
        await self._change(
            """UPDATE outbox SET reported = max(reported, ?), attempts = 0, dead = 0
            WHERE session_id = ? AND rollout_id = ?""",
            revision,
            session_id,
            rollout_id,
        )

    async def put_off(
        self, session_id: str, rollout_id: str, until: float, error: str, *, dead: bool
    ) -> None:
        """See `base.Feedback`; for a dead letter, `until` is when it was given up."""
        await self._change(
            """UPDATE outbox
            SET since = ?, until = ?, attempts = attempts + 1, error = ?, dead = ?
            WHERE session_id = ? AND rollout_id = ? AND revision > reported""",
            *(until, until, error, int(dead), session_id, rollout_id),
        )

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        """See `base.Feedback`."""
        rows = await self.rows(
            """SELECT session_id, rollout_id, revision, error, since FROM outbox
            WHERE dead = 1 ORDER BY since, id LIMIT ?""",
            limit,
        )
        return [DeadLetter(*row) for row in rows]

    async def replay(self, session_id: str, rollout_id: str) -> bool:
        """See `base.Feedback`; it is due at once, with a fresh count of attempts."""
        revived = await self._change(
            """UPDATE outbox SET attempts = 0, until = 0, dead = 0
            WHERE session_id = ? AND rollout_id = ? AND dead = 1""",
            session_id,
            rollout_id,
        )
        return revived > 0

    async def _change(self, statement: str, *values: object) -> int:
        """One writing statement; how many rows it touched."""
        return await self.write(lambda db: db.execute(statement, values).rowcount)


class _Sessions(SqliteFile):
    """Creation records, journals, snapshots."""

    async def add_session(self, record: SessionRecord) -> SessionRecord | None:
        """See `base.Sessions`."""

        def add(db: sqlite3.Connection) -> SessionRecord | None:
            known = db.execute(
                "SELECT body FROM session WHERE session_id = ?", (record.session_id,)
            ).fetchall()
            if known:
                return SessionRecord(**_records.load(known[0][0]))
            db.execute(
                "INSERT INTO session (session_id, created_at, body) VALUES (?, ?, ?)",
                (record.session_id, record.created_at, _records.dump(record)),
            )
            return None

        return await self.write(add)

    async def sessions(self) -> list[SessionRecord]:
        """See `base.Sessions`."""
        rows = await self.rows("SELECT body FROM session ORDER BY created_at, rowid")
        return [SessionRecord(**_records.load(body)) for (body,) in rows]

    async def session_count(self) -> int:
        """See `base.Sessions`."""
        ((count,),) = await self.rows("SELECT count(*) FROM session")
        return int(count)

    async def append(
        self,
        session_id: str,
        entries: Sequence[JournalEntry],
        *,
        after: int | None = None,
        token: int = 0,
    ) -> list[JournalEntry]:
        """See `base.Sessions`."""

        def add(db: sqlite3.Connection) -> list[JournalEntry] | Exception:
            ((last,),) = db.execute(
                "SELECT ifnull(max(seq), 0) FROM journal WHERE session_id = ?", (session_id,)
            ).fetchall()
            if token and not _sql.raise_fence(db, f"session:{session_id}", token):
                return Deposed()
            if after is not None and after != last:
                return JournalMoved()
            keys = _sql.marks([entry.key for entry in entries])
            known = {
                key
                for (key,) in db.execute(
                    """SELECT key FROM journal
                    WHERE session_id = ? AND key IN (SELECT value FROM json_each(?))""",
                    (session_id, keys),
                )
            }
            appended: list[JournalEntry] = []
            for entry in entries:
                if entry.key not in known:
                    known.add(entry.key)
                    appended.append(replace(entry, seq=last + len(appended) + 1))
            db.executemany(
                "INSERT INTO journal (session_id, seq, key, subject, body) VALUES (?, ?, ?, ?, ?)",
                [(session_id, e.seq, e.key, e.subject, _records.dump(e)) for e in appended],
            )
            return appended

        appended = await self.write(add)
        if isinstance(appended, Exception):
            raise appended
        return appended

    async def journal(self, session_id: str, after: int, limit: int) -> list[JournalEntry]:
        """See `base.Sessions`."""
        rows = await self.rows(
            "SELECT body, seq FROM journal WHERE session_id = ? AND seq > ? ORDER BY seq LIMIT ?",
            session_id,
            after,
            limit,
        )
        return [_records.to_entry(*row) for row in rows]

    async def last_entries(
        self, session_id: str, subjects: Sequence[str]
    ) -> dict[str, JournalEntry]:
        """See `base.Sessions`."""
        rows = await self.rows(
            """SELECT body, max(seq) FROM journal
            WHERE session_id = ? AND subject IN (SELECT value FROM json_each(?))
            AND body ->> 'kind' = ? GROUP BY subject""",
            session_id,
            _sql.marks(subjects),
            Entry.REWARD.value,
        )
        entries = [_records.to_entry(*row) for row in rows]
        return {entry.subject: entry for entry in entries}

    async def save_snapshot(self, session_id: str, snapshot: Snapshot) -> None:
        """See `base.Sessions`."""

        def save(db: sqlite3.Connection) -> None:
            db.execute(
                """INSERT INTO snapshot (session_id, seq, state) VALUES (?, ?, ?)
                ON CONFLICT DO UPDATE SET seq = excluded.seq, state = excluded.state
                WHERE excluded.seq >= seq""",
                (session_id, snapshot.seq, snapshot.state),
            )

        await self.write(save)

    async def snapshot(self, session_id: str) -> Snapshot | None:
        """See `base.Sessions`."""
        rows = await self.rows("SELECT seq, state FROM snapshot WHERE session_id = ?", session_id)
        return Snapshot(*rows[0]) if rows else None


class _Secrets(SqliteFile):
    """Named secrets."""

    async def keep_secret(self, secret: Secret) -> Secret:
        """See `base.Secrets`."""

        def keep(db: sqlite3.Connection) -> Secret:
            db.execute(
                "INSERT OR IGNORE INTO secret (name, value, updated_at) VALUES (?, ?, ?)",
                (secret.name, secret.value, secret.updated_at),
            )
            row = db.execute(
                "SELECT name, value, updated_at FROM secret WHERE name = ?", (secret.name,)
            )
            return Secret(*row.fetchone())

        return await self.write(keep)

    async def put_secret(self, secret: Secret) -> None:
        """See `base.Secrets`."""

        def put(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT OR REPLACE INTO secret (name, value, updated_at) VALUES (?, ?, ?)",
                (secret.name, secret.value, secret.updated_at),
            )

        await self.write(put)

    async def secret(self, name: str) -> Secret | None:
        """See `base.Secrets`."""
        rows = await self.rows("SELECT name, value, updated_at FROM secret WHERE name = ?", name)
        return Secret(*rows[0]) if rows else None


class SqliteStore(_Rollouts, _Feedback, _Sessions, _Secrets, SqliteJobs, SqliteLeases):
    """A `base.Store` in a file."""

    async def counts(self, session_id: str | None = None) -> Counts:
        """See `base.Store`; one statement, so that the numbers are of one moment."""
        if session_id is None:
            rows = await self.rows(COUNTS)
        else:
            rows = await self.rows(COUNTS_OF_SESSION, session_id)
        return Counts(*rows[0])
