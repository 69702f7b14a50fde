"""Feedback that a page sends by itself, with a token in place of a key.

Whoever holds a token may be anybody's browser, so it says less and weighs no more than one voice:
only about the token's own rollout, in few words, and always as the same actor. What it says again
is the same event; what it says anew replaces what it said before, as with any actor; and after a
few changes of mind it is not heard any more.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from sidecar.core.feedback import FeedbackEvent, Kind
from sidecar.core.feedback_token import Claim
from sidecar.errors import Conflict, Forbidden, InvalidFeedback, TooMany
from sidecar.feedback.intake import Accepted, Intake
from sidecar.feedback.parse import parse
from sidecar.feedback.tokens import FeedbackTokens
from sidecar.store.base import Feedback

SOURCE = "browser"
MAX_BODY = 16 * 1024
MAX_TEXT = 2000
"""Characters of a comment or a correction."""
MAX_EVENTS = 20
"""Statements about one rollout: changes of mind, not repetitions."""
SAID = ("thumbs", "rating", "score", "comment", "correction", "retract")
ABOUT = ("rollout_id", "correlation_id", "session_id")
"""May stand beside the token, where they say the same."""


class BrowserFeedback:
    """Takes in what comes with a token."""

    def __init__(
        self,
        store: Feedback,
        intake: Intake,
        tokens: FeedbackTokens,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._intake = intake
        self._tokens = tokens
        self._clock = clock

    async def rotate(self, *, revoke: bool) -> None:
        """See `FeedbackTokens.rotate`."""
        await self._tokens.rotate(revoke=revoke)

    async def accept(self, body: Mapping[str, Any]) -> Accepted:
        """Store the one event of a body that brings a token.

        Raises `Unauthorised` for a token that is not good, `Forbidden` when the event is about
        something else, `TooMany` for too many different statements, and as `Intake.accept`.
        """
        claim = await self._tokens.claim(body.get("token"))
        event = statement(body, claim, self._clock())
        history = await self._store.events_of(claim.session_id, claim.rollout_id)
        own = sorted(
            (one for one in history if one.source == SOURCE),
            key=lambda one: (one.received_at, one.event_id),
        )
        if known := repeated(event, own):
            return await self._add(event, known)
        for number in range(len(own), MAX_EVENTS):
            try:
                return await self._add(event, _event_id(claim, number))
            except Conflict:  # another click took that number meanwhile, or still waits
                continue
        raise TooMany(
            f"this rollout has had {MAX_EVENTS} different statements from its page; no more count"
        )

    async def _add(self, event: FeedbackEvent, event_id: str) -> Accepted:
        [accepted] = await self._intake.accept([replace(event, event_id=event_id)])
        return accepted


def statement(body: Mapping[str, Any], claim: Claim, received_at: float) -> FeedbackEvent:
    """The event that a page's body says, about the token's rollout. Its id is still to be found.
    Raises `InvalidFeedback` and `Forbidden`."""
    for name in body:
        if name not in {"token", *SAID, *ABOUT}:
            known = ", ".join(SAID)
            raise InvalidFeedback(
                f"{str(name)[:40]} cannot be said with a token; what can is {known}",
                param=str(name)[:40],
            )
    own = {"session_id": claim.session_id, "rollout_id": claim.rollout_id}
    for name in ABOUT:
        if body.get(name) not in {None, own.get(name, claim.rollout_id)}:
            raise Forbidden("the token is for another rollout", param=name)
    for name in ("comment", "correction"):
        if isinstance(text := body.get(name), str) and len(text) > MAX_TEXT:
            raise InvalidFeedback(
                f"{name} is longer than the {MAX_TEXT} characters that a page may send", param=name
            )
    said = {name: body[name] for name in SAID if name in body}
    [event] = parse(
        {**said, **own, "actor": f"{SOURCE}:{_digest(claim)}"},
        source=SOURCE,
        received_at=received_at,
        new_id=str,
    )
    return event


def repeated(event: FeedbackEvent, own: Sequence[FeedbackEvent]) -> str | None:
    """The id of the event that says this already: of what counts now, the last of its sort. Scores
    replace each other; words stand beside them; a retraction takes back all that came before."""
    last: dict[str, FeedbackEvent] = {}
    for one in own:
        if one.kind is Kind.RETRACTION:
            last.clear()
        else:
            last.pop(Kind.RETRACTION.value, None)
        last[_sort(one)] = one
    alike = last.get(_sort(event))
    return alike.event_id if alike is not None and _said(alike) == _said(event) else None


def _sort(event: FeedbackEvent) -> str:
    return "score" if event.score is not None else event.kind.value


def _said(event: FeedbackEvent) -> tuple[object, ...]:
    return event.kind, event.score, event.comment, event.correction


def _event_id(claim: Claim, number: int) -> str:
    return f"{SOURCE}:{_digest(claim)}:{number}"


def _digest(claim: Claim) -> str:
    return sha256(f"{claim.session_id}\n{claim.rollout_id}".encode()).hexdigest()[:32]
