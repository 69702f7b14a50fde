"""The request path, in the order it happens: route, plan, forward, relay, settle."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass

from aiohttp import ClientResponse, hdrs, web

from sidecar.backend.base import Claims, Referral, Selector
from sidecar.core.headers import Headers, for_client, from_raw
from sidecar.core.ids import is_correlation_id, is_session_id
from sidecar.core.rollout import Assignment, Outcome
from sidecar.errors import InvalidRequest, NotFound, PayloadTooLarge
from sidecar.gateway.call import Call, Kind, Plan
from sidecar.gateway.capture import Capture, is_event_stream
from sidecar.gateway.chat import Chat, Unmatched, Unreadable, parse, read_up_to
from sidecar.gateway.credentials import Credentials
from sidecar.gateway.handout import Handout
from sidecar.gateway.identity import ChainMemory
from sidecar.gateway.planner import Caller, Planner
from sidecar.gateway.recall import Recall
from sidecar.gateway.referred import Instead, Referred, taken
from sidecar.gateway.relay import End, Relay, abort
from sidecar.gateway.route import Router, choose
from sidecar.gateway.settle import SessionSettler, Settler
from sidecar.gateway.target import query_of, tail_of
from sidecar.gateway.upstream import Body, Outgoing, Upstream
from sidecar.settings import Settings
from sidecar.store.base import Rollouts
from sidecar.telemetry.metrics import Metrics

_CHAT = "/chat/completions"

_OUTCOMES = {End.CLIENT_LEFT: Outcome.ABORTED, End.PROVIDER_DIED: Outcome.FAILED}

_FRAMING = frozenset({"content-length", "content-encoding"})
"""What described the body that the client sent, and not the one that we send."""

Answer = web.StreamResponse


@dataclass(frozen=True, slots=True)
class SessionUrl:
    """What a session URL names."""

    algorithm: str
    session_id: str
    correlation: str | None
    own_query: frozenset[str] = frozenset()
    """Query parameters that are meant for us and do not go on."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Who decides how calls are served, and who accounts for them."""

    planner: Planner
    settler: Settler


class Gateway:
    """Forwards calls to the provider, those of a session with its candidate's prompt."""

    def __init__(
        self,
        settings: Settings,
        backend: Selector,
        rollouts: Rollouts,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.time,
        on_turn: Callable[[], None] | None = None,
        referred: Referred | None = None,
        claims: Claims | None = None,
        shared: bool = False,
        handout: Handout | None = None,
    ) -> None:
        """`on_turn` is told whenever a turn has been queued for the store; `referred` is the way
        to the backend, where that is a remote one; `claims` tells what is not in memory, and
        `shared` says that other sidecars put things into the store, too; `handout` adds to the
        answers of sessions what pages send feedback with."""
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._memory = ChainMemory(settings.gateway.remember)
        self._router = Router(settings.routes)
        self._credentials = Credentials(settings)
        self._planner = Planner(settings, backend, self._memory, metrics)
        self._sessions = Desk(
            self._planner, SessionSettler(settings, rollouts, self._memory, metrics, on_turn)
        )
        self._upstream = Upstream(settings.provider)
        self._referred = referred
        self._handout = handout
        self._recall = None
        if claims is not None:
            budget = settings.store.timeout_ms / 1000
            self._recall = Recall(
                claims, rollouts, self._memory, metrics, shared=shared, budget=budget
            )

    async def start(self) -> None:
        """Open the way to the provider, and to the backend."""
        await self._upstream.start()
        if self._referred is not None:
            await self._referred.start()

    async def stop(self) -> None:
        """Close it. Calls settle in their own `finally`, so none is left when the server has
        stopped."""
        if self._referred is not None:
            await self._referred.stop()
        await self._upstream.stop()

    def remember(self, chains: Iterable[tuple[str, str]]) -> None:
        """Recognise these conversations: (chain key, rollout id), newest first."""
        for key, rollout_id in reversed(list(chains)):
            self._memory.remember(key, rollout_id)

    async def v1(self, request: web.Request) -> Answer:
        """Any call on `/v1`."""
        path = request.raw_path.partition("?")[0]
        if request.method == hdrs.METH_POST and path == "/v1" + _CHAT:
            return await self._account(Call(request, Kind.CHAT, self._clock()), self._chat)
        return await self._account(Call(request, Kind.OTHER, self._clock()), self._untouched)

    async def session(self, request: web.Request, url: SessionUrl) -> Answer:
        """A chat completion on a session's own URL."""
        call = Call(request, Kind.SESSION, self._clock(), url.algorithm)
        return await self._account(call, lambda call: self._session(call, url, self._sessions))

    async def trial(self, request: web.Request, url: SessionUrl, desk: Desk) -> Answer:
        """A chat completion of an offline job's rollout; `desk` is the one that knows trials."""
        call = Call(request, Kind.TRIAL, self._clock(), url.algorithm)
        return await self._account(call, lambda call: self._session(call, url, desk), desk)

    async def _account(
        self, call: Call, serve: Callable[[Call], Awaitable[Answer]], desk: Desk | None = None
    ) -> Answer:
        """Serve a call, and settle it exactly once however that ends."""
        self._metrics.in_flight.inc()
        try:
            return await serve(call)
        except asyncio.CancelledError:
            call.outcome = Outcome.ABORTED
            raise
        finally:
            self._metrics.in_flight.dec()
            (desk or self._sessions).settler.settle(call)

    async def _untouched(self, call: Call) -> Answer:
        request = call.request
        tail = tail_of(request.raw_path, "/v1")
        return await self._forward(
            call, tail, request.content.iter_any() if request.body_exists else None
        )

    async def _chat(self, call: Call) -> Answer:
        request = call.request
        tail = tail_of(request.raw_path, "/v1")
        rules = self._router.narrow(request.headers)
        if not rules or (not rules[0].model and not self._planner.knows(rules[0].session)):
            return await self._untouched(call)
        session = None if rules[0].model else rules[0].session
        raw, whole = await read_up_to(request, self._settings.server.max_body_bytes)
        if not whole:
            self._unmatched(call, session, raw, Unmatched.TOO_LARGE)
            return await self._forward(call, tail, _resumed(raw, request))
        try:
            chat = parse(raw, *self._reading(request))
        except Unreadable as error:
            self._unmatched(call, session, raw, error.reason)
            return await self._forward(call, tail, raw)
        session = choose(rules, chat.body.get("model"))
        if session is None or not self._planner.knows(session):
            return await self._forward(call, tail, raw)
        caller = Caller(session, request.headers)
        call.follow(await self._plan(self._planner, call, caller, chat))
        return await self._forward_plan(call, tail)

    def _unmatched(self, call: Call, session: str | None, raw: bytes, reason: Unmatched) -> None:
        """A call that cannot be read goes through untouched; which session it was meant for may
        have depended on what cannot be read."""
        plan = self._planner.unmatched(session or "", raw, reason)
        if session is not None:
            call.follow(plan)

    async def _session(self, call: Call, url: SessionUrl, desk: Desk) -> Answer:
        request = call.request
        _check(request, url)
        if not desk.planner.knows(url.session_id) and not await self._found(desk, url):
            what = "trial under way" if call.kind is Kind.TRIAL else "session"
            raise NotFound(f"There is no {what} '{url.session_id}'.", param="session_id")
        limit = self._settings.server.max_body_bytes
        raw, whole = await read_up_to(request, limit)
        if not whole:
            raise PayloadTooLarge(f"The body is larger than {limit} bytes: send a shorter one.")
        chat = parse(raw, *self._reading(request))
        caller = Caller(url.session_id, request.headers, url.correlation, strict=True)
        call.follow(await self._plan(desk.planner, call, caller, chat))
        return await self._forward_plan(call, _CHAT + query_of(request.raw_path, url.own_query))

    async def _found(self, desk: Desk, url: SessionUrl) -> bool:
        """Whether a session that is unknown here is one of another sidecar's."""
        if self._recall is None or desk is not self._sessions:
            return False
        return await self._recall.session(url.session_id)

    async def _plan(self, planner: Planner, call: Call, caller: Caller, chat: Chat) -> Plan:
        """The plan for a call; of a session's, after the store was asked what memory does not
        hold."""
        if self._recall is None or planner is not self._planner:
            return planner.plan(caller, chat, call.arrived)
        identity = planner.identified(caller, chat)
        if identity is not None and self._recall.needed(caller.session_id, identity):
            await self._recall.conversation(caller.session_id, identity, call.arrived)
        return planner.plan(caller, chat, call.arrived, identity)

    def _reading(self, request: web.Request) -> tuple[str, int]:
        encoding = request.headers.get(hdrs.CONTENT_ENCODING, "")
        return encoding, self._settings.server.max_body_bytes

    async def _forward_plan(self, call: Call, tail: str) -> Answer:
        assert call.plan is not None
        if call.plan.referral is not None:
            return await self._refer(call, call.plan, call.plan.referral, tail)
        return await self._forward(call, tail, call.plan.body)

    async def _refer(self, call: Call, plan: Plan, referral: Referral, tail: str) -> Answer:
        """Have the backend serve it, and the provider when that does not."""
        assert self._referred is not None
        before = call.elapsed
        try:
            query = query_of(tail)
            answer = await self._referred.answer(call.request, referral, query, plan.body)
        except Instead as why:
            call.follow(self._planner.without_backend(plan, why.reason))
            return await self._forward_plan(call, tail)
        self._metrics.overhead.observe(before)
        call.follow(taken(plan, answer, call.arrived))
        return await self._answered(call, answer)

    async def _forward(self, call: Call, tail: str, body: Body) -> Answer:
        """Call the provider and relay its answer."""
        plan, request = call.plan, call.request
        headers = self._credentials.outgoing(
            request,
            is_session_url=call.kind in {Kind.SESSION, Kind.TRIAL},
            without=_FRAMING if plan and plan.is_rewritten else frozenset(),
        )
        self._metrics.overhead.observe(call.elapsed)
        upstream = await self._upstream.send(Outgoing(request.method, tail, headers, body))
        return await self._answered(call, upstream)

    async def _answered(self, call: Call, upstream: ClientResponse) -> Answer:
        """Relay an answer, once it is written down who served it."""
        plan = call.plan
        try:
            call.status = upstream.status
            if plan and plan.selection and plan.selection.stored:
                await self._durable(plan.selection.stored)
            return await self._relay(call, upstream)
        finally:
            if not upstream.content.at_eof():
                abort(upstream)

    async def _relay(self, call: Call, upstream: ClientResponse) -> Answer:
        relay = Relay(call.request, upstream)
        response = relay.response(self._answer_headers(call, upstream))
        if call.plan and call.plan.selection:
            call.capture = Capture(
                upstream.headers.get(hdrs.CONTENT_TYPE, ""),
                upstream.headers.get(hdrs.CONTENT_ENCODING, ""),
            )
        tee = call.capture.feed if call.capture else _ignore
        end = None
        try:
            end = await relay.run(response, lambda: self._first_byte(call), tee)
        finally:
            if end is None:
                relay.drop()
        is_error = upstream.status >= 400  # noqa: PLR2004 - where HTTP's errors begin
        call.outcome = _OUTCOMES.get(end, Outcome.FAILED if is_error else Outcome.DONE)
        return response

    def _answer_headers(self, call: Call, upstream: ClientResponse) -> Headers:
        """The provider's headers, and ours on a session's call only."""
        received = from_raw(upstream.raw_headers)
        if call.plan is None:
            return for_client(received, [])
        added = call.plan.headers(call.algorithm)
        if self._handout is not None and call.kind is not Kind.TRIAL:
            added += self._handout.headers(call.plan, call.request.headers, upstream.headers)
        if is_event_stream(upstream.headers.get(hdrs.CONTENT_TYPE, "")):
            added.append(("x-accel-buffering", "no"))
        return for_client(received, added)

    def _first_byte(self, call: Call) -> None:
        self._metrics.first_chunk.observe(call.elapsed)

    async def _durable(self, stored: asyncio.Future[Assignment | None]) -> None:
        """What the client is told about its rollout should be true after a crash too; but the
        client does not wait for a slow disk."""
        if not stored.done():
            await asyncio.wait({stored}, timeout=self._settings.gateway.store_wait_ms / 1000)
        if not stored.done():
            self._metrics.failopen.labels("store_slow").inc()
        elif stored.cancelled() or stored.exception() is not None or not stored.result():
            self._metrics.failopen.labels("store").inc()


def _ignore(_chunk: bytes) -> None:
    """What passes through untouched is nobody's learning data."""


def _check(request: web.Request, url: SessionUrl) -> None:
    """Ids are taken as they stand in the URL: an encoded one is a disguise."""
    path = request.raw_path.partition("?")[0]
    usable = "%" not in path and path.startswith("/api/") and is_session_id(url.session_id)
    if not usable:
        raise InvalidRequest("The session id in the URL is not one.", param="session_id")
    if url.correlation is not None and not is_correlation_id(url.correlation):
        raise InvalidRequest("The correlation id in the URL is not one.", param="correlation_id")


async def _resumed(head: bytes, request: web.Request) -> AsyncIterator[bytes]:
    """A body of which the head has been read already."""
    yield head
    async for chunk in request.content.iter_any():
        yield chunk
