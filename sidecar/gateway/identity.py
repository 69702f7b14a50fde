"""Which conversation a call belongs to.

In this order: the URL's path, the configured header, the body's own field, the content (a later
turn repeats what was said before), and else it is a new one. What a caller says explicitly is
believed; what is recognised is recognised within one session and one credential only.
"""

import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from sidecar.core.conversation import Chain
from sidecar.core.ids import correlation_id, is_correlation_id
from sidecar.errors import InvalidRequest


class ChainMemory:
    """Chain key to correlation id: bounded, the least recently used goes first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._known: OrderedDict[str, str] = OrderedDict()

    def remember(self, key: str, correlation: str) -> None:
        """Keep a key; of two conversations with one key, the newer is the one that goes on."""
        self._known[key] = correlation
        self._known.move_to_end(key)
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)

    @property
    def partial(self) -> bool:
        """Whether something may have been pushed out, or left out when it was filled."""
        return len(self._known) >= self._capacity

    def find(self, keys: Iterable[str]) -> str | None:
        """The conversation known under the first of these keys that is known."""
        for key in keys:
            correlation = self._known.get(key)
            if correlation is not None:
                self._known.move_to_end(key)
                return correlation
        return None


def explicit(
    path: str | None, header: str | None, body: Mapping[str, Any], *, strict: bool
) -> str | None:
    """The correlation id that the caller names. One that cannot be used raises `InvalidRequest`
    when `strict`, and is otherwise skipped."""
    for param, value in (("correlation_id", path), ("header", header or None), *_body_ids(body)):
        if value is None:
            continue
        if isinstance(value, str) and is_correlation_id(value):
            return value
        if strict:
            raise InvalidRequest(
                "The correlation id must be 1 to 128 characters of A-Z a-z 0-9 _ . : -",
                param=param,
            )
    return None


def _body_ids(body: Mapping[str, Any]) -> list[tuple[str, Any]]:
    metadata, conversation = body.get("metadata"), body.get("conversation")
    named = metadata.get("correlation_id") if isinstance(metadata, dict) else None
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    return [("metadata.correlation_id", named), ("conversation", conversation)]


def recognise(memory: ChainMemory, chain: Chain, *, is_retry: bool) -> str:
    """The conversation that these messages continue, else a new one. The first turn of a new one
    is remembered as it was asked, so that an SDK's retry of it is not yet another conversation."""
    known = memory.find((chain.key, *chain.lookups) if is_retry else chain.lookups)
    correlation = known or mint()
    if not known:
        memory.remember(chain.key, correlation)
    return correlation


def mint() -> str:
    """A correlation id nobody can guess."""
    return correlation_id(os.urandom(16))
