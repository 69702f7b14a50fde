"""Feedback over HTTP: `POST /feedback`, and the dead letters of what came of it."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from aiohttp import web

from sidecar.api.body import read_json, read_object
from sidecar.api.feedback_tokens import TokenApi, rejections
from sidecar.api.guard import Handler, guarded
from sidecar.core.ids import is_correlation_id, is_session_id
from sidecar.errors import InvalidFeedback, InvalidRequest, NotFound
from sidecar.feedback.browser import BrowserFeedback
from sidecar.feedback.erasure import Eraser
from sidecar.feedback.intake import Accepted, Intake
from sidecar.feedback.parse import checked_actor, parse
from sidecar.rewards.deadletters import DeadLetters
from sidecar.settings import Settings
from sidecar.telemetry.metrics import Metrics

MAX_BODY = 1024 * 1024
SOURCE = "api"
LISTED = 100
"""Dead letters shown when no limit is asked for."""
MOST_LISTED = 1000


def routes(
    intake: Intake,
    dead_letters: DeadLetters,
    settings: Settings,
    metrics: Metrics,
    *,
    eraser: Eraser,
    durable: Callable[[], bool],
    clock: Callable[[], float] = time.time,
    browser: BrowserFeedback | None = None,
) -> list[web.RouteDef]:
    """The routes of this module; `durable` asks what the store says of itself, which is part of
    every acknowledgement; `browser` takes what comes with a feedback token, if there are any."""
    api = _FeedbackApi(intake, dead_letters, metrics, eraser=eraser, durable=durable, clock=clock)
    tokens = TokenApi(browser, settings, metrics)

    def keyed(handler: Handler) -> Handler:
        return guarded(handler, settings)

    return [
        web.post("/feedback", tokens.door(api.read, api.take, api.acknowledge)),
        web.post("/feedback/tokens/rotate", keyed(tokens.rotate)),
        web.delete("/feedback/actors/{actor}", keyed(api.erase)),
        web.get("/feedback/dead-letters", keyed(api.list_dead)),
        web.post("/feedback/dead-letters/replay", keyed(api.replay)),
    ]


class _FeedbackApi:
    def __init__(
        self,
        intake: Intake,
        dead_letters: DeadLetters,
        metrics: Metrics,
        *,
        eraser: Eraser,
        durable: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._eraser = eraser
        self._intake = intake
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._durable = durable
        self._clock = clock

    async def read(self, request: web.Request) -> Any:
        """The body of a request that came with a key."""
        with rejections(self._metrics, SOURCE):
            return await read_json(request, MAX_BODY)

    async def take(self, body: Any) -> web.Response:
        """202 means stored: each event says whether its rollout was found already."""
        with rejections(self._metrics, SOURCE):
            events = parse(body, source=SOURCE, received_at=self._clock(), new_id=new_event_id)
            accepted = await self._intake.accept(events)
        return self.acknowledge(accepted, single=not isinstance(body, list))

    def acknowledge(self, accepted: Sequence[Accepted], *, single: bool = True) -> web.Response:
        """What the sender is told."""
        return acknowledged(accepted, durable=self._durable(), single=single)

    async def erase(self, request: web.Request) -> web.Response:
        """Forget an actor: what they wrote, and what it did."""
        try:
            actor = checked_actor(request.match_info["actor"])
        except InvalidFeedback as error:
            raise NotFound(f"there is nobody of that name: {error}", param="actor") from None
        count = await self._eraser.erase(actor)
        return web.json_response({"events": count, "status": "erased"})

    async def list_dead(self, request: web.Request) -> web.Response:
        """Rewards that were given up, oldest first."""
        letters = await self._dead_letters.oldest(_limit(request))
        return web.json_response({"dead_letters": [asdict(letter) for letter in letters]})

    async def replay(self, request: web.Request) -> web.Response:
        """Put one back into the outbox."""
        body = await read_object(request, MAX_BODY)
        session_id, rollout_id = body.get("session_id"), body.get("rollout_id")
        if not isinstance(session_id, str) or not is_session_id(session_id):
            raise InvalidFeedback("session_id must be a session's id", param="session_id")
        if not isinstance(rollout_id, str) or not is_correlation_id(rollout_id):
            raise InvalidFeedback("rollout_id must be a rollout's id", param="rollout_id")
        await self._dead_letters.replay(session_id, rollout_id)
        return web.json_response(
            {"session_id": session_id, "rollout_id": rollout_id, "status": "replayed"}, status=202
        )


def acknowledged(accepted: Sequence[Accepted], *, durable: bool, single: bool) -> web.Response:
    """202 with what became of each event; of a `single` one also at the top."""
    answer: dict[str, Any] = {
        "events": [_acknowledgement(one) for one in accepted],
        "durable": durable,
    }
    if single:
        answer |= _acknowledgement(accepted[0])
    return web.json_response(answer, status=202)


def new_event_id() -> str:
    """The id of an event that brings none."""
    return f"fb_{secrets.token_hex(16)}"


def _acknowledgement(one: Accepted) -> dict[str, str]:
    return {
        "event_id": one.event_id,
        "feedback_id": one.event_id,
        "status": one.status.value,
    }


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(LISTED))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MOST_LISTED):  # noqa: PLR2004
        raise InvalidRequest(f"limit must be a whole number in 1..{MOST_LISTED}", param="limit")
    return int(text)
