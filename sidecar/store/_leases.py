"""Leases in the SQLite file. The wall clock measures them, since they outlive the process."""

import sqlite3
import time

from sidecar.store._file import SqliteFile


class SqliteLeases(SqliteFile):
    """See `base.Leases`."""

    async def lease(self, name: str, holder: str, seconds: float) -> int | None:
        """See `base.Leases`."""

        def grant(db: sqlite3.Connection) -> int | None:
            now = time.time()
            row = db.execute("SELECT holder, token, until FROM lease WHERE name = ?", (name,))
            last_holder, token, until = row.fetchone() or ("", 0, now)
            if until <= now:
                token += 1
            elif last_holder != holder:
                return None
            db.execute(
                "INSERT OR REPLACE INTO lease (name, holder, token, until) VALUES (?, ?, ?, ?)",
                (name, holder, token, now + seconds),
            )
            return int(token)

        return await self.write(grant)

    async def release(self, name: str, holder: str) -> None:
        """See `base.Leases`."""

        def end(db: sqlite3.Connection) -> None:
            db.execute("UPDATE lease SET until = 0 WHERE name = ? AND holder = ?", (name, holder))

        await self.write(end)
