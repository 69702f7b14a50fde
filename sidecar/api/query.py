"""Reading numbers and flags from a query string."""

from aiohttp import web

from sidecar.errors import InvalidRequest

_DIGITS = 15
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def whole_number(request: web.Request, name: str, default: int, *, least: int, most: int) -> int:
    """The query's whole number of this name. Raises `InvalidRequest`."""
    text = request.query.get(name, str(default))
    plain = text.isascii() and text.isdigit() and len(text) <= _DIGITS
    if not plain or not least <= int(text) <= most:
        raise InvalidRequest(f"{name} must be a whole number in {least}..{most}", param=name)
    return int(text)


def flag(request: web.Request, name: str, *, default: bool) -> bool:
    """The query's flag of this name, in any case (Python clients send `True`). Raises
    `InvalidRequest`."""
    text = request.query.get(name, str(default)).lower()
    if text not in _FLAGS:
        raise InvalidRequest(f"{name} must be true or false", param=name)
    return _FLAGS[text]
