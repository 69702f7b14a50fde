"""The optimiser in this process: the engine's sessions behind the backend seam."""

import asyncio
import contextlib
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from sidecar.backend.base import ACTIONS, NAMING, Mode, NotLoaded, Receipt, Selection
from sidecar.backend.config_files import with_config
from sidecar.core import ids
from sidecar.core.feedback import Reward
from sidecar.core.ids import BASELINE
from sidecar.core.prompt import Pattern
from sidecar.core.session import Entry, SessionRecord, Status
from sidecar.engine import algorithms, view
from sidecar.engine.config import ROOTS, override
from sidecar.engine.live import LiveSession
from sidecar.engine.origins import ProposerOrigins
from sidecar.engine.propose import Reflection
from sidecar.errors import InvalidRequest, NotFound
from sidecar.store.base import Store, StoreError
from sidecar.store.leadership import Leadership
from sidecar.telemetry.metrics import Metrics

log = structlog.get_logger()

FOLLOW_SECONDS = 1.0
"""How often what other sidecars have written is taken in."""

_ACTIONS = {action: Entry(action) for action in ACTIONS}


class EmbeddedBackend:
    """All sessions of this process."""

    def __init__(
        self,
        store: Store,
        reflection: Reflection,
        metrics: Metrics,
        leadership: Leadership,
        *,
        remember: int,
        proposals_per_day: int,
        proposer_origins: Sequence[str],
        clock: Callable[[], float],
        config_dir: str = "",
    ) -> None:
        """`proposer_origins` are the origins that a session's `proposer_url` may name,
        `config_dir` is the folder of the configurations that a create request may name."""
        self._store = store
        self._reflection = reflection
        self._metrics = metrics
        self._leadership = leadership
        self._remember = remember
        self._per_day = proposals_per_day
        self._origins = ProposerOrigins(proposer_origins)
        self._clock = clock
        self._config_dir = config_dir
        self._live: dict[str, LiveSession] = {}
        self._following: asyncio.Task[None] | None = None
        self._loaded = False
        leadership.on_elected(self._elected)

    # -- the request path -----------------------------------------------------------------------

    def pattern(self, session_id: str) -> Pattern:
        """The baseline's system prompt, to match a request with."""
        return self._session(session_id).pattern

    def select(self, session_id: str, correlation_id: str, now: float) -> Selection:
        """The candidate for a conversation. A cancelled session serves its baseline, a completed
        one its winner: the application's calls go on either way."""
        live = self._session(session_id)
        stored = None
        if live.state.status is Status.CANCELLED:
            assignment = live.assigner.draw(correlation_id, now)
        elif live.state.status.final:
            assignment = live.assigner.known(correlation_id) or live.assigner.draw(
                correlation_id, now
            )
        else:
            assignment, stored = live.assigner.assign(correlation_id, now)
        candidate = live.state.candidates[assignment.candidate_id]
        mode = Mode.BASELINE if assignment.candidate_id == BASELINE else Mode.OPTIMIZED
        return Selection(
            assignment,
            live.pattern,
            candidate.text,
            mode,
            stored,
            candidate.demos,
            live.record.algorithm,
        )

    def unsure(self, session_id: str, correlation_id: str) -> bool:
        """Whether the store may know the conversation; that of a session that is over draws the
        same everywhere."""
        live = self._live.get(session_id)
        return (
            live is not None
            and not live.state.status.final
            and live.assigner.unsure(correlation_id)
        )

    async def claim(self, session_id: str, correlation_id: str, now: float) -> bool:
        """Have the store decide which candidate a conversation has."""
        live = self._session(session_id)
        answered = await live.assigner.claim(correlation_id, now)
        chosen = live.assigner.known(correlation_id)
        if chosen is not None and chosen.candidate_id not in live.state.candidates:
            await live.follow()  # another sidecar has proposed it a moment ago
        return answered

    async def find(self, session_id: str) -> bool:
        """Look for a session that another sidecar may have made."""
        if self._loaded and session_id not in self._live and self._store.shared:
            await self._learn_of_sessions()
        return session_id in self._live

    # -- the slow loop --------------------------------------------------------------------------

    async def report(self, session_id: str, rewards: Sequence[Reward]) -> list[Receipt]:
        """Count rewards in the session's journal and let it think."""
        counted = await (await self._found(session_id)).report(rewards)
        return [
            Receipt(reward.rollout_id, assignment.candidate_id, news)
            for reward, assignment, news in counted
        ]

    async def create(
        self, request: Mapping[str, Any], algorithm: str | None = None
    ) -> dict[str, Any]:
        """A new session, or the one that has the client's session id already."""
        request = await with_config(request, self._config_dir)
        session_id = self._session_id(request)
        _conversation(request)
        if session_id in self._live:
            return self._resumed(self._live[session_id], request, algorithm)
        parsed = algorithms.parse(_config_body(request), algorithm)
        self._origins.check(parsed.proposer.base_url, "proposer_url")
        record = SessionRecord(
            session_id,
            parsed.algorithm,
            parsed.dump(),
            self._clock(),
            os.urandom(16).hex(),
            _mapping(request, "metadata"),
            ids.job_id(os.urandom(8)),
        )
        existing = await self._store.add_session(record)
        live = self._open(existing or record)
        if existing is not None:
            await live.restore()
        self._live.setdefault(session_id, live)
        return self._created(self._live[session_id], request)

    def _resumed(
        self, live: LiveSession, request: Mapping[str, Any], algorithm: str | None
    ) -> dict[str, Any]:
        """The existing session of that id; its own config stays in force, and says so."""
        own = live.record.algorithm
        if algorithm not in {None, own}:
            raise InvalidRequest(
                f"session {live.session_id!r} exists and is of {own}; use another session_id",
                param="session_id",
            )
        if request.get("config_body") is not None:
            asked = algorithms.parse(_config_body(request))
            if asked.dump() != live.config.dump():
                log.warning(
                    "session exists with another config, which stays in force; "
                    "use a new session id for the new one",
                    session=live.session_id,
                )
        return self._created(live, request)

    def _created(self, live: LiveSession, request: Mapping[str, Any]) -> dict[str, Any]:
        out = view.summary(live)
        if given := _conversation(request):
            out["correlation_id"] = given
        return out

    async def ensure(self, request: Mapping[str, Any], algorithm: str) -> None:
        """Make or find a session of the settings. When the store cannot do that now, the whole
        start is tried again."""
        await self.create(request, algorithm)

    async def status(self, session_id: str) -> dict[str, Any]:
        """Everything about a session."""
        return view.status(await self._newest(session_id))

    async def sessions(self) -> list[dict[str, Any]]:
        """All sessions, in short."""
        if self._store.shared:
            with contextlib.suppress(StoreError):
                await self._follow()
        return [view.summary(live) for live in self._live.values()]

    async def command(
        self, session_id: str, action: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Steer a session."""
        live = await self._newest(session_id)
        kind = _ACTIONS.get(action)
        if kind is None:
            raise InvalidRequest(f"unknown action {action!r}; known are {', '.join(_ACTIONS)}")
        subject = ""
        if action in NAMING:
            subject = arguments.get("candidate_id", "")
            if not isinstance(subject, str) or not subject:
                raise InvalidRequest(f"{action} needs a candidate_id", param="candidate_id")
        await live.command(kind, subject)
        return view.status(live)

    async def export(self, session_id: str, candidate_id: str | None = None) -> dict[str, Any]:
        """A prompt to keep without us."""
        live = await self._newest(session_id)
        return view.export(live, candidate_id)

    def describe(self) -> dict[str, Any]:
        """Only that it is this one."""
        return {"kind": "embedded"}

    async def start(self) -> None:
        """Load all sessions, and follow what other sidecars do with them."""
        self._live = {}
        await self._learn_of_sessions()
        self._loaded = True
        self._elected()
        if self._store.shared:
            self._following = asyncio.create_task(self._go_on_following())

    async def stop(self) -> None:
        """Stop learning, keep what is known. Raises `StoreError` after that."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        ends = await asyncio.gather(
            *(live.stop() for live in self._live.values()), return_exceptions=True
        )
        await self._reflection.close()
        for end in ends:
            if end is not None:
                raise end

    # -- other sidecars -------------------------------------------------------------------------

    def _elected(self) -> None:
        for live in self._live.values():
            live.think()

    async def _go_on_following(self) -> None:
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            with contextlib.suppress(StoreError):  # the store says so itself, once
                await self._follow()

    async def _follow(self) -> None:
        """Take in what others have written. Raises `StoreError`."""
        if await self._store.session_count() != len(self._live):
            await self._learn_of_sessions()
        for live in list(self._live.values()):
            await live.follow()

    async def _learn_of_sessions(self) -> None:
        """Open the sessions that are in the store and not here. Raises `StoreError`."""
        for record in await self._store.sessions():
            if record.session_id not in self._live:
                live = self._open(record)
                await live.restore()
                self._live.setdefault(record.session_id, live)

    async def _found(self, session_id: str) -> LiveSession:
        """A session, wherever it was made. Raises `NotFound`, `StoreError`."""
        await self.find(session_id)
        return self._session(session_id)

    async def _newest(self, session_id: str) -> LiveSession:
        """A session as it is now, or, while the store does not answer, as it was last heard of.
        Raises `NotFound`."""
        with contextlib.suppress(StoreError):
            await self.find(session_id)
            if self._store.shared:
                await self._session(session_id).follow()
        return self._session(session_id)

    # -- helpers --------------------------------------------------------------------------------

    def _session(self, session_id: str) -> LiveSession:
        live = self._live.get(session_id)
        if live is None and not self._loaded:
            raise NotLoaded
        if live is None:
            raise NotFound(f"there is no session {session_id!r}", param="session_id")
        return live

    def _open(self, record: SessionRecord) -> LiveSession:
        return LiveSession(
            record,
            self._store,
            self._reflection,
            self._metrics,
            self._leadership,
            remember=self._remember,
            proposals_per_day=self._per_day,
            clock=self._clock,
        )

    def _session_id(self, request: Mapping[str, Any]) -> str:
        given = request.get("session_id") or _system_id(request)
        if given is None:
            return str(uuid.uuid4())
        if not isinstance(given, str) or not ids.is_session_id(given) or given == "v1":
            raise InvalidRequest(
                "session_id must be 1 to 64 of A-Z a-z 0-9 _ . - (and not `v1`)",
                param="session_id",
            )
        return given


def _config_body(request: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a create request, overrides applied."""
    body = request.get("config_body")
    if body is None:
        for name in ("config_path", "config_name"):
            if request.get(name) is not None:
                raise InvalidRequest(
                    f"{name} names something that only your machine has; send config_body",
                    param=name,
                )
        raise InvalidRequest("a session needs a config_body", param="config_body")
    if not isinstance(body, dict) or not body:
        raise InvalidRequest(
            'config_body must be an object such as {"prompt_learning": {…}}', param="config_body"
        )
    return override(body, _mapping(request, "overrides"))


def _system_id(request: Mapping[str, Any]) -> Any:
    """The session that a public demo's configuration asks to go on with."""
    for root in ROOTS:
        at: Any = request.get("config_body")
        for name in (root, "mipro", "system_id"):
            at = at.get(name) if isinstance(at, Mapping) else None
        if at:
            return at
    return None


def _conversation(request: Mapping[str, Any]) -> str | None:
    """The correlation id that a create request may bring for its first conversation."""
    given = request.get("correlation_id") or request.get("agent_id")
    if given is None or (isinstance(given, str) and ids.is_correlation_id(given)):
        return given
    raise InvalidRequest("must be 1 to 128 of A-Z a-z 0-9 _ . : -", param="correlation_id")


def _mapping(request: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = request.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"{name} must be an object", param=name)
    return value
