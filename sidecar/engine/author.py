"""Writes what a session may try next: texts by reflection, demonstrations out of what went well.

Everything that came from a model or from users is screened here, before the journal sees it.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from sidecar.core.feedback import merge
from sidecar.core.prompt import Demo
from sidecar.core.rollout import Turn
from sidecar.engine import credit, demos, reflect, screen
from sidecar.engine.config import SessionConfig
from sidecar.engine.guards import Lock, told
from sidecar.engine.mipro_session import GridState
from sidecar.engine.propose import ProposalFailed, Reflection
from sidecar.engine.reflect import Experience
from sidecar.engine.session import Plan, Rewarded
from sidecar.store.base import Store

_ASKED_AT_MOST = 3
"""Times per wanted text: one that is known already is no news, and the model is asked again."""


class Author:
    """The writer of one session."""

    def __init__(
        self, session_id: str, store: Store, reflection: Reflection, config: SessionConfig
    ) -> None:
        self._session_id = session_id
        self._store = store
        self._reflection = reflection
        self._config = config
        self._lock = Lock.of(config.guards, config.baseline)

    async def write(self, plan: Plan, known: Sequence[str]) -> tuple[list[str], str]:
        """New texts, as many as planned or fewer, and why the last one was refused."""
        experiences = await self._experiences(plan.examples)
        question = self._question(plan, experiences)
        texts: list[str] = []
        why = ""
        for _ in range(plan.wanted * _ASKED_AT_MOST):
            try:
                answer = await self._reflection.ask(question, self._config.proposer)
            except ProposalFailed as error:
                return texts, f"failed: {error}"
            text = self._lock.closed(reflect.extract(answer))
            why = self._screened(text, plan, experiences, [*known, *texts])
            if not why:
                texts.append(text)
            if len(texts) == plan.wanted or why not in {"", "duplicate"}:
                break
        return texts, why

    def _question(self, plan: Plan, experiences: Sequence[Experience]) -> str:
        """What the reflection model is asked: about the part that it may change, with as much of
        the users' words as the session lets it read."""
        mode, lock = self._config.guards.feedback_text, self._lock
        return reflect.prompt(
            replace(plan.parent, text=lock.opened(plan.parent.text)),
            [replace(e, comments=told(e.comments, mode)) for e in experiences],
            lock.free(self._config.wildcards, self._config.baseline),
            tried=[(lock.opened(text), mean) for text, mean in plan.tried],
        )

    def _screened(
        self, text: str, plan: Plan, experiences: Sequence[Experience], known: Sequence[str]
    ) -> str:
        if not self._lock.holds(text):
            return "changed_lock"
        return screen.refusal(
            text,
            baseline=self._config.baseline,
            parent=plan.parent.text,
            placeholders=[hole.name for hole in self._config.wildcards],
            known=known,
            shown=[s for e in experiences for s in (e.asked, e.replied, *e.comments)],
        )

    async def demonstrations(
        self, successes: Sequence[Rewarded], state: GridState
    ) -> list[tuple[Demo, ...]]:
        """New demonstration sets out of these rollouts; none if they give none."""
        turns = await self._store.turns(self._session_id, [r.rollout_id for r in successes])
        found = [
            demos.Success(r.rollout_id, r.value, r.tick, r.cluster, *exchange)
            for r in successes
            if (exchange := Experience(_of(r, turns), r.value, ()).exchange) is not None
        ]
        chosen = demos.choose(found, threshold=state.own.demo_threshold, mature_at=state.tick)
        return demos.sets(
            chosen,
            size=state.own.demo_size,
            wanted=state.wanted_sets,
            known=state.sets,
            rng=random.Random(f"{state.salt}:sets:{len(state.sets)}:{state.seq}"),
        )

    async def _experiences(self, rewarded: Sequence[Rewarded]) -> list[Experience]:
        """Rollouts as far as the turn that their reward is put down to."""
        turns = await self._store.turns(self._session_id, [r.rollout_id for r in rewarded])
        out = []
        for one in rewarded:
            events = await self._store.events_of(self._session_id, one.rollout_id)
            said = merge(self._session_id, one.rollout_id, events)
            own = _of(one, turns)
            until = credit.cause(self._config.rules.credit, said.votes, own) + 1
            out.append(Experience(own[:until], one.value, said.comments))
        return out


def _of(rewarded: Rewarded, turns: Sequence[Turn]) -> list[Turn]:
    return [turn for turn in turns if turn.rollout_id == rewarded.rollout_id]
