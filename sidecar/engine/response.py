"""Whose users answer: feedback is not missing at random.

A prompt that annoys people into silence, or begs them for a thumb, changes who is heard. The part
of a candidate's conversations that got a score is compared with the baseline's.
"""

import math

_ENOUGH = 30
"""Conversations of each that are old enough to have been answered."""
_ALARM = 3.0
"""Standard errors."""


def response_rate(answered: int, served: float) -> float | None:
    """Part of the conversations that got a score; None before there are any."""
    return min(1.0, answered / served) if served >= 1 else None


def compared(own: tuple[int, float], control: tuple[int, float]) -> str:
    """How often a candidate's users answer against the control's, each given as (answered,
    served): `as usual`, `more often`, `less often`; `unknown` while that is too few."""
    if min(own[1], control[1]) < _ENOUGH:
        return "unknown"
    rates = [min(1.0, answered / served) for answered, served in (own, control)]
    pooled = min(1.0, (own[0] + control[0]) / (own[1] + control[1]))
    spread = math.sqrt(pooled * (1 - pooled) * (1 / own[1] + 1 / control[1]))
    difference = rates[0] - rates[1]
    if abs(difference) <= _ALARM * spread or not spread:
        return "as usual"
    return "more often" if difference > 0 else "less often"
