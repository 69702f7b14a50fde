"""A reward of the session API: the way of any feedback, without waiting for a batch.

Stored, attributed and reported before the answer, because the published client reads the session's
status right after. When the session cannot count it now, it is stored and will be; the caller is
told to expect that, and may send the same request again: it is the same event. Only a reward that
names no rollout, just a candidate, is a new one each time, for that candidate's next rollout.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from sidecar.backend.base import Backend
from sidecar.core.rollout import Assignment
from sidecar.core.session import Status
from sidecar.errors import Conflict, InvalidRequest, NotFound, Unavailable
from sidecar.feedback.intake import Acceptance, Intake
from sidecar.feedback.session_reward import RewardRequest, as_event, event_id, parse_reward
from sidecar.rewards.reporter import Reporter
from sidecar.store.base import Store

_FINAL = frozenset(status.value for status in Status if status.final)
_LOOKED_BACK = 1000
"""Newest rollouts of a session among which a reward that names only a candidate finds its own."""


class SessionRewards:
    """Counts one reward request after the other."""

    def __init__(
        self,
        backend: Backend,
        store: Store,
        intake: Intake,
        reporter: Reporter,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._backend = backend
        self._store = store
        self._intake = intake
        self._reporter = reporter
        self._clock = clock
        self._choosing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def count(self, session: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
        """Count a reward of the session with this status, and return the published answer."""
        asked = parse_reward(body)
        session_id = session["session_id"]
        if asked.rollout_id is not None:
            assignment = await self._assignment(session_id, asked.rollout_id, asked.candidate_id)
            return await self._count(session, asked, assignment)
        # Two rewards must not choose the same rollout, and the first may have ended the session.
        async with self._choosing.setdefault(session_id, asyncio.Lock()):
            session = await self._backend.status(session_id)
            assert asked.candidate_id is not None
            return await self._count(session, asked, await self._next(session, asked.candidate_id))

    async def _count(
        self, session: Mapping[str, Any], asked: RewardRequest, to: Assignment
    ) -> dict[str, Any]:
        history = await self._store.events_of(to.session_id, to.rollout_id)
        own_id = event_id(asked, to, history)
        retried = any(event.event_id == own_id for event in history)
        counted = False
        if session["status"] not in _FINAL:
            counted = await self._add(asked, to, own_id)
            session = await self._after(asked, to)
        elif not retried:  # a retry of the request that ended the session gets its answer again
            raise Conflict(f"the session is {session['status']}: it counts no more rewards")
        return {
            "status": session["status"],
            "session_id": to.session_id,
            "rollout_id": to.rollout_id,
            "candidate_id": to.candidate_id,
            "reward_count": session["reward_count"],
            "counted": counted,
        }

    async def _assignment(
        self, session_id: str, rollout_id: str, candidate_id: str | None
    ) -> Assignment:
        """Of a rollout that is named, and its candidate maybe, too."""
        found = await self._store.assignment(session_id, rollout_id)
        if found is None:
            raise NotFound(f"rollout {rollout_id} is not one of this session's")
        if candidate_id not in {None, found.candidate_id}:
            raise InvalidRequest(
                f"rollout {rollout_id} was served by candidate {found.candidate_id}, "
                f"not {str(candidate_id)[:128]}",
                param="candidate_id",
            )
        return found

    async def _next(self, session: Mapping[str, Any], candidate_id: str) -> Assignment:
        """The candidate's newest rollout that nobody has said anything about."""
        session_id = session["session_id"]
        if candidate_id not in {known["candidate_id"] for known in session["candidates"]}:
            raise NotFound(f"unknown candidate_id {candidate_id[:128]!r}", param="candidate_id")
        recent = await self._store.recent_assignments(session_id, _LOOKED_BACK)
        own = [assignment for assignment in recent if assignment.candidate_id == candidate_id]
        counted = await self._store.last_entries(session_id, [one.rollout_id for one in own])
        for assignment in [one for one in own if one.rollout_id not in counted]:
            # Not counted may still be said already. One question each, so only for these.
            if not await self._store.events_of(session_id, assignment.rollout_id):
                return assignment
        raise Conflict(
            f"candidate {candidate_id} has no rollout without a reward (of the session's newest "
            f"{_LOOKED_BACK}): name the rollout_id",
            param="candidate_id",
        )

    async def _add(self, asked: RewardRequest, to: Assignment, own_id: str) -> bool:
        """Store it and have it counted; whether it is a new statement."""
        event = as_event(asked, to, own_id, self._clock())
        [accepted] = await self._intake.accept([event])
        if accepted.status is Acceptance.ACCEPTED:
            raise Unavailable("the reward is stored and will be counted later")
        await self._reporter.report_now(to.session_id, to.rollout_id)
        return accepted.status is not Acceptance.DUPLICATE

    async def _after(self, asked: RewardRequest, to: Assignment) -> dict[str, Any]:
        if asked.stop:
            last = {"rollout_id": to.rollout_id, "score": asked.value}
            return await self._backend.command(to.session_id, "complete", last)
        return await self._backend.status(to.session_id)
