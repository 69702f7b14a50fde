"""The options of a source: what may be in them, and everything that is wrong with them at once."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.feedback.adapters.path import PathError, compiled

Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OptionProblem:
    """One thing that is wrong with a source's options."""

    option: str
    """Its place: `metrics.helpful.min`."""
    message: str
    """What must be there instead."""


Rule = Callable[[Any, str], list[OptionProblem]]
"""Checks the value at a place."""


def check_options(
    options: Any, rules: Mapping[str, Rule], required: Sequence[str] = (), at: str = ""
) -> list[OptionProblem]:
    """All that is wrong with a table whose keys are those of `rules`."""
    if not isinstance(options, Mapping):
        return [OptionProblem(at.rstrip("."), "must be a table")]
    problems = [
        OptionProblem(f"{at}{name}", "is missing") for name in required if options.get(name) is None
    ]
    for name, value in options.items():
        if name in rules:
            problems += rules[name](value, f"{at}{name}")
        else:
            known = ", ".join(sorted(rules))
            problems.append(OptionProblem(f"{at}{name}", f"is not an option; known are {known}"))
    return problems


def text(value: Any, at: str) -> list[OptionProblem]:
    """Some text."""
    return [] if isinstance(value, str) and value else [OptionProblem(at, "must be text")]


def texts(value: Any, at: str) -> list[OptionProblem]:
    """A list of texts, not empty."""
    if isinstance(value, list | tuple) and value and all(isinstance(v, str) and v for v in value):
        return []
    return [OptionProblem(at, "must be a list of texts")]


def prefix(value: Any, at: str) -> list[OptionProblem]:
    """What ids begin with; it must fit into an id."""
    good = isinstance(value, str) and len(value) <= 32 and value.isascii()  # noqa: PLR2004
    if good and all(char.isalnum() or char in "_.:-" for char in value):
        return []
    return [OptionProblem(at, "must be at most 32 of A-Z a-z 0-9 _ . : -")]


def one_of(*names: str) -> Rule:
    """One of these texts."""

    def rule(value: Any, at: str) -> list[OptionProblem]:
        return [] if value in names else [OptionProblem(at, f"must be one of {', '.join(names)}")]

    return rule


def path(value: Any, at: str) -> list[OptionProblem]:
    """A JSON path."""
    if not isinstance(value, str):
        return [OptionProblem(at, "must be a path, such as @.trace_id")]
    try:
        compiled(value)
    except PathError as error:
        return [OptionProblem(at, str(error))]
    return []


def paths(value: Any, at: str) -> list[OptionProblem]:
    """A JSON path, or a list of them."""
    if isinstance(value, list | tuple) and value:
        return [problem for n, one in enumerate(value) for problem in path(one, f"{at}[{n}]")]
    return path(value, at)


def scores(value: Any, at: str) -> list[OptionProblem]:
    """A table that gives each name a score in [0, 1]."""
    if not isinstance(value, Mapping) or not value:
        return [OptionProblem(at, "must be a table of names and scores, such as {good = 1}")]
    return [p for name, score in value.items() for p in score_in_unit(score, f"{at}.{name}")]


def score_in_unit(value: Any, at: str) -> list[OptionProblem]:
    """A score in [0, 1]."""
    good = finite(value) and 0 <= value <= 1
    return [] if good else [OptionProblem(at, "must be a score in 0..1")]


def finite(value: Any) -> bool:
    """Whether this is a number, which true and false are not."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def as_list(value: str | Sequence[str]) -> tuple[str, ...]:
    """A path or a list of them, as a list."""
    return (value,) if isinstance(value, str) else tuple(value)
