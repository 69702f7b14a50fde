"""One call on its way through the gateway: what is known of it, and how it was accounted."""

from dataclasses import dataclass, field
from enum import StrEnum
from time import perf_counter

from aiohttp import web

from sidecar.backend.base import Mode, Referral, Selection
from sidecar.core.conversation import Chain
from sidecar.core.headers import Headers
from sidecar.core.rollout import Outcome
from sidecar.gateway.capture import Capture
from sidecar.gateway.chat import Chat

ANSWER_HEADERS = web.RequestKey("answer_headers", list)
"""Headers of ours that go with the answer, also when it turns out to be an error of ours."""


class Kind(StrEnum):
    """Where a call came in; the `route` label of the metrics."""

    CHAT = "chat"
    SESSION = "session"
    TRIAL = "trial"
    """On the address that an offline job's task app was given."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a session's call is to be served."""

    mode: Mode
    body: bytes
    """What the provider is sent."""
    is_rewritten: bool = False
    session_id: str = ""
    correlation: str = ""
    selection: Selection | None = None
    """Set when the call is a turn of a rollout; of a referred call, once that is known."""
    chat: Chat | None = None
    chain: Chain | None = None
    algorithm: str = ""
    """Of the session; empty where that is not known yet."""
    referral: Referral | None = None
    """Set when the call goes to a remote backend, which chooses the candidate."""
    reason: str = ""
    """Why it is not served as it should be; empty otherwise."""

    def headers(self, asked: str) -> Headers:
        """What the client is told about it; `asked` is the algorithm that its URL names, which
        counts while the session's own is not known."""
        found: Headers = [("x-gepa-system-id", self.session_id)]
        if self.selection is not None:
            assignment = self.selection.assignment
            found.append(("x-gepa-rollout-id", assignment.rollout_id))
            found.append(("x-gepa-candidate-id", assignment.candidate_id))
        if (self.algorithm or asked) == "mipro":
            found += [(name.replace("gepa", "mipro", 1), value) for name, value in found]
        if self.correlation:
            found.append(("x-correlation-id", self.correlation))
        found.append(("x-sidecar-mode", self.mode.value))
        if self.reason:
            found.append(("x-sidecar-reason", self.reason))
        return found


@dataclass(slots=True)
class Call:
    """One call. It counts as failed until it is known to have ended otherwise."""

    request: web.Request
    kind: Kind
    arrived: float
    """Unix seconds."""
    algorithm: str = "gepa"
    mode: Mode = Mode.PASSTHROUGH
    outcome: Outcome = Outcome.FAILED
    status: int | None = None
    plan: Plan | None = None
    capture: Capture | None = None
    started: float = field(default_factory=perf_counter)

    @property
    def elapsed(self) -> float:
        """Seconds since it arrived."""
        return perf_counter() - self.started

    def follow(self, plan: Plan) -> None:
        """Serve it like this."""
        self.plan = plan
        self.mode = plan.mode
        self.request[ANSWER_HEADERS] = plan.headers(self.algorithm)
