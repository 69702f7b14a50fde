"""The published reward request (`POST …/sessions/{id}/reward`), as a feedback event. Pure.

The published API has no event id, so one is derived: the same request sent again right away is a
retry and the same event; sent again after another one, it is the reward's new value once more. All
of them speak as one actor, so the last one counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from sidecar.core.feedback import APPLICATION, FeedbackEvent, Kind
from sidecar.core.ids import is_correlation_id
from sidecar.core.rollout import Assignment
from sidecar.errors import InvalidFeedback, InvalidRequest
from sidecar.feedback.parse import MAX_TEXT
from sidecar.feedback.signals import number

SOURCE = APPLICATION


@dataclass(frozen=True, slots=True)
class RewardRequest:
    """What was asked, checked."""

    rollout_id: str | None
    """None: any rollout of the candidate, which is named then."""
    candidate_id: str | None
    value: float | None
    """None: what was said before is taken back."""
    comment: str | None
    stop: bool
    digest: str
    """Of the whole body: equal bodies are the same statement."""


def parse_reward(body: Any) -> RewardRequest:
    """Check a request body. Raises `InvalidRequest`."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("the body must be a JSON object")
    info = body.get("reward_info")
    if not isinstance(info, Mapping):
        raise InvalidRequest(
            'reward_info must be an object, such as {"score": 0.85}', param="reward_info"
        )
    stop = body.get("stop") or False
    if not isinstance(stop, bool):
        raise InvalidRequest("stop must be true or false", param="stop")
    return RewardRequest(
        rollout_id=_rollout_id(body),
        candidate_id=_text(body, "candidate_id"),
        value=None if info.get("retracted") is True else _value(info),
        comment=_comment(info, body.get("metadata")),
        stop=stop,
        digest=_digest(body),
    )


def event_id(request: RewardRequest, to: Assignment, history: Iterable[FeedbackEvent]) -> str:
    """The id of this request's event, given the rollout that it is about and what that one's
    events are so far."""
    own = sorted(
        (event for event in history if event.source == SOURCE),
        key=lambda event: (event.received_at, event.event_id),
    )
    about = f"{to.session_id}\n{to.rollout_id}\n{request.digest}"
    stem = f"reward_{sha256(about.encode()).hexdigest()[:32]}_"
    if own and own[-1].event_id.startswith(stem):
        return own[-1].event_id
    return f"{stem}{len(own)}"


def as_event(
    request: RewardRequest, to: Assignment, own_id: str, received_at: float
) -> FeedbackEvent:
    """The event that a request about this rollout amounts to."""
    return FeedbackEvent(
        event_id=own_id,
        source=SOURCE,
        kind=Kind.SCORE if request.value is not None else Kind.RETRACTION,
        received_at=received_at,
        session_id=to.session_id,
        rollout_id=to.rollout_id,
        score=request.value,
        comment=request.comment,
        actor=SOURCE,
    )


def _rollout_id(body: Mapping[str, Any]) -> str | None:
    """A session object of the SDK adds its own correlation id to every request, so a rollout id
    given beside it goes first. A candidate id alone will do."""
    for name in ("rollout_id", "correlation_id"):
        if text := _text(body, name):
            if not is_correlation_id(text):
                raise InvalidRequest(f"{name} is not a possible id", param=name)
            return text
    if _text(body, "candidate_id"):
        return None
    raise InvalidRequest(
        "give the rollout_id, or the correlation_id of its conversation, or the candidate_id"
    )


def _text(body: Mapping[str, Any], name: str) -> str | None:
    text = body.get(name)
    if text is None or isinstance(text, str):
        return text or None
    raise InvalidRequest(f"{name} must be text", param=name)


def _value(info: Mapping[str, Any]) -> float:
    objectives = info.get("outcome_objectives")
    nested = objectives.get("reward") if isinstance(objectives, Mapping) else None
    candidates = {
        **{f"reward_info.{name}": info.get(name) for name in ("outcome_reward", "score", "reward")},
        "reward_info.outcome_objectives.reward": nested,
    }
    for path, given in candidates.items():
        if given is not None:
            return _unit(given, path)
    if isinstance(info.get("correct"), bool):
        return float(info["correct"])
    raise InvalidRequest(
        "reward_info has no number: give outcome_reward, score or reward", param="reward_info"
    )


def _unit(given: Any, path: str) -> float:
    try:
        value = number(given, path)
    except InvalidFeedback as error:
        raise InvalidRequest(str(error), param=path) from None
    if not 0.0 <= value <= 1.0:
        raise InvalidRequest(f"{path} is {value:g}; rewards are in 0..1", param=path)
    return value


def _comment(info: Mapping[str, Any], metadata: Any) -> str | None:
    """What was said in words, wherever the published examples put it."""
    details = info.get("details")
    places = (
        info.get("feedback"),
        info.get("comment"),
        details.get("feedback") if isinstance(details, Mapping) else None,
        metadata.get("feedback") if isinstance(metadata, Mapping) else None,
    )
    said = dict.fromkeys(text for text in places if isinstance(text, str) and text.strip())
    comment = "\n".join(said)
    if len(comment) > MAX_TEXT:
        raise InvalidRequest(
            f"the feedback text is longer than {MAX_TEXT} characters", param="reward_info.feedback"
        )
    return comment or None


def _digest(body: Mapping[str, Any]) -> str:
    try:
        canonical = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        raise InvalidRequest("the body is nested too deeply") from None
    return sha256(canonical).hexdigest()
