"""Seeds: which instances of a task a job works on."""

from typing import Any

from sidecar.errors import InvalidRequest

MAX_SEEDS = 100_000
_LIMIT = 2**53
"""Beyond it, not every JSON reader keeps whole numbers whole."""
_RANGE = {"start", "end", "step"}


def seeds(value: Any, where: str) -> tuple[int, ...]:
    """Seeds from a list, or from `{start, end, step}` (`end` is not one of them). Raises
    `InvalidRequest` when there is none, one is not a whole number from 0, or one comes twice."""
    found = _expanded(value, where) if isinstance(value, dict) else value
    if not isinstance(found, list) or not found:
        raise InvalidRequest(
            "must be a list with at least one seed, such as [0, 1, 2], or {start, end, step}",
            param=where,
        )
    if len(found) > MAX_SEEDS:
        raise InvalidRequest(f"must have at most {MAX_SEEDS} seeds", param=where)
    seen: set[int] = set()
    for seed in found:
        if not _is_seed(seed):
            raise InvalidRequest("a seed must be a whole number, 0 or more", param=where)
        if seed in seen:
            raise InvalidRequest(f"seed {seed} is there twice; name each once", param=where)
        seen.add(seed)
    return tuple(found)


def _is_seed(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LIMIT


def _expanded(value: dict[str, Any], where: str) -> list[int]:
    start: Any
    end: Any
    step: Any
    start, end, step = value.get("start", 0), value.get("end"), value.get("step", 1)
    if not (_is_seed(start) and _is_seed(end) and _is_seed(step) and step) or value.keys() - _RANGE:
        raise InvalidRequest(
            "a range of seeds is {start, end, step}, whole numbers, with step 1 or more",
            param=where,
        )
    span = range(start, end, step)
    if len(span) > MAX_SEEDS:
        raise InvalidRequest(f"must have at most {MAX_SEEDS} seeds", param=where)
    return list(span)
