"""A reward of the session API: the way of any feedback, without waiting for a batch.

Stored, attributed and reported before the answer, because the published client reads the session's
status right after. When the session cannot count it now, it is stored and will be; the caller is
told to expect that, and may send the same request again: it is the same event.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from sidecar.backend.base import Backend
from sidecar.core.rollout import Assignment
from sidecar.core.session import Status
from sidecar.errors import Conflict, InvalidRequest, NotFound, Unavailable
from sidecar.feedback.intake import Acceptance, Intake
from sidecar.feedback.session_reward import RewardRequest, as_event, event_id, parse_reward
from sidecar.rewards.reporter import Reporter
from sidecar.store.base import Store

_FINAL = frozenset(status.value for status in Status if status.final)


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

    async def count(self, session_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Count a reward and return the published answer."""
        asked = parse_reward(body)
        status = await self._backend.status(session_id)
        assignment = await self._assignment(session_id, asked)
        history = await self._store.events_of(session_id, asked.rollout_id)
        own_id = event_id(asked, session_id, history)
        retried = any(event.event_id == own_id for event in history)
        if status.get("status") not in _FINAL:
            await self._add(session_id, asked, own_id)
            status = await self._after(session_id, asked)
        elif not retried:  # a retry of the request that ended the session gets its answer again
            raise Conflict(f"the session is {status['status']}: it counts no more rewards")
        return {
            "status": status.get("status"),
            "session_id": session_id,
            "rollout_id": asked.rollout_id,
            "candidate_id": assignment.candidate_id,
            "reward_count": status.get("reward_count"),
        }

    async def _assignment(self, session_id: str, asked: RewardRequest) -> Assignment:
        found = await self._store.assignment(session_id, asked.rollout_id)
        if found is None:
            raise NotFound(f"rollout {asked.rollout_id} is not one of this session's")
        if asked.candidate_id not in {None, found.candidate_id}:
            raise InvalidRequest(
                f"rollout {asked.rollout_id} was served by candidate {found.candidate_id}, "
                f"not {str(asked.candidate_id)[:128]}",
                param="candidate_id",
            )
        return found

    async def _add(self, session_id: str, asked: RewardRequest, own_id: str) -> None:
        event = as_event(asked, session_id, own_id, self._clock())
        [accepted] = await self._intake.accept([event])
        if accepted.status is Acceptance.ACCEPTED:
            raise Unavailable("the reward is stored and will be counted later")
        await self._reporter.report_now(session_id, asked.rollout_id)

    async def _after(self, session_id: str, asked: RewardRequest) -> dict[str, Any]:
        if asked.stop:
            return await self._backend.command(session_id, "complete", {})
        return await self._backend.status(session_id)
