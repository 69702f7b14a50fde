"""Assignments and turns."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from sidecar.core.rollout import Assignment, Turn
from sidecar.store._records import dump, load, to_assignment, turn_of
from sidecar.store.base import LOCATED
from sidecar.store.redis import scripts
from sidecar.store.redis.scripts import Command
from sidecar.store.redis.server import PAGE, RedisServer, text

_TURN, _CONTENT = b"turn:", b"content:"


class RedisRollouts(RedisServer):
    """See `base.Rollouts`."""

    def record_assignment(self, assignment: Assignment) -> asyncio.Future[Assignment | None]:
        """See `base.Rollouts`."""
        try:
            commands = self._assignment_commands(assignment)
        except TypeError:  # nothing that could be stored
            stored: asyncio.Future[Assignment | None] = asyncio.get_running_loop().create_future()
            stored.set_result(None)
            return stored
        return self._recorder.record(commands, to_assignment)

    def record_turn(self, turn: Turn) -> bool:
        """See `base.Rollouts`; the first record of a turn wins."""
        try:
            commands = self._turn_commands(turn)
        except TypeError:
            return False
        return self._recorder.put(commands)

    async def assignment(self, session_id: str, rollout_id: str) -> Assignment | None:
        """See `base.Rollouts`."""
        body = await self.ask("HGET", self._keys.rollout(session_id, rollout_id), "assignment")
        return to_assignment(body) if body else None

    async def locate(
        self,
        *,
        rollout_id: str | None = None,
        completion_id: str | None = None,
        fingerprint: str | None = None,
    ) -> list[Assignment]:
        """See `base.Rollouts`."""
        if rollout_id is not None:
            sessions = await self.ask("SMEMBERS", self._keys.where(rollout_id))
            places = sorted((text(session), rollout_id) for session in sessions)
        else:
            if completion_id is not None:
                holders = await self.ask("SMEMBERS", self._keys.answer(completion_id))
            else:
                holders = await self.ask("ZRANGE", self._keys.said(fingerprint or ""), 0, -1)
            places = sorted((session, rollout) for session, rollout in map(load, holders))
        bodies = await self.ask_all(
            [("HGET", self._keys.rollout(*place), "assignment") for place in places]
        )
        return [to_assignment(body) for body in bodies if body]

    async def recent_assignments(self, session_id: str, limit: int) -> list[Assignment]:
        """See `base.Rollouts`; the newest is the one recorded last."""
        found: dict[str, Assignment] = {}
        async for body in self._newest(self._keys.session(session_id, "recent"), limit):
            assignment = to_assignment(body)
            found.setdefault(assignment.rollout_id, assignment)
        return list(found.values())

    async def recent_chains(self, session_id: str, limit: int) -> list[tuple[str, str]]:
        """See `base.Rollouts`; the newest is the one recorded last."""
        found = [
            tuple(load(body))
            async for body in self._newest(self._keys.session(session_id, "chains"), limit)
        ]
        return list(dict.fromkeys(found))

    async def chained(self, session_id: str, keys: Sequence[str]) -> str | None:
        """See `base.Rollouts`; the newest is the one recorded last."""
        places = [self._keys.session(session_id, f"chain:{key}") for key in keys]
        found = await self.ask("MGET", *places) if places else []
        return next((text(rollout) for rollout in found if rollout is not None), None)

    async def tally(self, session_id: str) -> dict[str, int]:
        """See `base.Rollouts`."""
        counts = await self.ask("HGETALL", self._keys.session(session_id, "tally"))
        return {text(candidate): int(count) for candidate, count in counts.items()}

    async def turns(self, session_id: str, rollout_ids: Sequence[str]) -> list[Turn]:
        """See `base.Rollouts`; the oldest is the one that started first."""
        asked = [("HGETALL", self._keys.rollout(session_id, r)) for r in dict.fromkeys(rollout_ids)]
        found = [turn for fields in await self.ask_all(asked) for turn in _turns(fields)]
        return sorted(found, key=lambda turn: (turn.started_at, turn.turn_id))

    async def prune(self, before: float) -> int:
        """See `base.Store`; what was recorded so far is stored when this returns."""
        await self._recorder.caught_up()
        sessions = await self.ask("SMEMBERS", self._keys.sessions("seen"))
        return sum([await self._prune(text(session), before) for session in sorted(sessions)])

    async def _prune(self, session_id: str, before: float) -> int:
        captured = self._keys.session(session_id, "captured")
        oldest = ("ZRANGEBYSCORE", captured, "-inf", f"({before!r}", "LIMIT", 0, PAGE)
        emptied = 0
        while names := await self.ask(*oldest):
            gone = await self.ask_all(
                [
                    ("HDEL", self._keys.rollout(session_id, rollout), f"content:{turn}")
                    for rollout, turn in map(load, names)
                ]
            )
            emptied += sum(gone)
            await self.ask("ZREM", captured, *names)
        return emptied

    async def _newest(self, key: str, limit: int) -> AsyncIterator[bytes]:
        """The beginning of a list. What is put before it meanwhile may show some items twice."""
        for start in range(0, limit, PAGE):
            page = await self.ask("LRANGE", key, start, min(start + PAGE, limit) - 1)
            for item in page:
                yield item
            if len(page) < PAGE:
                return

    def _assignment_commands(self, assignment: Assignment) -> list[Command]:
        session, rollout = assignment.session_id, assignment.rollout_id
        keys = [
            self._keys.rollout(session, rollout),
            self._keys.session(session, "recent"),
            self._keys.session(session, "tally"),
        ]
        body = dump(assignment)
        return [
            ("SADD", self._keys.sessions("seen"), session),
            *self._kept_in_set(self._keys.where(rollout), session),
            scripts.ASSIGN.call(keys, body, assignment.candidate_id, self._kept, self._listed),
        ]

    def _turn_commands(self, turn: Turn) -> list[Command]:
        session, rollout = turn.session_id, turn.rollout_id
        captured = bool(turn.request or turn.reply)
        content = dump({"request": turn.request, "reply": turn.reply}) if captured else ""
        chain = dump([turn.chain_key, rollout]) if turn.chain_key is not None else ""
        found_at = [self._keys.session(session, f"chain:{turn.chain_key}")] if chain else []
        member = dump([session, rollout])
        place = self._keys.answer(turn.completion_id) if turn.completion_id is not None else ""
        said = self._keys.said(turn.fingerprint) if turn.fingerprint is not None else ""
        whats = ("chains", "captured", "counts")
        return [
            ("SADD", self._keys.sessions("seen"), session),
            *(self._kept_in_set(place, member) if place else ()),
            *(self._kept_newest(said, turn.started_at, member) if said else ()),
            scripts.TURN.call(
                [
                    self._keys.rollout(session, rollout),
                    *(self._keys.session(session, what) for what in whats),
                    *found_at,
                ],
                *(turn.turn_id, dump(replace(turn, request=(), reply="")), self._kept),
                *(content, dump([rollout, turn.turn_id]), turn.started_at),
                *(chain, self._listed, rollout),
            ),
        ]

    def _kept_in_set(self, key: str, member: str) -> list[Command]:
        """Before what it leads to, so that nothing is there that cannot be found."""
        return [("SADD", key, member), ("EXPIRE", key, self._kept)]

    def _kept_newest(self, key: str, at: float, member: str) -> list[Command]:
        """The same, for what many may have in common: only the newest can be found."""
        return [
            ("ZADD", key, repr(at), member),
            ("ZREMRANGEBYRANK", key, 0, -LOCATED - 1),
            ("EXPIRE", key, self._kept),
        ]


def _turns(fields: dict[bytes, bytes]) -> list[Turn]:
    """The turns in a rollout's hash."""
    found = []
    for name, body in fields.items():
        if name.startswith(_TURN):
            content: dict[str, Any] = load(fields.get(_CONTENT + name.removeprefix(_TURN), b"{}"))
            found.append(turn_of(load(body) | content))
    return found
