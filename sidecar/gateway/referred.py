"""Calls that go to a remote backend: its answer's head, or why the provider must be asked instead.

The backend is somebody else's software on somebody else's machine, so nothing it does may cost the
application its answer. Before the first byte of an answer has been passed on there is always the
provider. But a call that was sent may have been paid for, so what is sent again is only what was
not answered: a connection that was not made or did not last, a failure of the backend's own. An
answer that takes long is waited for, as the provider's own would be, unless the backend is found to
be gone altogether.

Whose failure it is shows in the answer's headers: what came through a session, the provider's own
errors included, names it (`x-gepa-…`, `x-mipro-…`). What does not is the backend's.
"""

import asyncio
from dataclasses import replace

import structlog
from aiohttp import ClientResponse, hdrs, web

from sidecar.backend.base import Mode, Referral
from sidecar.core.headers import Headers
from sidecar.core.ids import is_correlation_id
from sidecar.errors import SidecarError, UpstreamUnreachable
from sidecar.gateway.call import Plan
from sidecar.gateway.capture import is_event_stream
from sidecar.gateway.credentials import for_backend
from sidecar.gateway.reachability import Reachability
from sidecar.gateway.relay import abort
from sidecar.gateway.upstream import ConnectTimeout, Outgoing, Unintelligible, Upstream
from sidecar.settings import Settings

log = structlog.get_logger()

_MARKS = ("x-gepa-", "x-mipro-")
_ERROR, _FAILURE = 400, 500
_KEY_REFUSED = frozenset({401, 403})
"""Whoever says this, the backend or the provider behind it: it is not the client's key that was
refused, for that was not sent."""
_ALIVE = frozenset({"backend_session", "closed", "backend_refused"})
"""Reasons that say that the backend works."""
_MODES = {mode.value: mode for mode in Mode}


class Instead(Exception):
    """Ask the provider; `reason` is the label in metrics, headers and logs."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Referred:
    """The way to the remote backend's session URLs."""

    def __init__(self, settings: Settings, reachability: Reachability) -> None:
        seconds = settings.backend.connect_ms / 1000
        self._upstream = Upstream(
            settings.provider.model_copy(update={"base_url": "", "connect_timeout": seconds}),
            connect_budget=seconds,
            retries=False,
        )
        secret = settings.backend.api_key
        key = secret.get_secret_value().strip() if secret else ""
        self._ours: Headers = [("Authorization", f"Bearer {key}")] if key else []
        self._reachability = reachability

    async def start(self) -> None:
        """Open the way."""
        await self._upstream.start()

    async def stop(self) -> None:
        """Close it."""
        await self._upstream.stop()

    async def answer(
        self, request: web.Request, referral: Referral, query: str, body: bytes
    ) -> ClientResponse:
        """The head of the backend's answer, its body unread. Raises `Instead`, or
        `UpstreamTimeout` when it was sent and nothing came back in time."""
        if referral.url is None:
            raise Instead("backend_session")
        if not self._reachability.allows():
            raise Instead("breaker_open")
        headers = for_backend(request, self._ours)
        outgoing = Outgoing(request.method, referral.url + query, headers, body)
        try:
            answer = await self._sent(outgoing)
        except (Instead, SidecarError) as error:
            self._reachability.failed(_reason(error))
            raise
        except BaseException:
            self._reachability.gave_up()
            raise
        return self._judged(answer, referral)

    async def _sent(self, outgoing: Outgoing) -> ClientResponse:
        patience = asyncio.timeout(None)
        try:
            with self._reachability.waiting(patience):
                async with patience:
                    return await self._upstream.send(outgoing)
        except TimeoutError:
            raise Instead("backend_gone") from None
        except (UpstreamUnreachable, ConnectTimeout) as error:
            raise Instead(_reason(error)) from error

    def _judged(self, answer: ClientResponse, referral: Referral) -> ClientResponse:
        """The answer, if it is one that the application may have."""
        status = answer.status
        plausible = _is_marked(answer) or (status < _ERROR and _is_completion(answer))
        if plausible and status not in _KEY_REFUSED:
            self._reachability.succeeded()
            return answer
        abort(answer)
        reason = _judgement(status)
        if reason in _ALIVE:
            self._reachability.succeeded()
            referral.stale()
        else:
            self._reachability.failed(reason)
        raise Instead(reason)


def taken(plan: Plan, answer: ClientResponse, now: float) -> Plan:
    """The plan, once the answer's head says who served the call. A rollout that the backend calls
    something else than we do could never be rewarded, so it is none."""
    referral = plan.referral
    assert referral is not None
    candidate = _named(answer, "candidate-id")
    rollout = _named(answer, "rollout-id") or referral.correlation_id
    if candidate and is_correlation_id(candidate) and rollout == referral.correlation_id:
        try:
            selection = referral.taken(candidate, now)
        except Exception:
            # The answer is here and paid for; what cannot be written down is not learned from.
            log.exception("assignment_lost", session=referral.session_id)
        else:
            return replace(plan, mode=selection.mode, selection=selection)
    mode = _MODES.get(answer.headers.get("x-sidecar-mode", ""), Mode.PASSTHROUGH)
    return replace(plan, mode=mode)


def _named(answer: ClientResponse, what: str) -> str:
    found = (answer.headers.get(mark + what, "") for mark in _MARKS)
    return next(filter(None, found), "")


def _is_marked(answer: ClientResponse) -> bool:
    return any(name.lower().startswith(_MARKS) for name in answer.headers)


def _is_completion(answer: ClientResponse) -> bool:
    """Whether it is of a kind that a model's answer may be, by its label."""
    label = answer.headers.get(hdrs.CONTENT_TYPE, "")
    return is_event_stream(label) or label.partition(";")[0].strip().lower() == "application/json"


def _judgement(status: int) -> str:
    """What the backend's own answer means for the call."""
    if status in _KEY_REFUSED:
        return "backend_key"
    named = {404: "backend_session", 409: "closed"}.get(status)
    if named is None and _ERROR <= status < _FAILURE:
        return "backend_refused"
    return named or ("backend_error" if status >= _FAILURE else "backend_garbage")


def _reason(error: Exception) -> str:
    if isinstance(error, Instead):
        return error.reason
    if isinstance(error, ConnectTimeout):
        return "backend_timeout"
    if isinstance(error, Unintelligible):
        return "backend_garbage"
    if isinstance(error, UpstreamUnreachable):
        return "backend_unreachable"
    return "backend_silent"
