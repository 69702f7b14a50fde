"""Reading the fields that both algorithms' configurations have; None counts as not given."""

from collections.abc import Mapping, Sequence
from typing import Any

from sidecar.engine.fields import mapping
from sidecar.errors import InvalidRequest
from sidecar.jobs.policy import Limits
from sidecar.jobs.seeds import seeds

_LIMITS = {
    "max_cost_usd", "max_trials", "max_seconds", "max_time_seconds", "max_rollouts",
    "max_trials_without_improvement", "pessimism_enabled", "max_category_costs_usd",
}  # fmt: skip
_CATEGORIES = {"rollout", "rollouts"}
PROPOSER = {"mode", "model", "provider", "temperature", "max_tokens", "inference_url", "api_key",
            "instructions_per_batch", "generate_at_iterations"}  # fmt: skip
"""The keys of a `proposer`."""


def given(section: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """The object under `name` without what is None; empty when it is not there."""
    value = section.get(name)
    found = mapping({} if value is None else value, f"{where}.{name}")
    return {key: item for key, item in found.items() if item is not None}


def only(section: Mapping[str, Any], known: set[str], where: str, what: str) -> None:
    """Check that there is no key that nobody reads."""
    for name in section:
        if name not in known:
            raise InvalidRequest(f"`{name}` is not a key of {what}", param=f"{where}.{name}")


def agreed(places: Sequence[tuple[Mapping[str, Any], str]], where: str) -> Any:
    """The value that stands in one or more of these places: (object, key). None when in none of
    them; different values are refused."""
    found = [(name, place[name]) for place, name in places if place.get(name) is not None]
    if any(value != found[0][1] for _, value in found):
        names = " and ".join(dict.fromkeys(name for name, _ in found))
        raise InvalidRequest(f"{names} say different things", param=f"{where}.{found[0][0]}")
    return found[0][1] if found else None


def agreed_seeds(
    places: Sequence[tuple[Mapping[str, Any], str]], where: str
) -> tuple[int, ...] | None:
    """The same for seeds: a list and a range that mean the same agree."""
    read = [
        ({name: seeds(place[name], f"{where}.{name}")}, name)
        for place, name in places
        if place.get(name) is not None
    ]
    found: tuple[int, ...] | None = agreed(read, where)
    return found


def count(value: Any, default: int, where: str, *, at_least: int = 1) -> int:
    """A whole number."""
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise InvalidRequest(f"must be a whole number, {at_least} or more", param=where)
    return value


def amount(value: Any, where: str) -> float | None:
    """A number above 0, or None when it is not given."""
    if value is None:
        return None
    wrong = isinstance(value, bool) or not isinstance(value, int | float)
    if wrong or not 0 < value < float("inf"):
        raise InvalidRequest("must be a number above 0", param=where)
    return float(value)


def share(value: Any, default: float, where: str) -> float:
    """A number from 0 to 1."""
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidRequest("must be from 0 to 1", param=where)
    return float(value)


def text(section: Mapping[str, Any], name: str, where: str) -> str:
    """A text; empty when it is not given."""
    value = section.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidRequest(f"`{name}` must be text", param=f"{where}.{name}")
    return value


def least(value: int, minimum: int, where: str) -> None:
    """Check a number that was read already."""
    if value < minimum:
        raise InvalidRequest(f"must be {minimum} or more", param=where)


def smallest(*values: float | None) -> Any:
    """The strictest of several limits; None when none is given."""
    return min((value for value in values if value is not None), default=None)


def limits(section: Mapping[str, Any], where: str) -> Limits:
    """The limits of a `termination_config`."""
    term = given(section, "termination_config", where)
    at = f"{where}.termination_config"
    only(term, _LIMITS, at, "termination_config")
    numbers = {
        name: None if name not in term else count(term[name], 1, f"{at}.{name}")
        for name in ("max_rollouts", "max_trials", "max_trials_without_improvement")
    }
    pessimistic = term.get("pessimism_enabled", False)
    if not isinstance(pessimistic, bool):
        raise InvalidRequest("must be true or false", param=f"{at}.pessimism_enabled")
    return Limits(
        rollouts=numbers["max_rollouts"],
        cost_usd=smallest(
            amount(term.get("max_cost_usd"), f"{at}.max_cost_usd"), _category(term, at)
        ),
        seconds=smallest(
            *(amount(term.get(n), f"{at}.{n}") for n in ("max_seconds", "max_time_seconds"))
        ),
        trials=numbers["max_trials"],
        idle_trials=numbers["max_trials_without_improvement"],
        pessimistic=pessimistic,
    )


def _category(term: Mapping[str, Any], where: str) -> float | None:
    at = f"{where}.max_category_costs_usd"
    costs = given(term, "max_category_costs_usd", where)
    for name in costs.keys() - _CATEGORIES:
        raise InvalidRequest(
            f"there is no account of {name!r}; what is counted is the cost of `rollouts`",
            param=f"{at}.{name}",
        )
    limit: float | None = smallest(*(amount(v, f"{at}.{name}") for name, v in costs.items()))
    return limit


def check_verifier(section: Mapping[str, Any], where: str) -> None:
    """Rewards come from the task app; anything else is refused."""
    verifier = given(section, "verifier", where)
    source = verifier.get("reward_source", "task_app")
    if verifier.get("enabled") and source not in ("task_app", "container"):
        raise InvalidRequest(
            "rewards come from the task app; `verifier.reward_source` must be 'task_app'",
            param=f"{where}.verifier.reward_source",
        )
