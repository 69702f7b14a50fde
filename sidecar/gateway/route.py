"""Which session serves a call on `/v1/chat/completions`, if any.

The first rule whose conditions all hold wins. Conditions on headers and keys are checked before
anything is read; the body is needed only when a rule that may still win names a model.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from sidecar.core.headers import bearer
from sidecar.settings import Route


class Router:
    """The configured rules."""

    def __init__(self, rules: Sequence[Route]) -> None:
        self._rules = tuple(rules)
        self._keyed = any(rule.api_key_sha256 for rule in rules)

    def narrow(self, headers: Mapping[str, str]) -> tuple[Route, ...]:
        """The rules that may win, in order; the last one has no condition left, or all of them
        still depend on the model."""
        key = self._key_digest(headers) if self._keyed else ""
        possible: list[Route] = []
        for rule in self._rules:
            if not _holds(rule, headers, key):
                continue
            possible.append(rule)
            if not rule.model:
                break
        return tuple(possible)

    @staticmethod
    def _key_digest(headers: Mapping[str, str]) -> str:
        token = bearer(headers.get("Authorization", ""))
        return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def choose(possible: Sequence[Route], model: object) -> str | None:
    """The session of the first of these rules that this model satisfies."""
    for rule in possible:
        if not rule.model or (isinstance(model, str) and _is_model(rule.model, model)):
            return rule.session
    return None


def _holds(rule: Route, headers: Mapping[str, str], key_digest: str) -> bool:
    wanted = rule.api_key_sha256.lower()
    if wanted and not hmac.compare_digest(wanted, key_digest):
        return False
    return all(headers.get(name) == value for name, value in rule.header.items())


def _is_model(pattern: str, model: str) -> bool:
    if pattern.endswith("*"):
        return model.startswith(pattern[:-1])
    return model == pattern
