"""The journal entries about rewards: what a conversation amounts to and how much of that counts.

Pure. Whether a reward counts is decided here, once, by the state as of the entry before, and is
part of the entry, so every sidecar that folds it comes to the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sidecar.core.feedback import Kind, Reward, Vote
from sidecar.core.rollout import Assignment, Turn
from sidecar.core.session import Entry, JournalEntry
from sidecar.engine.influence import Influences, Kept, Quarantine
from sidecar.engine.session import SessionState
from sidecar.engine.weighing import weigh

_AT_ONCE = 200
"""Rewards that are held back or let go in one step."""
_HOUR = 3600.0


def reward_entry(
    state: SessionState,
    influences: Influences,
    reward: Reward,
    assignment: Assignment,
    *,
    prior: JournalEntry | None,
    turns: Sequence[Turn],
    sketch: Sequence[int],
    now: int,
    at: float,
) -> JournalEntry:
    """The entry of a reward's revision. `influences` are the state's, with the entries that are to
    be appended before this one; `prior` is the entry of the revision before; `now` the tick."""
    before = list(prior.payload.get("actors", ())) if prior else []
    votes = _votes(reward)
    within = influences.within(votes, assignment.candidate_id, before)
    settled = influences.settled(within)
    rules = state.config.rules
    payload = {
        "revision": reward.revision,
        "value": weigh(rules, settled, turns),
        "stated": weigh(rules, within, turns),
        "had": bool(votes),
        "scored": bool(votes) - _had(prior),
        "held": _why(votes, within, settled),
        "actors": sorted({influences.name(vote.actor) for vote in within}),
        "before": before,
        "replaces": prior.payload["value"] if prior else None,
        "candidate_id": assignment.candidate_id,
        "propensity": assignment.propensity,
        "tick": assignment.tick,
        "now": now,
        "random": assignment.weight > 0,
        "said": bool(reward.comments),
        "sketch": list(sketch),
    }
    key = f"reward:{reward.rollout_id}:{reward.revision}"
    return JournalEntry(key, Entry.REWARD, reward.rollout_id, payload, at)


def _had(prior: JournalEntry | None) -> bool:
    """Whether a rollout had a score already, counted or not."""
    if prior is None:
        return False
    return bool(prior.payload.get("had", prior.payload["value"] is not None))


def _votes(reward: Reward) -> Sequence[Vote]:
    """The votes; a reward that is only a number is nobody's in particular."""
    if reward.votes or reward.value is None:
        return reward.votes
    return (Vote(Kind.SCORE.value, reward.value),)


def _why(votes: Sequence[Vote], within: Sequence[Vote], settled: Sequence[Vote]) -> str:
    if len(settled) < len(within):
        return "quarantined"
    return "capped" if len(within) < len(votes) else ""


def review(state: SessionState, now: int, at: float) -> list[JournalEntry]:
    """What has to be written about newcomers: that they are held back from now on, or no longer,
    and rewards that are to be brought in line with that. Empty when all is as it should be; asked
    for until it is. Only right after the shares were made anew, for it reads all of the memory."""
    if state.status.final or state.policy.stale or not state.influences.rules.quarantine:
        return []
    change = _change(state, now, at)
    if change is not None:
        return [change]
    return [entry for entry, _ in zip(_in_line(state, now, at), range(_AT_ONCE), strict=False)]


def _change(state: SessionState, now: int, at: float) -> JournalEntry | None:
    influences, live = state.influences, state.policy.live
    held = influences.quarantine
    if held is not None:
        if held.candidate_id in live and at < held.until:
            return None
        shift = 0.0
        if held.candidate_id in live:
            shift = influences.shift(held.candidate_id, held.since)
        if not influences.far(shift):
            return _about_newcomers(Entry.RELEASE, held.candidate_id, {"now": now}, state.seq, at)
        return _hold(state, replace(held, shift=shift), now, at)
    for candidate_id in live:
        if found := influences.suspicion(candidate_id):
            since, shift = found
            return _hold(state, Quarantine(candidate_id, since, at, shift), now, at)
    return None


def _hold(state: SessionState, held: Quarantine, now: int, at: float) -> JournalEntry:
    until = at + _HOUR * state.influences.rules.quarantine_hours
    detail = {"since": held.since, "until": until, "shift": round(held.shift, 2), "now": now}
    return _about_newcomers(Entry.QUARANTINE, held.candidate_id, detail, state.seq, at)


def _about_newcomers(
    kind: Entry, candidate_id: str, detail: Mapping[str, Any], seq: int, at: float
) -> JournalEntry:
    return JournalEntry(f"{kind}:{seq}", kind, candidate_id, detail, at)


def _in_line(state: SessionState, now: int, at: float) -> Iterator[JournalEntry]:
    held = state.influences.quarantine is not None
    for one in state.influences.out_of_line():
        yield JournalEntry(
            f"{'hold' if held else 'release'}:{one.rollout_id}:{one.revision}:{state.seq}",
            Entry.REWARD,
            one.rollout_id,
            _again(one, None if held else one.stated, now),
            at,
        )


def _again(one: Kept, value: float | None, now: int) -> dict[str, Any]:
    """The same revision with another value; all else that it says has been folded already."""
    return {
        "again": True,
        "revision": one.revision,
        "value": value,
        "stated": one.stated,
        "held": "quarantined" if value is None else "",
        "actors": list(one.actors),
        "had": True,
        "replaces": one.value,
        "candidate_id": one.candidate_id,
        "tick": one.tick,
        "now": now,
        "said": one.said,
        "cluster": one.cluster,
    }
