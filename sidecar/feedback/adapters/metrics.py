"""What the value of a metric says. The scale stands in the options; no value makes us guess it.

A metric is declared in one of four ways: `{min, max}` for a number on that scale,
`{boolean = true}` for true and false (or 1 and 0), `{values = {good = 1, bad = 0}}` for names,
`{text = "comment"}` or `{text = "correction"}` for words. With `optimize = "min"` the low end is
the good one.
"""

from collections.abc import Mapping
from typing import Any

from sidecar.errors import InvalidFeedback
from sidecar.feedback.adapters.foreign import as_text, some_of, text_of
from sidecar.feedback.adapters.options import (
    OptionProblem,
    Rule,
    check_options,
    finite,
    one_of,
    scores,
)
from sidecar.feedback.signals import number, rating

Metric = Mapping[str, Any]

_WAYS = ("boolean", "values", "text")


def _number(value: Any, at: str) -> list[OptionProblem]:
    return [] if finite(value) else [OptionProblem(at, "must be a number")]


def _true(value: Any, at: str) -> list[OptionProblem]:
    return [] if value is True else [OptionProblem(at, "must be true")]


METRIC_RULES: Mapping[str, Rule] = {
    "min": _number,
    "max": _number,
    "boolean": _true,
    "values": scores,
    "text": one_of("comment", "correction"),
    "optimize": one_of("max", "min"),
}


def metric(value: Any, at: str) -> list[OptionProblem]:
    """A metric's declaration."""
    problems = check_options(value, METRIC_RULES, at=f"{at}.")
    return problems or scale_problems(value, at)


def scale_problems(declared: Metric, at: str) -> list[OptionProblem]:
    """What is wrong between the keys of a declaration, each of which is right by itself."""
    ways = [way for way in _WAYS if way in declared]
    if "min" in declared or "max" in declared:
        ways.append("min and max")
    if len(ways) != 1:
        needed = "min and max, boolean, values or text"
        return [OptionProblem(at, f"must say its scale in one way: {needed}")]
    if ways == ["min and max"]:
        if "min" not in declared or "max" not in declared:
            return [OptionProblem(at, "must have both min and max")]
        if not declared["min"] < declared["max"]:
            return [OptionProblem(f"{at}.min", "must be below max")]
    if "optimize" in declared and ways[0] in {"values", "text"}:
        return [OptionProblem(f"{at}.optimize", "is for min and max, or boolean")]
    return []


def metrics(value: Any, at: str) -> list[OptionProblem]:
    """A table of metrics by the names the product gives them."""
    if not isinstance(value, Mapping) or not value:
        return [OptionProblem(at, "must be a table of metrics, such as {helpful = {min, max}}")]
    return [p for name, declared in value.items() for p in metric(declared, f"{at}.{name}")]


def said(declared: Metric, value: Any, name: str) -> dict[str, Any]:
    """The fields of an event that say `value`. Raises `InvalidFeedback` outside the scale."""
    if "text" in declared:
        return _words(str(declared["text"]), value, name)
    if "values" in declared:
        return {"score": _label(declared["values"], value, name)}
    if "boolean" in declared:
        return {"score": _turned(declared, _truth(value, name))}
    scale = {"min": declared["min"], "max": declared["max"]}
    scaled = {"value": number(value, name), **scale}
    place = rating(scaled, name)
    return {"score": 1.0 - place} if _low_is_good(declared) else {"rating": scaled}


def by_label(declared: Metric) -> bool:
    """Whether it is the name that counts where a product gives both a number and a name."""
    return "values" in declared or "text" in declared


def undeclared(name: Any, declared: Mapping[str, Metric]) -> str:
    """Why a metric is ignored."""
    return f"metric {str(name)[:64]!r} is not declared; declared are {some_of(declared)}"


def _words(field: str, value: Any, name: str) -> dict[str, Any]:
    words = as_text(value, name) if field == "correction" else text_of(value, name)
    if not words:
        raise InvalidFeedback(f"{name} has no text", param=name)
    return {field: words}


def _label(values: Mapping[str, float], value: Any, name: str) -> float:
    label = {True: "true", False: "false"}[value] if isinstance(value, bool) else value
    if not isinstance(label, str) or label not in values:
        raise InvalidFeedback(
            f"{name} is not one of the declared values: {some_of(values)}", param=name
        )
    return float(values[label])


def _truth(value: Any, name: str) -> float:
    if isinstance(value, bool | int | float) and value in {0, 1}:
        return float(value)
    raise InvalidFeedback(f"{name} must be true or false (or 1 or 0)", param=name)


def _turned(declared: Metric, score: float) -> float:
    return 1.0 - score if _low_is_good(declared) else score


def _low_is_good(declared: Metric) -> bool:
    return declared.get("optimize") == "min"
