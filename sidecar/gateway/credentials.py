"""Whose key the provider sees.

The client's own key goes through on `/v1`, unless the sidecar is told to replace it or the client
brought none. A key of the sidecar's API is never forwarded, wherever it turns up; and on the
session URLs whatever comes in is the backend's, so nothing of it goes on.

A remote backend is sent its own key and nothing that stands for the client: not the provider's key,
nor which account of the provider's that belongs to, nor cookies. The backend calls the provider on
its own account.
"""

import hmac
from collections.abc import Mapping

from aiohttp import web

from sidecar.core import tokens
from sidecar.core.headers import Headers, bearer, for_provider, from_raw
from sidecar.settings import Settings

_OWN_KEYS = frozenset({"authorization", "x-api-key", "api-key"})
"""Headers in which a client brings a key of its own to one provider or another."""

_ACCOUNT = frozenset({"cookie", "openai-organization", "openai-project"})
"""Headers that say whose account at the provider it is."""


def for_backend(request: web.Request, ours: Headers) -> Headers:
    """The request's headers as a remote backend gets them, and our key for it."""
    return for_provider(from_raw(request.raw_headers), _OWN_KEYS | _ACCOUNT) + ours


class Credentials:
    """The rules above for one configuration."""

    def __init__(self, settings: Settings) -> None:
        provider = settings.provider
        self._replace = provider.key_mode == "replace"
        key = provider.api_key.get_secret_value() if provider.api_key else ""
        self._ours: Headers = [("Authorization", f"Bearer {key}")] if key else []
        self._api_keys = tuple(key.get_secret_value() for key in settings.server.api_keys)

    def outgoing(
        self, request: web.Request, *, is_session_url: bool, without: frozenset[str]
    ) -> Headers:
        """The request's headers as the provider gets them; `without` in lower case."""
        headers, written = request.headers, from_raw(request.raw_headers)
        if self._replace or is_session_url:
            return for_provider(written, without | _OWN_KEYS) + self._ours
        leaked = self._leaked(headers)
        own = any(name in headers for name in _OWN_KEYS - leaked)
        return for_provider(written, without | leaked) + ([] if own else self._ours)

    def _leaked(self, headers: Mapping[str, str]) -> frozenset[str]:
        """The headers that hold a key of ours."""
        found = {
            "authorization": bearer(headers.get("Authorization", "")),
            "x-api-key": headers.get("X-API-Key", ""),
            "api-key": headers.get("Api-Key", ""),
        }
        return frozenset(name for name, key in found.items() if key and self._is_ours(key))

    def _is_ours(self, key: str) -> bool:
        given = key.encode("utf-8", "surrogateescape")
        # A list, so that how long it takes does not say which key it was.
        found = [hmac.compare_digest(given, known.encode()) for known in self._api_keys]
        return any(found) or tokens.is_token(key)
