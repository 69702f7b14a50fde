"""Offline jobs: their records, their journals, and what they left behind."""

from collections.abc import Sequence
from operator import attrgetter

from sidecar.core.job import JobEvent, JobRecord
from sidecar.store._records import dump, to_job, to_job_event
from sidecar.store.base import Deposed
from sidecar.store.redis import scripts
from sidecar.store.redis.register import RedisRegister
from sidecar.store.redis.server import text

_END = "9" * 16
"""A number above all that there are; the index of types holds 16 digits."""


class RedisJobs(RedisRegister):
    """See `base.Jobs`."""

    async def add_job(self, record: JobRecord) -> JobRecord | None:
        """See `base.Jobs`."""
        known = await self.add_record(self._keys.jobs, record.job_id, dump(record))
        return to_job(known) if known else None

    async def jobs(self) -> list[JobRecord]:
        """See `base.Jobs`."""
        known = [to_job(body) for body in await self.records(self._keys.jobs)]
        return sorted(known, key=attrgetter("created_at"))

    async def job_count(self) -> int:
        """See `base.Jobs`."""
        return int(await self.ask("LLEN", self._keys.jobs("order")))

    async def append_events(
        self,
        job_id: str,
        events: Sequence[JobEvent],
        *,
        after: int | None = None,
        token: int = 0,
    ) -> list[JobEvent]:
        """See `base.Jobs`."""
        if not (events or token):
            return []
        keys = [
            self._keys.job(job_id, what) for what in ("events", "keys", "last", "fence", "types")
        ]
        values = [value for event in events for value in (event.key, event.type, dump(event))]
        return await self.append_numbered(keys, events, values, after=after, token=token)

    async def job_events(
        self, job_id: str, after: int, limit: int, types: Sequence[str] = ()
    ) -> list[JobEvent]:
        """See `base.Jobs`."""
        key = self._keys.job(job_id, "events")
        if types:
            found = await self.at_numbers(key, await self._of_types(job_id, after, limit, types))
        else:
            found = await self.entries(key, after, limit)
        return [to_job_event(body, seq) for seq, body in found]

    async def last_events(self, job_id: str, types: Sequence[str]) -> list[JobEvent]:
        """See `base.Jobs`."""
        last = await self.numbers(self._keys.job(job_id, "last"), types)
        found = await self.at_numbers(self._keys.job(job_id, "events"), last)
        return [to_job_event(body, seq) for seq, body in found]

    async def keep_artifact(
        self, job_id: str, name: str, content: bytes, *, token: int = 0
    ) -> None:
        """See `base.Jobs`."""
        keys = [self._keys.job(job_id, what) for what in ("artifacts", "fence")]
        if not await self.write(scripts.KEEP_ARTIFACT.call(keys, token, name, content)):
            raise Deposed

    async def artifact(self, job_id: str, name: str) -> bytes | None:
        """See `base.Jobs`."""
        content: bytes | None = await self.ask("HGET", self._keys.job(job_id, "artifacts"), name)
        return content

    async def artifacts(self, job_id: str) -> list[tuple[str, int]]:
        """See `base.Jobs`."""
        key = self._keys.job(job_id, "artifacts")
        names = sorted(map(text, await self.ask("HKEYS", key)))
        sizes = await self.ask_all([("HSTRLEN", key, name) for name in names])
        return list(zip(names, sizes, strict=True))

    async def _of_types(
        self, job_id: str, after: int, limit: int, types: Sequence[str]
    ) -> list[int]:
        """The numbers of the events of these types, from after `after`."""
        key = self._keys.job(job_id, "types")
        found = await self.ask_all(
            [
                (
                    *("ZRANGEBYLEX", key, f"({kind}\0{max(after, 0):016d}", f"[{kind}\0{_END}"),
                    *("LIMIT", 0, limit),
                )
                for kind in dict.fromkeys(types)
            ]
        )
        return sorted(int(name.rpartition(b"\0")[2]) for names in found for name in names)[:limit]
