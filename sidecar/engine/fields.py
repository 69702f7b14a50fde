"""Reading fields of a configuration: the value, or an error that names the field."""

from collections.abc import Mapping
from typing import Any

from sidecar.errors import InvalidRequest


def mapping(value: Any, where: str) -> Mapping[str, Any]:
    """An object. All readers here raise `InvalidRequest` when it is not what it should be."""
    if not isinstance(value, Mapping):
        raise InvalidRequest("must be an object", param=where)
    return value


def integer(section: Mapping[str, Any], name: str, default: int, where: str, least: int) -> int:
    """A whole number of at least `least`."""
    value = section.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidRequest(
            f"`{name}` must be a whole number, {least} or more", param=f"{where}.{name}"
        )
    return value


def number(section: Mapping[str, Any], name: str, where: str) -> float | None:
    """A number, or None when it is not given."""
    value = section.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(f"`{name}` must be a number", param=f"{where}.{name}")
    return float(value)


def part(section: Mapping[str, Any], name: str, default: float, where: str) -> float:
    """A number from 0 to 1."""
    value = number(section, name, where)
    if value is not None and not 0 <= value <= 1:
        raise InvalidRequest(f"`{name}` must be from 0 to 1", param=f"{where}.{name}")
    return default if value is None else value


def one_of(section: Mapping[str, Any], name: str, allowed: tuple[str, ...], where: str) -> None:
    """Check that a value is one of those `allowed`; the first of them is the default."""
    value = section.get(name, allowed[0])
    if value not in allowed:
        raise InvalidRequest(
            f"`{name}` must be {' or '.join(map(repr, allowed))}, not {value!r}",
            param=f"{where}.{name}",
        )


def only(section: Mapping[str, Any], known: set[str], where: str) -> None:
    """Check that there is no key that nobody reads."""
    for name in section:
        if name not in known:
            raise InvalidRequest(
                f"`{name}` is not a key of an online MIPRO session", param=f"{where}.{name}"
            )
