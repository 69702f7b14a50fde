"""How a session's call is served: who is talking, which candidate, what the provider is sent.

First the request is matched, then a candidate is drawn: a call that is not the session's must not
become a rollout. On `/v1` nothing here can fail a call. Whatever goes wrong, it is served by the
last prompt that was known to be good, else by the application's own, and counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog

from sidecar.backend.base import Mode, NotLoaded, Prompt, Referral, Selection, Selector
from sidecar.core import conversation
from sidecar.core.conversation import Chain
from sidecar.core.prompt import Pattern, Place, locate
from sidecar.errors import Conflict, NotFound, SidecarError
from sidecar.gateway import identity
from sidecar.gateway.call import Plan
from sidecar.gateway.chat import Chat, Unmatched
from sidecar.gateway.identity import ChainMemory
from sidecar.settings import Settings
from sidecar.telemetry.metrics import Metrics

log = structlog.get_logger()

_PROVEN = 0.5
"""A candidate that serves at least half of the conversations is the session's incumbent."""


@dataclass(frozen=True, slots=True)
class Caller:
    """What a call says about itself, apart from its body."""

    session_id: str
    headers: Mapping[str, str]
    correlation: str | None = None
    """From the URL's path."""
    strict: bool = False
    """On a session URL: mistakes are answered, not passed on."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a session's call says about which conversation it belongs to."""

    place: Place
    """Where the session's prompt is in its messages."""
    named: str | None
    """The correlation id that the caller gave."""
    chain: Chain | None

    @property
    def lookups(self) -> tuple[str, ...]:
        """The chain keys under which the conversation may be known, best first."""
        return self.chain.lookups if self.chain is not None else ()


class Planner:
    """Plans calls; remembers conversations and, for each session, the last good prompt."""

    def __init__(
        self, settings: Settings, backend: Selector, memory: ChainMemory, metrics: Metrics
    ) -> None:
        self._settings = settings.gateway
        self._backend = backend
        self._memory = memory
        self._metrics = metrics
        self._good: dict[str, Selection] = {}
        self._failing: set[str] = set()

    def knows(self, session_id: str) -> bool:
        """Whether a call of this session could be served by anything but its own prompt."""
        if session_id in self._good:
            return True
        try:
            self._backend.pattern(session_id)
        except NotFound:
            return False
        except Exception:  # noqa: BLE001 - a broken backend is `plan`'s business, and fails open
            return True
        return True

    def identified(self, caller: Caller, chat: Chat) -> Identity | None:
        """What a call says of itself; None when `plan` will have nothing to look up."""
        try:
            return self._identity(caller, chat)
        except Exception:  # noqa: BLE001 - `plan` meets it again, and decides
            return None

    def plan(
        self, caller: Caller, chat: Chat, now: float, identity: Identity | None = None
    ) -> Plan:
        """The plan for a call. Raises `NotFound`, `Conflict` or `InvalidRequest` for a strict
        caller, and nothing for others."""
        try:
            plan = self._regular(caller, chat, now, identity or self._identity(caller, chat))
        except SidecarError as error:
            if caller.strict and error.status < 500:  # noqa: PLR2004 - the caller's mistake
                raise
            return self._fallback(caller, chat, error)
        except Exception as error:  # noqa: BLE001 - learning may break, traffic may not (P3)
            return self._fallback(caller, chat, error)
        self._failing.discard(caller.session_id)
        return plan

    def unmatched(self, session_id: str, raw: bytes, reason: Unmatched) -> Plan:
        """The plan for a call that is not the session's: untouched, and counted."""
        self._metrics.unmatched.labels(reason.value).inc()
        algorithm = self._algorithm(session_id)
        return Plan(Mode.PASSTHROUGH, raw, session_id=session_id, algorithm=algorithm)

    def without_backend(self, plan: Plan, reason: str) -> Plan:
        """The plan for a referred call that the backend did not answer: the provider, with the last
        good prompt, else with the application's own."""
        assert plan.referral is not None
        assert plan.chat is not None
        self._metrics.failopen.labels(reason).inc()
        closed = reason == "closed"
        # Closed, and we have not heard how: it may have been cancelled, so nothing of it may serve.
        good = plan.referral.fallback if not closed or plan.referral.is_over else None
        body = _put(good, plan.chat)
        return replace(
            plan,
            mode=Mode.BASELINE if closed and body is None else Mode.FAILOPEN,
            body=plan.chat.raw if body is None else body,
            is_rewritten=body is not None,
            referral=None,
            reason=reason,
        )

    def _algorithm(self, session_id: str) -> str:
        good = self._good.get(session_id)
        return good.algorithm if good is not None else ""

    def _identity(self, caller: Caller, chat: Chat) -> Identity | None:
        baseline = self._backend.pattern(caller.session_id)
        named = self._named(caller, chat)
        place = locate(chat.messages, baseline)
        return None if place is None else Identity(place, named, self._chain(caller, chat))

    def _regular(self, caller: Caller, chat: Chat, now: float, identity: Identity | None) -> Plan:
        session = caller.session_id
        if identity is None:
            return self.unmatched(session, chat.raw, Unmatched.NO_MATCH)
        correlation = identity.named or self._recognised(caller, identity.chain)
        selection = self._backend.select(session, correlation, now)
        if isinstance(selection, Referral):
            return _referred(selection, chat, identity.chain)
        self._keep_good(selection)
        body = rewritten(chat, identity.place, selection)
        return Plan(
            mode=selection.mode,
            body=chat.raw if body is None else body,
            is_rewritten=body is not None,
            session_id=session,
            correlation=correlation,
            selection=selection,
            chat=chat,
            chain=identity.chain,
            algorithm=selection.algorithm,
        )

    def _named(self, caller: Caller, chat: Chat) -> str | None:
        header = caller.headers.get(self._settings.correlation_header)
        return identity.explicit(caller.correlation, header, chat.body, strict=caller.strict)

    def _chain(self, caller: Caller, chat: Chat) -> Chain | None:
        if not self._settings.content_identity:
            return None
        headers = caller.headers
        credential = headers.get("Authorization") or headers.get("X-API-Key", "")
        return Chain(chat.messages, conversation.scope(caller.session_id, credential))

    def _recognised(self, caller: Caller, chain: Chain | None) -> str:
        if chain is None:
            return identity.mint()
        is_retry = caller.headers.get("x-stainless-retry-count", "0") != "0"
        return identity.recognise(self._memory, chain, is_retry=is_retry)

    def _keep_good(self, selection: Selection) -> None:
        """A prompt that few conversations get is on trial: it must not become everybody's because
        the optimiser is away."""
        session = selection.assignment.session_id
        known = self._good.get(session)
        share = min(_PROVEN, known.assignment.propensity) if known else 0.0
        if selection.assignment.propensity >= share:
            self._good[session] = selection

    def _fallback(self, caller: Caller, chat: Chat, error: Exception) -> Plan:
        session = caller.session_id
        algorithm = self._algorithm(session)
        self._metrics.failopen.labels(_reason(error)).inc()
        # Once per outage, not once per call; what happens at a start is said by who starts.
        if session not in self._failing and not isinstance(error, NotLoaded):
            self._failing.add(session)
            log.warning(
                "serving_without_optimiser",
                session=session,
                error=type(error).__name__,
                exc_info=None if isinstance(error, SidecarError) else error,
            )
        if isinstance(error, Conflict):
            # The session is over: the application's own prompt is its baseline.
            return Plan(Mode.BASELINE, chat.raw, session_id=session, algorithm=algorithm)
        body = _put(self._good.get(session), chat)
        return Plan(
            mode=Mode.FAILOPEN,
            body=chat.raw if body is None else body,
            is_rewritten=body is not None,
            session_id=session,
            algorithm=algorithm,
            reason=_reason(error),
        )


def _referred(referral: Referral, chat: Chat, chain: Chain | None) -> Plan:
    """The plan for a call that goes to a remote backend, as the application made it. How it was
    served is known once the answer comes."""
    return Plan(
        mode=Mode.PASSTHROUGH,
        body=chat.raw,
        session_id=referral.session_id,
        correlation=referral.correlation_id,
        chat=chat,
        chain=chain,
        algorithm=referral.algorithm,
        referral=referral,
    )


def _put(good: Selection | Prompt | None, chat: Chat) -> bytes | None:
    """The body with a prompt that was known to be good, if there is one and a place for it."""
    if good is None:
        return None
    try:
        place = locate(chat.messages, good.pattern)
        return rewritten(chat, place, good) if place else None
    except Exception:  # noqa: BLE001 - what broke the regular way may break this one too
        return None


def rewritten(chat: Chat, place: Place, chosen: Selection | Prompt) -> bytes | None:
    """The body with the prompt in place, or None when it already says that."""
    candidate = Pattern.parse(chosen.text, chosen.pattern.holes)
    messages = place.fill(chat.messages, candidate, chosen.demos)
    return None if messages == chat.messages else chat.with_messages(messages)


def _reason(error: Exception) -> str:
    if isinstance(error, NotFound):
        return "unknown_session"
    if isinstance(error, NotLoaded):
        return "not_loaded"
    return "closed" if isinstance(error, Conflict) else "backend"
