"""Offline jobs in the SQLite file: their records, their journals, and what they left behind."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from sidecar.core.job import JobEvent, JobRecord
from sidecar.store import _records, _sql
from sidecar.store._file import SqliteFile
from sidecar.store.base import Deposed, JournalMoved


class SqliteJobs(SqliteFile):
    """See `base.Jobs`."""

    async def add_job(self, record: JobRecord) -> JobRecord | None:
        """See `base.Jobs`."""

        def add(db: sqlite3.Connection) -> JobRecord | None:
            known = db.execute("SELECT body FROM job WHERE job_id = ?", (record.job_id,)).fetchall()
            if known:
                return _records.to_job(*known[0])
            db.execute(
                "INSERT INTO job (job_id, created_at, body) VALUES (?, ?, ?)",
                (record.job_id, record.created_at, _records.dump(record)),
            )
            return None

        return await self.write(add)

    async def jobs(self) -> list[JobRecord]:
        """See `base.Jobs`."""
        rows = await self.rows("SELECT body FROM job ORDER BY created_at, rowid")
        return [_records.to_job(*row) for row in rows]

    async def job_count(self) -> int:
        """See `base.Jobs`."""
        ((count,),) = await self.rows("SELECT count(*) FROM job")
        return int(count)

    async def append_events(
        self,
        job_id: str,
        events: Sequence[JobEvent],
        *,
        after: int | None = None,
        token: int = 0,
    ) -> list[JobEvent]:
        """See `base.Jobs`."""

        def add(db: sqlite3.Connection) -> list[JobEvent] | Exception:
            if token and not _sql.raise_fence(db, f"job:{job_id}", token):
                return Deposed()
            ((last,),) = db.execute(
                "SELECT ifnull(max(seq), 0) FROM job_event WHERE job_id = ?", (job_id,)
            ).fetchall()
            if after is not None and after != last:
                return JournalMoved()
            keys = _sql.marks([event.key for event in events])
            known = {
                key
                for (key,) in db.execute(
                    """SELECT key FROM job_event
                    WHERE job_id = ? AND key IN (SELECT value FROM json_each(?))""",
                    (job_id, keys),
                )
            }
            appended: list[JobEvent] = []
            for event in events:
                if event.key not in known:
                    known.add(event.key)
                    appended.append(replace(event, seq=last + len(appended) + 1))
            db.executemany(
                "INSERT INTO job_event (job_id, seq, key, type, body) VALUES (?, ?, ?, ?, ?)",
                [(job_id, e.seq, e.key, e.type, _records.dump(e)) for e in appended],
            )
            return appended

        appended = await self.write(add)
        if isinstance(appended, Exception):
            raise appended
        return appended

    async def job_events(
        self, job_id: str, after: int, limit: int, types: Sequence[str] = ()
    ) -> list[JobEvent]:
        """See `base.Jobs`."""
        of_types = "AND type IN (SELECT value FROM json_each(?))" if types else ""
        rows = await self.rows(
            f"""SELECT body, seq FROM job_event
            WHERE job_id = ? AND seq > ? {of_types} ORDER BY seq LIMIT ?""",  # noqa: S608
            job_id,
            after,
            *([_sql.marks(types)] if types else []),
            limit,
        )
        return [_records.to_job_event(*row) for row in rows]

    async def last_events(self, job_id: str, types: Sequence[str]) -> list[JobEvent]:
        """See `base.Jobs`."""
        rows = await self.rows(
            """SELECT body, max(seq) AS seq FROM job_event
            WHERE job_id = ? AND type IN (SELECT value FROM json_each(?))
            GROUP BY type ORDER BY seq""",
            job_id,
            _sql.marks(types),
        )
        return [_records.to_job_event(*row) for row in rows]

    async def keep_artifact(
        self, job_id: str, name: str, content: bytes, *, token: int = 0
    ) -> None:
        """See `base.Jobs`."""

        def keep(db: sqlite3.Connection) -> bool:
            if token and not _sql.raise_fence(db, f"job:{job_id}", token):
                return False
            db.execute(
                """INSERT INTO artifact (job_id, name, content) VALUES (?, ?, ?)
                ON CONFLICT DO UPDATE SET content = excluded.content""",
                (job_id, name, content),
            )
            return True

        if not await self.write(keep):
            raise Deposed

    async def artifact(self, job_id: str, name: str) -> bytes | None:
        """See `base.Jobs`."""
        rows = await self.rows(
            "SELECT content FROM artifact WHERE job_id = ? AND name = ?", job_id, name
        )
        return bytes(rows[0][0]) if rows else None

    async def artifacts(self, job_id: str) -> list[tuple[str, int]]:
        """See `base.Jobs`."""
        return await self.rows(
            "SELECT name, length(content) FROM artifact WHERE job_id = ? ORDER BY name", job_id
        )
