"""Whom and what an event is about: which of the product's own fields holds our id, and who spoke.

Options of every source that is not in our own grammar: `id_path`, `id_kind`, `id_prefix`,
`actor_path`, `event_prefix` and `where`. Defaults are the product's documented fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.feedback.adapters.foreign import id_of
from sidecar.feedback.adapters.options import (
    OptionProblem,
    Options,
    Rule,
    as_list,
    check_options,
    one_of,
    path,
    paths,
    prefix,
)
from sidecar.feedback.adapters.path import View

ID_KINDS = ("rollout_id", "completion_id", "correlation_id")
id_kind = one_of(*ID_KINDS)


@dataclass(frozen=True, slots=True)
class Places:
    """Where a product has its ids, unless the options say otherwise."""

    id_path: tuple[str, ...]
    id_kind: str
    actor_path: tuple[str, ...] = ()


def condition(value: Any, at: str) -> list[OptionProblem]:
    """`{path, equals}` or `{path, in}`: text, a number or true and false."""
    rules: Mapping[str, Rule] = {"path": path, "equals": _plain, "in": _plains}
    problems = check_options(value, rules, ["path"], f"{at}.")
    if not problems and ("equals" in value) == ("in" in value):
        return [OptionProblem(at, "must have either equals or in")]
    return problems


def conditions(value: Any, at: str) -> list[OptionProblem]:
    """One condition, or a list of them that must all hold."""
    if isinstance(value, list | tuple) and value:
        return [p for n, one in enumerate(value) for p in condition(one, f"{at}[{n}]")]
    return condition(value, at)


SUBJECT_RULES: Mapping[str, Rule] = {
    "id_path": paths,
    "id_kind": id_kind,
    "id_prefix": prefix,
    "actor_path": paths,
    "event_prefix": prefix,
    "where": conditions,
}


def about(view: View, options: Options, places: Places) -> dict[str, str] | None:
    """The id of what the event is about, under our name for it; None for none."""
    where = as_list(options.get("id_path", places.id_path))
    found = id_of(view.first(*where), where[0])
    if found is None:
        return None
    kind = str(options.get("id_kind", places.id_kind))
    return {kind: f"{options.get('id_prefix', '')}{found}"}


def nowhere(options: Options, places: Places) -> str:
    """Why an event without an id is ignored."""
    return f"nothing at {' or '.join(as_list(options.get('id_path', places.id_path)))}"


def actor(view: View, options: Options, places: Places) -> dict[str, str]:
    """Who said it, if the product tells."""
    where = as_list(options.get("actor_path", places.actor_path))
    found = id_of(view.first(*where), where[0]) if where else None
    return {} if found is None else {"actor": found}


def excluded(view: View, options: Options) -> str | None:
    """Why the options' conditions leave this event out; None when they do not."""
    where = options.get("where", ())
    for one in [where] if isinstance(where, Mapping) else where:
        if not holds(view, one):
            return f"where: {one['path']} is not what the options ask for"
    return None


def holds(view: View, one: Mapping[str, Any]) -> bool:
    """Whether some node at the condition's path has its value; 1 and true are not the same."""
    wanted = one["in"] if "in" in one else [one["equals"]]
    nodes = view.all(one["path"])
    return any(_same(node, value) for node in nodes for value in wanted)


def _same(node: Any, value: Any) -> bool:
    return isinstance(node, bool) == isinstance(value, bool) and bool(node == value)


def _plain(value: Any, at: str) -> list[OptionProblem]:
    good = isinstance(value, str | int | float | bool)
    return [] if good else [OptionProblem(at, "must be text, a number, true or false")]


def _plains(value: Any, at: str) -> list[OptionProblem]:
    if not isinstance(value, list | tuple) or not value:
        return [OptionProblem(at, "must be a list of values")]
    return [problem for n, one in enumerate(value) for problem in _plain(one, f"{at}[{n}]")]
