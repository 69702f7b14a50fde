"""Creation records, journals, snapshots."""

from collections.abc import Sequence
from operator import attrgetter

from sidecar.core.session import Entry, JournalEntry, SessionRecord, Snapshot
from sidecar.store._records import dump, load, to_entry
from sidecar.store.redis import scripts
from sidecar.store.redis.register import RedisRegister


class RedisSessions(RedisRegister):
    """See `base.Sessions`."""

    async def add_session(self, record: SessionRecord) -> SessionRecord | None:
        """See `base.Sessions`."""
        known = await self.add_record(self._keys.sessions, record.session_id, dump(record))
        return SessionRecord(**load(known)) if known else None

    async def sessions(self) -> list[SessionRecord]:
        """See `base.Sessions`."""
        known = [SessionRecord(**load(body)) for body in await self.records(self._keys.sessions)]
        return sorted(known, key=attrgetter("created_at"))

    async def session_count(self) -> int:
        """See `base.Sessions`."""
        return int(await self.ask("LLEN", self._keys.sessions("order")))

    async def append(
        self,
        session_id: str,
        entries: Sequence[JournalEntry],
        *,
        after: int | None = None,
        token: int = 0,
    ) -> list[JournalEntry]:
        """See `base.Sessions`."""
        if not entries:
            return []
        whats = ("journal", "keys", "last", "fence")
        keys = [self._keys.session(session_id, what) for what in whats]
        values = [
            value
            for entry in entries
            for value in (
                entry.key,
                f"={entry.subject}" if entry.kind is Entry.REWARD else "",
                dump(entry),
            )
        ]
        return await self.append_numbered(keys, entries, values, after=after, token=token)

    async def journal(self, session_id: str, after: int, limit: int) -> list[JournalEntry]:
        """See `base.Sessions`."""
        page = await self.entries(self._keys.session(session_id, "journal"), after, limit)
        return [to_entry(body, seq) for seq, body in page]

    async def last_entries(
        self, session_id: str, subjects: Sequence[str]
    ) -> dict[str, JournalEntry]:
        """See `base.Sessions`."""
        names = [f"={subject}" for subject in subjects]
        last = await self.numbers(self._keys.session(session_id, "last"), names)
        found = await self.at_numbers(self._keys.session(session_id, "journal"), last)
        entries = [to_entry(body, seq) for seq, body in found]
        return {entry.subject: entry for entry in entries}

    async def save_snapshot(self, session_id: str, snapshot: Snapshot) -> None:
        """See `base.Sessions`."""
        keys = [self._keys.session(session_id, "snapshot")]
        await self.write(scripts.SAVE_SNAPSHOT.call(keys, snapshot.seq, snapshot.state))

    async def snapshot(self, session_id: str) -> Snapshot | None:
        """See `base.Sessions`."""
        key = self._keys.session(session_id, "snapshot")
        seq, state = await self.ask("HMGET", key, "seq", "state")
        return Snapshot(int(seq), state) if seq is not None else None
