"""All parts behind one life cycle."""

from sidecar.store.base import Counts
from sidecar.store.redis.feedback import RedisFeedback
from sidecar.store.redis.jobs import RedisJobs
from sidecar.store.redis.leases import RedisLeases
from sidecar.store.redis.rollouts import RedisRollouts
from sidecar.store.redis.secrets import RedisSecrets
from sidecar.store.redis.server import text
from sidecar.store.redis.sessions import RedisSessions


class RedisStore(RedisRollouts, RedisFeedback, RedisSessions, RedisJobs, RedisSecrets, RedisLeases):
    """A `base.Store` on a server that several sidecars share."""

    async def counts(self, session_id: str | None = None) -> Counts:
        """See `base.Store`; while others write, the numbers are not of one moment."""
        feedback = await self.ask("HGETALL", self._keys.feedback("counts"))
        of_feedback = {text(name): int(count) for name, count in feedback.items()}
        if session_id is None:
            seen = await self.ask("SMEMBERS", self._keys.sessions("seen"))
            sessions = {*map(text, seen), *(name.partition(":")[2] for name in of_feedback)}
            waiting = await self.ask("ZCARD", self._keys.feedback("waiting"))
        else:
            sessions, waiting = {session_id}, 0
        tallies = await self.ask_all(
            [("HVALS", self._keys.session(session, "tally")) for session in sessions]
        )
        turns = await self.ask_all(
            [("HGET", self._keys.session(session, "counts"), "turns") for session in sessions]
        )
        return Counts(
            rollouts=sum(int(count) for tally in tallies for count in tally),
            turns=sum(int(count or 0) for count in turns),
            feedback=sum(of_feedback.get(f"feedback:{session}", 0) for session in sessions),
            rewards=sum(of_feedback.get(f"rewards:{session}", 0) for session in sessions),
            waiting=waiting,
        )
