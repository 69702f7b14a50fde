"""Telling a remote session what its rollouts were worth.

The published API takes one reward at a time, without a revision; the same body again is the same
statement there. So each revision is a body of its own, told until it was answered, and what was
told is remembered here: a revision that comes again, or too late, is not told again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from sidecar.backend.base import Receipt
from sidecar.backend.remote_api import RemoteApi
from sidecar.core.feedback import Reward
from sidecar.errors import InvalidRequest, NotFound, Unavailable
from sidecar.store.base import Rollouts

_MOST_TEXT = 10_000
"""Characters of what users said that the session API takes with one reward."""


@dataclass(frozen=True, slots=True)
class _Told:
    """The newest revision that the backend has of a rollout."""

    revision: int
    value: float | None
    receipt: Receipt


class Teller:
    """Tells rewards, and knows which it has told."""

    def __init__(self, api: RemoteApi, rollouts: Rollouts, remember: int) -> None:
        """`remember` bounds how many rollouts it knows about."""
        self._api = api
        self._rollouts = rollouts
        self._remember = remember
        self._told: OrderedDict[tuple[str, str], _Told] = OrderedDict()

    async def report(
        self, algorithm: str, session_id: str, rewards: Sequence[Reward]
    ) -> list[Receipt]:
        """Tell them side by side. Raises `NotFound` before any of them is told when one is about a
        rollout that was not served here; else, when all were tried, what went wrong with one."""
        served = {r.rollout_id: await self._served_by(session_id, r.rollout_id) for r in rewards}
        told = await asyncio.gather(
            *(
                self._in_order(
                    algorithm, served[rollout], [r for r in rewards if r.rollout_id == rollout]
                )
                for rollout in served
            ),
            return_exceptions=True,
        )
        failures = [outcome for outcome in told if isinstance(outcome, BaseException)]
        if failures:  # an outage is about all of them, so it goes before a refusal of one
            raise next((e for e in failures if isinstance(e, Unavailable)), failures[0])
        receipts = {
            of: receipt
            for one in told
            if not isinstance(one, BaseException)
            for of, receipt in one.items()
        }
        for (rollout, _), receipt in receipts.items():
            key = session_id, rollout
            if receipt.counted and key in self._told:
                known = self._told[key]
                self._told[key] = replace(known, receipt=replace(known.receipt, counted=False))
        return [receipts[reward.rollout_id, reward.revision] for reward in rewards]

    async def stop(self, algorithm: str, session_id: str, last: Mapping[str, Any]) -> None:
        """End a session in the published way, with a reward: the `score` of `rollout_id`, told
        before, once more. Raises `InvalidRequest` without one."""
        rollout, score = last.get("rollout_id"), last.get("score")
        if not isinstance(rollout, str) or score is None:
            raise InvalidRequest(
                "the backend completes a session only with a reward: send one with `stop`, or "
                "cancel the session"
            )
        told = self._told.get((session_id, rollout))
        reward = Reward(session_id, rollout, told.revision if told else 0, score)
        body = {**body_of(reward), "stop": True}
        await self._api.reward(algorithm, session_id, body, _idempotency_key(reward) + "-stop")

    async def _served_by(self, session_id: str, rollout_id: str) -> str:
        found = await self._rollouts.assignment(session_id, rollout_id)
        if found is None:
            raise NotFound(f"session {session_id} has no rollout {rollout_id}")
        return found.candidate_id

    async def _in_order(
        self, algorithm: str, candidate_id: str, rewards: Sequence[Reward]
    ) -> dict[tuple[str, int], Receipt]:
        """Those of one rollout, the oldest revision first."""
        ordered = sorted(rewards, key=lambda reward: reward.revision)
        return {
            (reward.rollout_id, reward.revision): await self._tell(algorithm, candidate_id, reward)
            for reward in ordered
        }

    async def _tell(self, algorithm: str, candidate_id: str, reward: Reward) -> Receipt:
        key = reward.session_id, reward.rollout_id
        known = self._told.get(key)
        if known is not None and known.revision >= reward.revision:
            return known.receipt  # of a report that failed for others, it still says `counted`
        receipt = Receipt(reward.rollout_id, candidate_id, counted=False)
        if reward.value is not None or _may_retract(reward, known):
            answer = await self._api.reward(
                algorithm, reward.session_id, body_of(reward), _idempotency_key(reward)
            )
            named = answer.get("candidate_id")
            receipt = Receipt(
                reward.rollout_id,
                named if isinstance(named, str) else candidate_id,
                counted=answer.get("counted", True) is True,
            )
        self._told[key] = _Told(reward.revision, reward.value, receipt)
        self._told.move_to_end(key)
        if len(self._told) > self._remember:
            self._told.popitem(last=False)
        return receipt


def body_of(reward: Reward) -> dict[str, Any]:
    """The published reward request; `retracted` is ours."""
    info: dict[str, Any]
    if reward.value is None:
        info = {"retracted": True}
    else:  # the one name is of the MIPRO pages, the other of the GEPA pages
        info = {"score": reward.value, "outcome_reward": reward.value}
    if reward.comments and reward.value is not None:
        info["feedback"] = "\n".join(reward.comments)[:_MOST_TEXT]
    return {
        "rollout_id": reward.rollout_id,
        "correlation_id": reward.rollout_id,
        "reward_info": info,
        "metadata": {"source": "sidecar", "revision": reward.revision},
    }


def _may_retract(reward: Reward, known: _Told | None) -> bool:
    """Whether there may be a value there to take back. A first event without a score is a comment;
    of later ones, what came before a restart is not known."""
    return known.value is not None if known is not None else reward.revision > 1


def _idempotency_key(reward: Reward) -> str:
    about = f"{reward.session_id}\n{reward.rollout_id}\n{reward.revision}"
    return sha256(about.encode()).hexdigest()
