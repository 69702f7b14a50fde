"""Which server is called, and with which key."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from sidecar import __version__
from sidecar.client.errors import ConfigError
from sidecar.client.wire import Request

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT = 30.0
"""Seconds of silence."""
_LONGEST = 86_400.0


@dataclass(frozen=True, slots=True)
class Target:
    """A server, its key, and how patient to be with it."""

    base: str
    """Without `/api` and without a slash at its end."""
    key: str = field(default="", repr=False)
    """Empty: none is sent."""
    timeout: float = TIMEOUT
    """Seconds that the server may be silent: until it is connected, then between any two pieces of
    its answer."""

    @staticmethod
    def of(
        backend_url: str | None = None,
        api_key: str | None = None,
        timeout: float = TIMEOUT,
        environ: Mapping[str, str] = os.environ,
    ) -> "Target":
        """The server at `backend_url`, else `SIDECAR_URL`, else `SYNTH_BACKEND_URL`, else the
        default address; the key is `api_key`, else `SIDECAR_KEY`, else `SYNTH_API_KEY`. A server
        that `SYNTH_BACKEND_URL` names never gets the sidecar's key. Raises `ConfigError`."""
        ours, theirs = backend_url or environ.get("SIDECAR_URL"), environ.get("SYNTH_BACKEND_URL")
        if api_key is None:
            key = environ.get("SIDECAR_KEY") if ours or not theirs else None
            api_key = key or environ.get("SYNTH_API_KEY") or ""
        if not 0 < timeout <= _LONGEST:
            raise ConfigError(f"timeout must be more than 0 seconds and at most {_LONGEST:g}")
        return Target(_base(ours or theirs or DEFAULT_URL), _key(api_key), timeout)

    def request(
        self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None
    ) -> Request:
        """A call of `path`, with `body` as JSON. Raises `TypeError` or `ValueError` for a body that
        JSON cannot say."""
        headers = {"Accept": "application/json", "User-Agent": f"prompt-sidecar/{__version__}"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body, allow_nan=False, default=_without_dates).encode()
        url = self.base + path + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        return Request(method, url, headers, data, self.timeout)


def segment(text: str) -> str:
    """`text` as one segment of a path, whatever is in it. Raises `ConfigError` for what a URL
    would take for navigation."""
    if text in {"", ".", ".."}:
        raise ConfigError(f"{text!r} cannot be the id of anything")
    return quote(text, safe="")


def _base(url: str) -> str:
    if "@" in url:  # not shown: a password stands before it
        raise ConfigError("the address holds a user name; a key belongs into api_key")
    parts = _parts(url)
    if parts is None or parts.scheme not in {"http", "https"} or parts.query or parts.fragment:
        raise ConfigError(f"{url!r} is not the address of a server, such as {DEFAULT_URL}")
    return parts.geturl().rstrip("/").removesuffix("/api")


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        return parts if host and parts.port != 0 and _is_plain(url) else None
    except ValueError:
        return None


def _key(text: str) -> str:
    key = text.strip()  # read from a file, it often ends with the line
    if not _is_plain(key):
        raise ConfigError("the key holds characters that no header can carry")
    return key


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _without_dates(value: object) -> str:
    """TOML has dates, which JSON has not."""
    if isinstance(value, date | time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not something that JSON can say")
