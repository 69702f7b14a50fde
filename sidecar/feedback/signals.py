"""What a user expressed, as a number in [0, 1].

A scale is declared by the sender, never guessed: a bare `4` may be four stars of five or four
points of a hundred, and a wrong guess would teach the optimiser the opposite of what was meant.
"""

import math
from collections.abc import Mapping
from typing import Any

from sidecar.core.feedback import Kind
from sidecar.errors import InvalidFeedback

_SCALE = frozenset({"value", "min", "max"})


def number(value: Any, path: str) -> float:
    """A finite JSON number; text and booleans are not numbers, however they look."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidFeedback(f"{path} must be a number, not {_name(value)}", param=path)
    if not math.isfinite(value):
        raise InvalidFeedback(f"{path} must be a finite number", param=path)
    return float(value)


def thumbs(value: Any, path: str) -> float:
    """1 for up, 0 for down."""
    if value is True or value in ("up", 1):
        return 1.0
    if value is False or value in ("down", -1):
        return 0.0
    raise InvalidFeedback(f'{path} must be "up" or "down" (or true or false, 1 or -1)', param=path)


def rating(value: Any, path: str) -> float:
    """The place of a rating on its own scale."""
    if not isinstance(value, Mapping):
        raise InvalidFeedback(
            f'{path} must say its scale: {{"value": 4, "min": 1, "max": 5}}', param=path
        )
    for key in value:
        if key not in _SCALE:
            raise InvalidFeedback(
                f"{path}.{key[:40]} is not a known field; a rating has value, min and max",
                param=f"{path}.{key[:40]}",
            )
    for key in ("value", "min", "max"):
        if value.get(key) is None:
            raise InvalidFeedback(f"{path}.{key} is missing", param=f"{path}.{key}")
    low, high = number(value["min"], f"{path}.min"), number(value["max"], f"{path}.max")
    given = number(value["value"], f"{path}.value")
    if not low < high or not math.isfinite(high - low):
        raise InvalidFeedback(f"{path}.min must be below {path}.max", param=f"{path}.min")
    if not low <= given <= high:
        raise InvalidFeedback(f"{path}.value must lie between min and max", param=f"{path}.value")
    return min(1.0, max(0.0, (given - low) / (high - low)))


def score(value: Any, path: str) -> float:
    """A number that is in [0, 1] already."""
    given = number(value, path)
    if not 0.0 <= given <= 1.0:
        raise InvalidFeedback(
            f"{path} must lie in 0..1; for another scale use rating with its min and max",
            param=path,
        )
    return given


SCORED = {
    "thumbs": (Kind.THUMBS, thumbs),
    "rating": (Kind.RATING, rating),
    "score": (Kind.SCORE, score),
}
"""The fields that carry a number, and how each becomes one. An event has at most one of them."""


def _name(value: Any) -> str:
    names = {str: "text", bool: "a boolean", list: "a list", dict: "an object"}
    return names.get(type(value), "null")
