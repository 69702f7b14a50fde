"""The credit rule: how what was said about single turns becomes the conversation's reward.

A conversation is the unit of assignment and of the statistics and counts once, however many of its
turns were rated. What is about no turn is about the whole, and comes after the last turn. Rules:

* `last`: what the user said last stands;
* `all`: the average over all that was rated;
* `discounted`: the same, but each turn counts for less the further it is from the end;
* `decisive`: the rating that is furthest from indifferent; of two, the worse one.
"""

from collections.abc import Iterable, Mapping, Sequence

from sidecar.core.feedback import Vote
from sidecar.core.rollout import Turn

RULES = ("last", "all", "discounted", "decisive")
DISCOUNT = 0.7
"""What a turn counts for, against the next one."""
_INDIFFERENT = 0.5


def credited(rule: str, rated: Sequence[tuple[int, float]]) -> float:
    """One actor's score for the conversation, from (turn, score) in the order they were said; at
    least one."""
    if rule == "last":
        return rated[-1][1]
    if rule == "decisive":
        return max((score for _, score in rated), key=_decides)
    end = max(turn for turn, _ in rated)
    weights = [DISCOUNT ** (end - turn) if rule == "discounted" else 1.0 for turn, _ in rated]
    total = sum(weight * score for weight, (_, score) in zip(weights, rated, strict=True))
    return min(1.0, max(0.0, total / sum(weights)))


def places(turns: Iterable[Turn]) -> dict[str, int]:
    """Which turn has which completion id."""
    return {turn.completion_id: i for i, turn in enumerate(turns) if turn.completion_id}


def place(vote: Vote, at: Mapping[str, int]) -> int:
    """The turn a vote is about; one after the last for the whole, or for a turn nobody knows."""
    return at.get(vote.completion_id or "", len(at))


def cause(rule: str, votes: Sequence[Vote], turns: Sequence[Turn]) -> int:
    """The turn that reflection is shown as the cause, by its index: the one that the rule gives
    the most weight. The last one when nothing was said about single turns."""
    at = places(turns)
    rated = [(at[v.completion_id], v.score) for v in votes if v.completion_id in at]
    last = max(0, len(turns) - 1)
    if not rated or rule == "all":
        return last
    if rule == "last":
        return rated[-1][0]
    if rule == "discounted":
        return max(turn for turn, _ in rated)
    return max(rated, key=lambda one: _decides(one[1]))[0]


def _decides(score: float) -> tuple[float, float]:
    return abs(score - _INDIFFERENT), -score
