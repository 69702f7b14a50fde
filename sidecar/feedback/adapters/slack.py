"""Slack: buttons (`block_actions`, form-encoded), reactions, and the challenge of a new address.

A reaction knows only the channel and the time of its message, so there the id is
`slack:{channel}:{ts}`; a button may carry our id in its `value`. Each user's reaction has an id of
its own, so that taking it away takes back that one, whatever order Slack delivers them in.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from sidecar.errors import InvalidFeedback
from sidecar.feedback.adapters.base import Reading, Reply, Webhook
from sidecar.feedback.adapters.foreign import (
    Found,
    content_type,
    event_id,
    json_of,
    list_of,
    object_of,
    reading,
    text_of,
)
from sidecar.feedback.adapters.options import (
    OptionProblem,
    Options,
    check_options,
    prefix,
    score_in_unit,
    scores,
)
from sidecar.feedback.adapters.subject import id_kind

_SEEN = Reply(200, "text/plain", b"")
"""What Slack shows no error for after a click."""
_FORM = "application/x-www-form-urlencoded"
_MAX_CHALLENGE = 1024


def check(options: Options) -> list[OptionProblem]:
    """`reactions`: emoji names and their scores. `actions`: action ids and a score each, or a table
    of choices. `id_kind`: what the ids are, in a button's `value` and of messages."""
    rules = {
        "reactions": scores,
        "actions": _actions,
        "id_kind": id_kind,
        "message_prefix": prefix,
        "event_prefix": prefix,
    }
    problems = check_options(options, rules)
    if not problems and not options.get("reactions") and not options.get("actions"):
        problems.append(OptionProblem("reactions", "is missing: give reactions, actions or both"))
    return problems


def read(webhook: Webhook, options: Options) -> Reading:
    """The clicks or the reaction of a request, or the answer to Slack's challenge."""
    body = object_of(_body(webhook), "the body")
    match text_of(body.get("type"), "type"):
        case "url_verification":
            challenge = text_of(body.get("challenge"), "challenge") or ""
            if not challenge or len(challenge) > _MAX_CHALLENGE:
                raise InvalidFeedback("challenge is not one of Slack's", param="challenge")
            return Reading(reply=Reply(200, "text/plain", challenge.encode()))
        case "block_actions":
            return _clicks(body, options)
        case "event_callback":
            return _reaction(body, options)
        case kind:
            return Reading(ignored=(f"{str(kind)[:64]!r} is not feedback",))


def _body(webhook: Webhook) -> Any:
    if content_type(webhook) != _FORM and not webhook.body.startswith(b"payload="):
        return json_of(webhook.body)
    try:
        form = parse_qs(webhook.body.decode(), errors="strict", max_num_fields=16)
    except ValueError:
        raise InvalidFeedback("the form is not valid") from None
    if len(form.get("payload", [])) != 1:
        raise InvalidFeedback("the form must have one payload", param="payload")
    return json_of(form["payload"][0])


def _clicks(body: Mapping[str, Any], options: Options) -> Reading:
    who = _id(object_of(body.get("user"), "user"), "id", "user")
    actions = list_of(body.get("actions"), "actions")
    return reading(
        (_click(body, object_of(one, "actions[*]"), who, options) for one in actions), _SEEN
    )


def _click(body: Mapping[str, Any], action: Mapping[str, Any], who: str, options: Options) -> Found:
    name = text_of(action.get("action_id"), "action_id") or ""
    declared = options.get("actions", {}).get(name)
    if declared is None:
        return f"action {name[:64]!r} is not declared"
    score, own = _choice(declared, text_of(action.get("value"), "value") or "")
    place = own or _message_of(body, options)
    if place is None:
        return f"action {name!r}: neither an id in its value nor a message"
    made = event_id(_prefix(options), who, _id(action, "action_ts", "action_ts"), name, place)
    kind = options.get("id_kind", "correlation_id")
    return {kind: place, "score": score, "actor": who, "event_id": made}


def _choice(declared: Any, value: str) -> tuple[float, str]:
    """The score of a click and the id it carries. One button, one score: all of `value` is the id.
    With choices (`feedback_buttons`), it is the choice and, after a colon, the id."""
    if not isinstance(declared, Mapping):
        return float(declared), value
    choice, _, own = value.partition(":")
    if choice not in declared:
        raise InvalidFeedback(f"value {choice[:64]!r} is not a declared choice", param="value")
    return float(declared[choice]), own


def _message_of(body: Mapping[str, Any], options: Options) -> str | None:
    container = object_of(body.get("container") or {}, "container")
    channel = text_of(container.get("channel_id"), "channel_id")
    ts = text_of(container.get("message_ts"), "message_ts")
    return _message(channel, ts, options) if channel and ts else None


def _reaction(body: Mapping[str, Any], options: Options) -> Reading:
    event = object_of(body.get("event"), "event")
    kind = text_of(event.get("type"), "event.type") or ""
    if kind not in {"reaction_added", "reaction_removed"}:
        return Reading(ignored=(f"{kind[:64]!r} is not feedback",))
    name = (text_of(event.get("reaction"), "reaction") or "").partition("::")[0]
    if name not in options.get("reactions", {}):
        return Reading(ignored=(f"reaction {name[:64]!r} is not declared",))
    item = object_of(event.get("item"), "item")
    if item.get("type") != "message":
        return Reading(ignored=("a reaction to something that is not a message",))
    who = _id(event, "user", "event.user")
    if who == event.get("item_user"):
        return Reading(ignored=("a reaction of the message's own author",))
    channel, ts = _id(item, "channel", "item.channel"), _id(item, "ts", "item.ts")
    vote = event_id(_prefix(options), _team(body), channel, ts, who, name)
    about = {options.get("id_kind", "correlation_id"): _message(channel, ts, options), "actor": who}
    if kind == "reaction_added":
        said = {"score": float(options["reactions"][name]), "event_id": vote}
    else:
        delivery = event_id(_prefix(options), _id(body, "event_id", "event_id"))
        said = {"retracts": vote, "event_id": delivery}
    return Reading(({**about, **said},))


def _message(channel: str, ts: str, options: Options) -> str:
    return f"{options.get('message_prefix', 'slack:')}{channel}:{ts}"


def _team(body: Mapping[str, Any]) -> str:
    return text_of(body.get("team_id"), "team_id") or ""


def _prefix(options: Options) -> str:
    return str(options.get("event_prefix", "slack"))


def _id(item: Mapping[str, Any], key: str, name: str) -> str:
    found = text_of(item.get(key), name)
    if found is None:
        raise InvalidFeedback(f"{name} is missing", param=name)
    return found


def _actions(value: Any, at: str) -> list[OptionProblem]:
    if not isinstance(value, Mapping) or not value:
        return [OptionProblem(at, "must be a table of action ids, such as {thumbs_up = 1}")]
    problems = []
    for name, one in value.items():
        rule = scores if isinstance(one, Mapping) else score_in_unit
        problems += rule(one, f"{at}.{name}")
    return problems
