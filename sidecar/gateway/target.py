"""From a request target to the provider's URL, without room for anything else.

The provider's origin is configuration. A request only chooses what follows its base URL, byte for
byte; a target that names an origin of its own, or that could climb out of the base by dot segments
(in whatever disguise), is refused.
"""

import re
from urllib.parse import unquote

from sidecar.errors import InvalidRequest

_SEPARATORS = re.compile(r"[/\\]")
_MAX_DECODINGS = 4
"""Percent-encoding is undone until nothing changes; a target that needs more is an attack."""


def tail_of(raw_target: str, prefix: str) -> str:
    """What follows `prefix` in the target, query included. Raises `InvalidRequest`."""
    path, mark, query = raw_target.partition("?")
    if not path.startswith(prefix + "/") or "#" in raw_target:
        raise InvalidRequest(f"The request target must be a path that begins with {prefix}/.")
    tail = path[len(prefix) :]
    if _climbs(tail):
        raise InvalidRequest("The request path must not contain dot segments.")
    return tail + mark + query


def query_of(raw_target: str, without: frozenset[str] = frozenset()) -> str:
    """The target's query with its question mark, or an empty string; parameters of these names
    are left out."""
    _, mark, query = raw_target.partition("?")
    if without:
        kept = [part for part in query.split("&") if part.partition("=")[0] not in without]
        query = "&".join(kept)
        mark = mark if query else ""
    return mark + query


def _climbs(path: str) -> bool:
    for _ in range(_MAX_DECODINGS):
        if not {".", ".."}.isdisjoint(_SEPARATORS.split(path)):
            return True
        decoded = unquote(path, errors="replace")
        if decoded == path:
            return False
        path = decoded
    return True
