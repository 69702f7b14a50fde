"""The optimiser behind a Synth-compatible API: the hosted service, or another sidecar of ours.

Calls of its sessions are referred there, one address per conversation. Everything else goes over
the published session API, and what its answers say is kept here, refreshed by asking again and
again: so that a call can be served when the backend is away, and a pause or a cancel that somebody
made elsewhere is followed.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
import structlog

from sidecar.backend import remote_reading as reading
from sidecar.backend.base import ACTIONS, NAMING, NotLoaded, Receipt, Referral
from sidecar.backend.config_files import with_config
from sidecar.backend.remote_api import ALGORITHMS, RemoteApi
from sidecar.backend.remote_report import Teller
from sidecar.backend.remote_session import RemoteSession
from sidecar.backend.remote_watch import RemoteWatch
from sidecar.core.feedback import Reward
from sidecar.core.ids import is_session_id
from sidecar.core.prompt import Pattern
from sidecar.errors import Conflict, InvalidRequest, NotFound, SidecarError, Unavailable
from sidecar.settings import BackendSettings
from sidecar.store.base import Secret, Store, StoreError

log = structlog.get_logger()

_KEPT = "remote-sessions"
"""Under which name the sessions are kept. Among the secrets: a session's address is what opens it,
and its prompts are nobody else's business."""
_URLS = ("proxy_url", "online_url", "chat_completions_url")


class RemoteBackend:
    """All sessions of one remote backend that calls come here for."""

    def __init__(
        self,
        store: Store,
        settings: BackendSettings,
        *,
        remember: int,
        follow: Sequence[str] = (),
        on_contact: Callable[[bool], None] = lambda _is_there: None,
        clock: Callable[[], float] = time.time,
        config_dir: str = "",
    ) -> None:
        """`follow` are sessions that exist there, or will; `on_contact` is told whether the backend
        is there; `remember` and `config_dir` are as for the embedded one."""
        self._store = store
        self._api = RemoteApi(settings)
        self._watch = RemoteWatch(self._api, settings.poll_seconds, on_contact, self._refresh_all)
        self._teller = Teller(self._api, store, remember)
        self._remember = remember
        self._clock = clock
        self._config_dir = config_dir
        allowed = [self._api.base, *settings.allowed_origins]
        self._origins = {reading.origin(url) for url in allowed} - {None}
        self._sessions = {name: RemoteSession(name, None, remember) for name in follow}
        self._kept = b""
        self._started = False

    # -- the request path -----------------------------------------------------------------------

    def pattern(self, session_id: str) -> Pattern:
        """The baseline's system prompt; one that matches everything while it is not known."""
        return self._session(session_id).pattern

    def select(self, session_id: str, correlation_id: str, now: float) -> Referral:  # noqa: ARG002
        """Where the conversation's calls go."""
        session = self._session(session_id)
        return session.refer(correlation_id, self._store.record_assignment, self._watch.hurry)

    def unsure(self, session_id: str, correlation_id: str) -> bool:  # noqa: ARG002
        """Never: who draws there, remembers there."""
        return False

    async def claim(self, session_id: str, correlation_id: str, now: float) -> bool:  # noqa: ARG002
        """Nothing to decide."""
        return True

    async def find(self, session_id: str) -> bool:
        """Only what is known: a proxied call cannot wait for the backend to be asked."""
        return session_id in self._sessions

    # -- the slow loop --------------------------------------------------------------------------

    async def report(self, session_id: str, rewards: Sequence[Reward]) -> list[Receipt]:
        """Tell the rewards of a session."""
        session = await self._known(session_id)
        assert session.algorithm is not None
        try:
            return await self._teller.report(session.algorithm, session_id, rewards)
        except (NotFound, Conflict):
            self._watch.hurry()
            raise

    async def create(
        self, request: Mapping[str, Any], algorithm: str | None = None
    ) -> dict[str, Any]:
        """A session there, new or of that id already."""
        request = await with_config(request, self._config_dir)
        known = self._sessions.get(str(request.get("session_id")))
        named = algorithm or (known and known.algorithm) or reading.algorithm_in(request)
        session, answer = await self._made(named or ALGORITHMS[0], request)
        try:
            await self._look(session)
        except Unavailable:
            log.info("session not read yet", session=session.session_id)
        await self._keep()
        plain = {name: value for name, value in answer.items() if name not in _URLS}
        own = {"session_id": session.session_id, "algorithm": session.algorithm}
        return {"job_id": "", "status": "started", "mode": "online", **plain, **own}

    async def ensure(self, request: Mapping[str, Any], algorithm: str) -> None:
        """Have a session of the settings, now or later."""
        session_id = request["session_id"]
        session = self._sessions.setdefault(
            session_id, RemoteSession(session_id, algorithm, self._remember)
        )
        session.algorithm = session.algorithm or algorithm
        session.expect(request)
        session.request = request if "config_body" in request else None
        if self._api.up:
            await self._refresh(session)
            await self._keep()

    async def status(self, session_id: str) -> dict[str, Any]:
        """The session as the backend shows it; as it did last, and marked, while it is away."""
        session = await self._known(session_id)
        try:
            await self._look(session)
        except Unavailable:
            if not session.as_of:
                raise
            return {**session.shown, "stale": True, "as_of": session.as_of}
        await self._keep()
        return session.shown

    async def sessions(self) -> list[dict[str, Any]]:
        """All that the backend lists; those that are known here if it lists none, or is away."""
        try:
            listed = await self._api.listed()
        except (NotFound, Unavailable, InvalidRequest):
            return [session.shown for session in self._sessions.values() if session.algorithm]
        return listed

    async def command(
        self, session_id: str, action: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Steer a session."""
        if action not in ACTIONS:
            raise InvalidRequest(f"unknown action {action!r}; known are {', '.join(ACTIONS)}")
        candidate = arguments.get("candidate_id")
        if action in NAMING and not (isinstance(candidate, str) and candidate):
            raise InvalidRequest(f"{action} needs a candidate_id", param="candidate_id")
        session = await self._known(session_id)
        assert session.algorithm is not None
        try:
            await self._api.command(session.algorithm, session_id, action, arguments)
        except NotFound:
            if action != "complete":
                raise
            await self._teller.stop(session.algorithm, session_id, arguments)
        return await self.status(session_id)

    async def export(self, session_id: str, candidate_id: str | None = None) -> dict[str, Any]:
        """A prompt to keep: as the backend exports it, else made of what its status shows."""
        session = await self._known(session_id)
        assert session.algorithm is not None
        try:
            return await self._api.export(session.algorithm, session_id, candidate_id)
        except NotFound:
            made = reading.export_from(await self.status(session_id), candidate_id)
            if made is None:
                raise
            return made

    def describe(self) -> dict[str, Any]:
        """Where it is, whether it is there, and how many of the sessions could be found."""
        sessions = self._sessions.values()
        found = sum(session.base is not None for session in sessions)
        return {
            "kind": "remote",
            "url": self._api.base,
            "up": self._api.up,
            "sessions": {"followed": len(sessions), "found": found},
        }

    async def start(self) -> None:
        """Remember the sessions of before, and begin to ask."""
        self._api.open()
        await self._restore()
        self._started = True
        await self._watch.start()

    async def stop(self) -> None:
        """Ask no more. Calls are referred as before."""
        await self._watch.stop()
        await self._api.close()

    # -- finding and following sessions ---------------------------------------------------------

    def _session(self, session_id: str) -> RemoteSession:
        session = self._sessions.get(session_id)
        if session is None and not self._started:
            raise NotLoaded
        if session is None:
            raise NotFound(f"there is no session {session_id!r}", param="session_id")
        return session

    async def _known(self, session_id: str) -> RemoteSession:
        """The session, found at the backend if it was not known here. Raises `NotFound`, or
        `Unavailable` when the backend cannot be asked."""
        session = self._sessions.get(session_id)
        if session is None:
            session = RemoteSession(session_id, None, self._remember)
            await self._find(session)
            self._sessions[session_id] = session
            await self._keep()
        elif session.algorithm is None:
            await self._find(session)
        return session

    async def _find(self, session: RemoteSession) -> None:
        """Of which algorithm it is is told by the path on which it is found."""
        missing = NotFound(f"there is no session {session.session_id!r}", param="session_id")
        if not is_session_id(session.session_id):
            raise missing
        for algorithm in ALGORITHMS if session.algorithm is None else (session.algorithm,):
            try:
                urls = await self._api.urls(algorithm, session.session_id)
            except (NotFound, InvalidRequest):
                continue
            session.algorithm = algorithm
            self._place(session, urls)
            await self._look(session)
            return
        raise missing

    async def _made(
        self, algorithm: str, request: Mapping[str, Any]
    ) -> tuple[RemoteSession, dict[str, Any]]:
        """The session of a create request, and what the backend answered."""
        answer = await self._api.create(algorithm, request)
        session_id = answer.get("session_id")
        if not isinstance(session_id, str) or not is_session_id(session_id):
            raise Unavailable("the backend's answer names no session")
        session = self._sessions.get(session_id)
        if session is None:
            session = RemoteSession(session_id, algorithm, self._remember)
            self._sessions[session_id] = session
        named = answer.get("algorithm")
        session.algorithm = named if named in ALGORITHMS else algorithm
        session.expect(request)
        self._place(session, answer)
        return session, answer

    def _place(self, session: RemoteSession, answer: Mapping[str, Any]) -> None:
        """Where its calls go, if the answer's address is one that we may use. Without one in the
        answer it is the published form."""
        base = reading.call_base(answer)
        if base is None:
            base = f"{self._api.base}/api/{session.algorithm}/v1/{session.session_id}"
        if reading.origin(base) not in self._origins:
            session.base = None
            raise _Elsewhere(
                "the backend sends the session's calls to an origin that is not allowed; add it to "
                "backend.allowed_origins if it is right"
            )
        session.base = base

    async def _look(self, session: RemoteSession) -> None:
        assert session.algorithm is not None
        status = await self._api.status(session.algorithm, session.session_id)
        session.learn(status, self._clock())

    async def _refresh_all(self) -> None:
        await asyncio.gather(*(self._refresh(session) for session in [*self._sessions.values()]))
        await self._keep()

    async def _refresh(self, session: RemoteSession) -> None:
        """Follow a session; what is wrong is said once, and tried again at the next turn."""
        try:
            if session.base is not None:
                await self._look(session)
            elif session.request is not None:
                await self._made(session.algorithm or ALGORITHMS[0], session.request)
                await self._look(session)
            else:
                await self._find(session)
        except NotFound as error:
            session.base = None
            self._watch.hurry()
            self._say(session, error)
        except SidecarError as error:
            self._say(session, error)
        else:
            if session.trouble:
                log.info("session followed again", session=session.session_id)
            session.trouble = ""

    @staticmethod
    def _say(session: RemoteSession, error: SidecarError) -> None:
        if session.trouble != str(error):
            session.trouble = str(error)
            log.warning("session not followed", session=session.session_id, reason=str(error))

    # -- over a restart -------------------------------------------------------------------------

    async def _restore(self) -> None:
        try:
            secret = await self._store.secret(_KEPT)
            kept = orjson.loads(secret.value) if secret else {}
            if kept.get("backend") != self._api.base:
                return  # those were another backend's
            self._kept = secret.value if secret else b""
            for one in kept["sessions"]:
                session = RemoteSession.load(one, self._remember)
                if session.base is not None and reading.origin(session.base) not in self._origins:
                    session.base = None
                self._sessions[session.session_id] = session
        except (StoreError, ValueError, KeyError, TypeError) as error:
            log.warning("sessions not remembered", error=type(error).__name__)

    async def _keep(self) -> None:
        """Write down what a restart needs, when it has changed."""
        found = [s.dump() for s in self._sessions.values() if s.algorithm is not None]
        kept = orjson.dumps({"backend": self._api.base, "sessions": found})
        if kept == self._kept:
            return
        self._kept = kept
        try:
            await self._store.put_secret(Secret(_KEPT, kept, self._clock()))
        except StoreError as error:
            self._kept = b""
            log.warning("sessions not kept", error=str(error))


class _Elsewhere(Unavailable):
    """The backend named an address that we do not send calls to."""
