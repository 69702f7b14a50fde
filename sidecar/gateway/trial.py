"""The request path of offline jobs: a prompt on trial in place of the one that the task app sends.

Like a session's calls, with three differences. Nothing falls back: a rollout that was served with
another prompt than the one on trial would be worth less than none. A call that does not hold the
job's prompt (a judge's, say) goes through as it is, and is noted like the others: it is paid for
like the others. And nothing is kept beyond the rollout.
"""

from dataclasses import replace
from typing import Protocol

from sidecar.backend.base import Mode, Selection, Selector
from sidecar.core.prompt import Pattern, Place, locate
from sidecar.core.rollout import Turn
from sidecar.errors import InvalidRequest
from sidecar.gateway.call import Plan
from sidecar.gateway.chat import Chat, Unmatched
from sidecar.gateway.gateway import Desk
from sidecar.gateway.identity import ChainMemory, mint
from sidecar.gateway.planner import Caller, Identity, Planner, rewritten
from sidecar.gateway.settle import Settler
from sidecar.settings import Settings
from sidecar.telemetry.metrics import Metrics


class Trials(Selector, Protocol):
    """What is on trial, and who wants to hear of its calls."""

    def note(self, turn: Turn, model: str, *, matched: bool) -> None:
        """A call of a rollout has ended; `matched` if it held the job's prompt."""


class TrialPlanner(Planner):
    """Plans the calls of trials."""

    def plan(
        self,
        caller: Caller,
        chat: Chat,
        now: float,
        identity: Identity | None = None,  # noqa: ARG002 - a trial's call is known by its address
    ) -> Plan:
        """The plan for a call. Raises `NotFound` when its trial is over, `InvalidRequest` when its
        body cannot be written again."""
        trial = caller.session_id
        baseline = self._backend.pattern(trial)
        correlation = self._named(replace(caller, strict=False), chat) or mint()
        selection = self._backend.select(trial, correlation, now)
        assert isinstance(selection, Selection)  # a trial's prompt is here, nowhere else
        candidate = Pattern.parse(selection.text, selection.pattern.holes)
        # A task app that was told the candidate may send that; its demonstrations are still ours.
        place = locate(chat.messages, baseline) or locate(chat.messages, candidate)
        if place is None:
            self._metrics.unmatched.labels(Unmatched.NO_MATCH.value).inc()
        body = _body(chat, place, selection) if place is not None else None
        return Plan(
            mode=selection.mode if place is not None else Mode.PASSTHROUGH,
            body=chat.raw if body is None else body,
            is_rewritten=body is not None,
            session_id=trial,
            correlation=correlation,
            selection=selection,
            chat=chat,
            algorithm=selection.algorithm,
        )


def _body(chat: Chat, place: Place, chosen: Selection) -> bytes | None:
    try:
        return rewritten(chat, place, chosen)
    except TypeError:
        raise InvalidRequest("The body is nested too deeply to put a prompt into it.") from None


class TrialSettler(Settler):
    """Settles the calls of trials: their turns go to whoever evaluates."""

    def __init__(self, settings: Settings, trials: Trials, metrics: Metrics) -> None:
        super().__init__(settings, metrics)
        self._trials = trials

    def _keep(self, turn: Turn, plan: Plan) -> None:
        model = plan.chat.body.get("model") if plan.chat is not None else None
        self._trials.note(
            turn,
            model if isinstance(model, str) else "",
            matched=plan.mode is not Mode.PASSTHROUGH,
        )


def trial_desk(settings: Settings, trials: Trials, metrics: Metrics) -> Desk:
    """Whoever serves and settles the calls of trials."""
    memory = ChainMemory(1)  # rollouts are told apart by their address alone
    return Desk(
        TrialPlanner(settings, trials, memory, metrics), TrialSettler(settings, trials, metrics)
    )
