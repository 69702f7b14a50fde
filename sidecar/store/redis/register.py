"""What sessions and jobs have in common: a register of records, and journals."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from sidecar.core.job import JobEvent
from sidecar.core.session import JournalEntry
from sidecar.store.base import Deposed, JournalMoved
from sidecar.store.redis import scripts
from sidecar.store.redis.server import PAGE, RedisServer, pages

E = TypeVar("E", JournalEntry, JobEvent)

_Of = Callable[[str], str]
"""The key of a part of the register."""


class RedisRegister(RedisServer):
    """Records by id, in the order they came; journals, in which a number is a place."""

    async def add_record(self, of: _Of, name: str, body: str) -> bytes | None:
        """Nothing when it is new, else the record of that id."""
        keys = [of("records"), of("order")]
        known: bytes | None = await self.write(scripts.ADD_RECORD.call(keys, name, body))
        return known

    async def records(self, of: _Of) -> list[bytes]:
        """All records, in the order they came."""
        names = await self.ask("LRANGE", of("order"), 0, -1)
        found: list[bytes] = []
        for page in pages(names):
            found += filter(None, await self.ask("HMGET", of("records"), *page))
        return found

    async def append_numbered(
        self,
        keys: Sequence[str],
        entries: Sequence[E],
        values: Sequence[str],
        *,
        after: int | None = None,
        token: int = 0,
    ) -> list[E]:
        """Append to a journal; `values` is what the script takes for the entries. See
        `base.Sessions.append`."""
        length = "" if after is None else after
        answer = await self.write(scripts.APPEND.call(keys, length, token, *values))
        if isinstance(answer, bytes):
            raise JournalMoved if answer == b"moved" else Deposed
        numbered = zip(entries, answer, strict=True)
        return [replace(entry, seq=number) for entry, number in numbered if number]

    async def entries(self, key: str, after: int, limit: int) -> list[tuple[int, bytes]]:
        """A journal's entries with numbers above `after`, each with its number."""
        start = max(after, 0)
        found: list[bytes] = []
        while len(found) < limit:
            first, last = start + len(found), start + min(len(found) + PAGE, limit) - 1
            page = await self.ask("LRANGE", key, first, last)
            found += page
            if len(page) < PAGE:
                break
        return list(enumerate(found, start + 1))

    async def numbers(self, key: str, names: Sequence[str]) -> list[int]:
        """The numbers under these names, where there are some."""
        found: list[bytes] = []
        for page in pages(names):
            found += filter(None, await self.ask("HMGET", key, *page))
        return sorted(map(int, found))

    async def at_numbers(self, key: str, numbers: Sequence[int]) -> list[tuple[int, bytes]]:
        """The journal's entries with these numbers."""
        bodies = await self.ask_all([("LINDEX", key, number - 1) for number in numbers])
        return [(seq, body) for seq, body in zip(numbers, bodies, strict=True) if body]
