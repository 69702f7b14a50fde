"""Acknowledged events, the attribution of each, and the outbox.

All of it is in one place of a cluster: an event comes before it is known whose it is, and becoming
somebody's and being due is one step.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from sidecar.core.feedback import FeedbackEvent, erased
from sidecar.store._records import dump, to_event
from sidecar.store.base import DeadLetter, DueReward
from sidecar.store.redis import scripts
from sidecar.store.redis.server import PAGE, RedisServer, text


class RedisFeedback(RedisServer):
    """See `base.Feedback`."""

    async def add_feedback(
        self, events: Sequence[FeedbackEvent], park_until: float
    ) -> list[FeedbackEvent | None]:
        """See `base.Feedback`."""
        if not events:
            return []
        parked = max(0.0, park_until - min(event.received_at for event in events))
        keys = [self._keys.feedback(f"event:{event.event_id}") for event in events]
        values = [
            value
            for event in events
            for value in (event.event_id, dump(event), repr(event.received_at))
        ]
        await self._index(events, self._kept + round(parked))
        found = await self.write(
            scripts.ADD_EVENTS.call(
                [*self._feedback_keys("waiting", "parked"), *keys],
                *(repr(park_until), self._kept + round(parked), *values),
            )
        )
        await self._link.look_again()  # what is acknowledged says whether it is kept
        return [_event(*known) if known else None for known in found]

    async def waiting_feedback(self, limit: int, after: str = "") -> list[FeedbackEvent]:
        """See `base.Feedback`."""
        waiting = self._keys.feedback("waiting")
        start = f"({after}" if after else "-"
        names = await self.ask("ZRANGEBYLEX", waiting, start, "+", "LIMIT", 0, limit)
        bodies = await self.ask_all(
            [("HGET", self._keys.feedback(f"event:{text(name)}"), "body") for name in names]
        )
        return [to_event(body) for body in bodies if body]

    async def attribute(self, event_id: str, session_id: str, rollout_id: str) -> bool:
        """See `base.Feedback`; from now on the event carries these two ids."""
        name = _name(session_id, rollout_id)
        whats = (f"event:{event_id}", "waiting", "parked", f"of:{name}", f"row:{name}")
        command = scripts.ATTRIBUTE.call(
            self._feedback_keys(*whats, "due", "later", "dead", "counts"),
            *(event_id, session_id, rollout_id, name, self._kept),
        )
        return bool(await self.write(command))

    async def expire_feedback(self, now: float) -> int:
        """See `base.Feedback`."""
        step = scripts.EXPIRE_EVENTS.call(self._feedback_keys("waiting", "parked"), repr(now), PAGE)
        total = expired = await self.write(step)
        while expired == PAGE:
            expired = await self.write(step)
            total += expired
        return int(total)

    async def events_of(self, session_id: str, rollout_id: str) -> list[FeedbackEvent]:
        """See `base.Feedback`."""
        name = _name(session_id, rollout_id)
        bodies = await self.ask("HVALS", self._keys.feedback(f"of:{name}"))
        return [to_event(body, session_id, rollout_id) for body in bodies]

    async def _index(self, events: Sequence[FeedbackEvent], seconds: int) -> None:
        """Note whose events these are; before they are stored, so that none is missed."""
        for event in events:
            if event.actor is not None:
                key = self._actor_key(event.actor)
                await self.ask_all([("SADD", key, event.event_id), ("EXPIRE", key, seconds)])

    async def erase_actor(self, actor: str, alias: str) -> list[FeedbackEvent]:
        """See `base.Feedback`; events from before they were noted by actor are not found."""
        old, new = self._actor_key(actor), self._actor_key(alias)
        await self.write(("SUNIONSTORE", new, old, new))
        names = [text(name) for name in await self.ask("SMEMBERS", new)]
        events = [event for name in names if (event := await self._erase_event(name, alias))]
        await self.ask_all([("EXPIRE", new, self._kept), ("DEL", old)])
        return events

    async def _erase_event(self, event_id: str, alias: str) -> FeedbackEvent | None:
        """The event first and its copy after it: what is attributed in between is a copy of the
        new one."""
        key = self._keys.feedback(f"event:{event_id}")
        body = await self.ask("HGET", key, "body")
        if body is None:
            return None
        event = erased(to_event(body), alias)
        await self.write(("HSET", key, "body", dump(event)))
        session_id, rollout_id = await self.ask("HMGET", key, "session", "rollout")
        if session_id is None or rollout_id is None:
            return event
        of = self._keys.feedback(f"of:{_name(text(session_id), text(rollout_id))}")
        if await self.ask("HEXISTS", of, event_id):
            await self.write(("HSET", of, event_id, dump(event)))
        return replace(event, session_id=text(session_id), rollout_id=text(rollout_id))

    def _actor_key(self, actor: str) -> str:
        digest = sha256(actor.encode(errors="replace")).hexdigest()
        return self._keys.feedback(f"actor:{digest}")

    async def due_rewards(self, now: float, limit: int) -> list[DueReward]:
        """See `base.Feedback`."""
        due, later = self._feedback_keys("due", "later")
        lines = await self.ask_all(
            [
                ("ZRANGEBYSCORE", due, "-inf", "+inf", "WITHSCORES", "LIMIT", 0, limit),
                ("ZRANGEBYSCORE", later, "-inf", repr(now), "WITHSCORES", "LIMIT", 0, limit),
            ]
        )
        line = sorted((score, name) for scored in lines for name, score in _scored(scored))
        names = [name for _, name in line[:limit]]
        rows = await self._rows(names, "revision", "reported", "attempts")
        found = [
            DueReward(*_ids(name), *map(int, row))
            for name, row in zip(names, rows, strict=True)
            if row[0] is not None
        ]
        return [reward for reward in found if reward.revision > reward.reported]

    async def mark_reported(self, session_id: str, rollout_id: str, revision: int) -> None:
        """See `base.Feedback`; who takes deliveries is not dead."""
        name = _name(session_id, rollout_id)
        whats = (f"row:{name}", f"of:{name}", "due", "later", "dead", "counts")
        keys = self._feedback_keys(*whats)
        await self.write(scripts.MARK_REPORTED.call(keys, name, revision, session_id, self._kept))

    async def put_off(
        self, session_id: str, rollout_id: str, until: float, error: str, *, dead: bool
    ) -> None:
        """See `base.Feedback`; for a dead letter, `until` is when it was given up."""
        name = _name(session_id, rollout_id)
        keys = self._feedback_keys(f"row:{name}", "due", "later", "dead")
        await self.write(scripts.PUT_OFF.call(keys, name, repr(until), error, int(dead)))

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        """See `base.Feedback`."""
        dead = self._keys.feedback("dead")
        command = ("ZRANGEBYSCORE", dead, "-inf", "+inf", "WITHSCORES", "LIMIT", 0, limit)
        scored = _scored(await self.ask(*command))
        rows = await self._rows([name for name, _ in scored], "revision", "error")
        return [
            DeadLetter(*_ids(name), int(row[0]), text(row[1]), at)
            for (name, at), row in zip(scored, rows, strict=True)
            if row[0] is not None
        ]

    async def replay(self, session_id: str, rollout_id: str) -> bool:
        """See `base.Feedback`; it is due at once, with a fresh count of attempts."""
        name = _name(session_id, rollout_id)
        keys = self._feedback_keys(f"row:{name}", "due", "dead")
        return bool(await self.write(scripts.REPLAY.call(keys, name)))

    def _feedback_keys(self, *whats: str) -> list[str]:
        return [self._keys.feedback(what) for what in whats]

    async def _rows(self, names: Sequence[str], *fields: str) -> list[list[Any]]:
        """These fields of the outbox's rows."""
        return await self.ask_all(
            [("HMGET", self._keys.feedback(f"row:{name}"), *fields) for name in names]
        )


def _event(body: bytes, session_id: bytes | None, rollout_id: bytes | None) -> FeedbackEvent:
    if session_id is None or rollout_id is None:
        return to_event(body)
    return to_event(body, text(session_id), text(rollout_id))


def _name(session_id: str, rollout_id: str) -> str:
    """A row's name; session ids hold no slash."""
    return f"{session_id}/{rollout_id}"


def _ids(name: str) -> tuple[str, str]:
    session_id, _, rollout_id = name.partition("/")
    return session_id, rollout_id


def _scored(flat: Sequence[bytes]) -> list[tuple[str, float]]:
    """Member and score, which the protocol sends one after the other."""
    return [(text(flat[i]), float(flat[i + 1])) for i in range(0, len(flat), 2)]
