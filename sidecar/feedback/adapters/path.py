"""A safe subset of JSONPath (RFC 9535): names, indexes and `[*]`, from `$` or from `@`.

No filters, slices, descent or functions: a path visits a bounded number of nodes and cannot be made
slow or recursive by what a stranger sends. `$` is the whole body, `@` the event at hand.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MAX_PATH = 256
"""Characters of a path."""
MAX_STEPS = 16
MAX_FOUND = 1000
"""Nodes that one path may find: as many as one request may hold events."""

_STEP = re.compile(
    r"""\.(?P<name>[A-Za-z_\u0080-\U0010ffff][0-9A-Za-z_\u0080-\U0010ffff]*)
      | \['(?P<single>(?:[^'\\]|\\['\\])*)'\]
      | \["(?P<double>(?:[^"\\]|\\["\\])*)"\]
      | \[(?P<index>0|-?[1-9][0-9]{0,5})\]
      | (?P<all>\[\*\]|\.\*)""",
    re.VERBOSE,
)
_ALL = object()


class PathError(ValueError):
    """Not a path, or not one of this subset; says where."""


@dataclass(frozen=True, slots=True)
class View:
    """What paths are read from."""

    body: Any
    """`$`: the whole body."""
    event: Any
    """`@`: the part of it that is one event."""

    def all(self, path: str) -> list[Any]:
        """Every node at `path`, in order, at most `MAX_FOUND` and one more. Raises `PathError`."""
        root, steps = compiled(path)
        nodes = [self.body if root == "$" else self.event]
        for step in steps:
            nodes = [child for node in nodes for child in _children(node, step)][: MAX_FOUND + 1]
        return nodes

    def first(self, *paths: str) -> Any:
        """The first value that is there and not null; None for none. Raises `PathError`."""
        found = (node for path in paths for node in self.all(path) if node is not None)
        return next(found, None)


@lru_cache(maxsize=1024)
def compiled(path: str) -> tuple[str, tuple[Any, ...]]:
    """The root (`$` or `@`) and the steps of a path. Raises `PathError`."""
    if len(path) > MAX_PATH:
        raise PathError(f"is longer than {MAX_PATH} characters")
    if path[:1] not in {"$", "@"}:
        raise PathError("must begin with $ (the body) or @ (the event)")
    steps: list[Any] = []
    place = 1
    while place < len(path):
        found = _STEP.match(path, place)
        if found is None:
            raise PathError(
                f"is not understood from {path[place:][:20]!r} on: "
                "a step is .name, ['name'], [0] or [*]"
            )
        steps.append(_step(found))
        place = found.end()
    if len(steps) > MAX_STEPS:
        raise PathError(f"has more than {MAX_STEPS} steps")
    return path[0], tuple(steps)


def _step(found: re.Match[str]) -> Any:
    kind = found.lastgroup
    text = found[kind] if kind else ""
    match kind:
        case "all":
            return _ALL
        case "index":
            return int(text)
        case "name":
            return text
        case _:
            return re.sub(r"\\(.)", r"\1", text)


def _children(node: Any, step: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        if step is _ALL:
            yield from node.values()
        elif isinstance(step, str) and step in node:
            yield node[step]
    elif isinstance(node, list):
        if step is _ALL:
            yield from node
        elif isinstance(step, int) and -len(node) <= step < len(node):
            yield node[step]
