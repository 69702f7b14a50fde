"""The end of a call, whichever way it ended: counted once, and a turn recorded if it was one.

Nothing here waits, so it runs to its end in the `finally` of a call that is being cancelled, and
nothing here may fail the call: what goes wrong costs learning data, and is counted.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable

import structlog

from sidecar.core.fingerprint import fingerprint
from sidecar.core.rollout import Outcome, Turn
from sidecar.gateway.answer import Answer
from sidecar.gateway.call import Call, Plan
from sidecar.gateway.capture import request_text
from sidecar.gateway.identity import ChainMemory
from sidecar.settings import Settings
from sidecar.store.base import Rollouts
from sidecar.telemetry.metrics import Metrics

log = structlog.get_logger()

_LABELS = {Outcome.DONE: "ok", Outcome.FAILED: "failed", Outcome.ABORTED: "aborted"}


class Settler(ABC):
    """Settles calls; who keeps the turns is for a subclass to say."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings.gateway
        self._metrics = metrics

    @abstractmethod
    def _keep(self, turn: Turn, plan: Plan) -> None:
        """Do with a settled turn what is to be done."""

    def settle(self, call: Call) -> None:
        """Account for a call that has ended."""
        try:
            if call.plan is not None and call.plan.selection is not None:
                self._turn(call, call.plan)
        except Exception:
            # Whatever it is, the call has been served; a settle that raises would cut it short.
            log.exception("turn_lost")
            self._metrics.capture_dropped.labels("error").inc()
        finally:
            outcome = _LABELS[call.outcome]
            self._metrics.requests.labels(call.kind.value, call.mode.value, outcome).inc()

    def _turn(self, call: Call, plan: Plan) -> None:
        answer = self._answer(call)
        if answer.failed and call.outcome is Outcome.DONE:
            call.outcome = Outcome.FAILED
        self._keep(self._record(call, plan, answer), plan)

    def _answer(self, call: Call) -> Answer:
        if call.capture is None:
            return Answer()
        answer = call.capture.finish()
        if call.capture.dropped:
            self._metrics.capture_dropped.labels(call.capture.dropped).inc()
        return answer

    def _record(self, call: Call, plan: Plan, answer: Answer) -> Turn:
        limit = self._settings.capture_bytes if self._settings.capture == "full" else 0
        assert plan.chat is not None
        return Turn(
            turn_id="turn_" + os.urandom(16).hex(),
            session_id=plan.session_id,
            rollout_id=plan.correlation,
            started_at=call.arrived,
            duration=call.elapsed,
            outcome=call.outcome,
            status=call.status,
            completion_id=answer.completion_id,
            chain_key=_chain_key(call, plan, answer),
            request=request_text(plan.chat.messages, limit),
            reply=answer.text(limit),
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            fingerprint=fingerprint(answer.reply.text) if answer.reply is not None else None,
        )


class SessionSettler(Settler):
    """Settles the calls of sessions: their turns go to the store."""

    def __init__(
        self,
        settings: Settings,
        rollouts: Rollouts,
        memory: ChainMemory,
        metrics: Metrics,
        on_turn: Callable[[], None] | None,
    ) -> None:
        super().__init__(settings, metrics)
        self._rollouts = rollouts
        self._memory = memory
        self._on_turn = on_turn

    def _keep(self, turn: Turn, plan: Plan) -> None:  # noqa: ARG002 - the turn says it all
        if turn.chain_key is not None:
            self._memory.remember(turn.chain_key, turn.rollout_id)
        if not self._rollouts.record_turn(turn):
            self._metrics.capture_dropped.labels("queue").inc()
        if self._on_turn is not None:
            self._on_turn()
        session = self._metrics.session(turn.session_id)
        self._metrics.turns.labels(session, turn.outcome.value).inc()


def _chain_key(call: Call, plan: Plan, answer: Answer) -> str | None:
    """A failed answer is not part of a conversation. One that the client stopped is: people stop
    an answer they have read enough of, and go on."""
    reply = answer.reply
    if plan.chain is None or reply is None or call.outcome is Outcome.FAILED:
        return None
    return plan.chain.answered(reply)
