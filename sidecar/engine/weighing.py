"""What a conversation's votes amount to under a session's rules. Pure, and blind to order.

Each actor's votes in a signal become one score by the credit rule, the actors' scores one by their
mean, the signals one reward by their weights. What is missing is missing: the weights of the
signals that are there are scaled up.
"""

import math
from collections.abc import Sequence

from sidecar.core.feedback import Vote
from sidecar.core.rollout import Turn
from sidecar.engine.credit import credited, place, places
from sidecar.engine.rules import Objective, Rules


def weigh(rules: Rules, votes: Sequence[Vote], turns: Sequence[Turn]) -> float | None:
    """The reward in [0, 1]; None when no user said anything that counts. What was measured adds to
    what users say and does not stand for it: a fast answer nobody judged is not a good one."""
    if not rules.objectives:
        return _judged(rules, votes, turns)
    scores = []
    for objective in rules.objectives:
        own = [vote for vote in votes if vote.signal == objective.signal]
        scores.append((objective, _judged(rules, own, turns)))
    said = [(o.weight, score) for o, score in scores if score is not None]
    if not said:
        return None
    return _mean([*said, *_measured(rules.objectives, turns)])


def _judged(rules: Rules, votes: Sequence[Vote], turns: Sequence[Turn]) -> float | None:
    """What the actors say on average; None when none of them says anything."""
    at = places(turns)
    rated: dict[str | None, list[tuple[int, float]]] = {}
    for vote in votes:
        rated.setdefault(vote.actor, []).append((place(vote, at), vote.score))
    if not rated:
        return None
    scores = sorted(credited(rules.credit, own) for own in rated.values())
    return math.fsum(winsorised(scores, rules.influence.winsorise)) / len(scores)


def winsorised(ordered: Sequence[float], part: float) -> list[float]:
    """Sorted scores with that part of them at either end replaced by the next one."""
    k = int(part * len(ordered))
    low, high = ordered[k], ordered[len(ordered) - 1 - k]
    return [min(high, max(low, score)) for score in ordered]


def _measured(objectives: Sequence[Objective], turns: Sequence[Turn]) -> list[tuple[float, float]]:
    if not turns:
        return []
    found = {
        "latency": math.fsum(turn.duration for turn in turns) / len(turns),
        "cost": float(sum(turn.prompt_tokens + turn.completion_tokens for turn in turns)),
    }
    return [(o.weight, o.scaled(found[o.signal])) for o in objectives if o.signal in found]


def _mean(weighted: Sequence[tuple[float, float]]) -> float:
    total = math.fsum(weight * score for weight, score in weighted)
    return min(1.0, max(0.0, total / math.fsum(weight for weight, _ in weighted)))
