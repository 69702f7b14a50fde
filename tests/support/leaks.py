"""`pytest --leaks`: after every test, what went through it as a secret or as somebody's words is
looked for in what it logged, at DEBUG and through our own redaction, and in its metrics; and the
callers' keys in the files that it left.

Nothing about a test changes: logs are tapped before its own configuration sees them, and what to
look for is noted where the sidecar meets it.
"""

import functools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client import generate_latest

from sidecar.api import feedback
from sidecar.core.headers import bearer
from sidecar.gateway.credentials import Credentials
from sidecar.gateway.settle import SessionSettler
from sidecar.telemetry.logs import hide_secrets
from sidecar.telemetry.metrics import Metrics

LEAST = 12
"""Characters from which something is worth looking for: shorter ones stand everywhere."""
_LIBRARIES = ("aiohttp", "asyncio", "redis")
"""Whose own logs are looked at, too: those that our configuration lets through at DEBUG."""


class Leaks:
    """The plugin: what was seen during the test at hand."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.words: set[str] = set()
        self.lines: list[str] = []
        self.metrics: list[Metrics] = []
        self._render = structlog.processors.JSONRenderer(default=repr)
        self._watch()

    # -- what to look for -----------------------------------------------------------------------

    def _watch(self) -> None:
        before(Credentials, "outgoing", lambda _self, request, **_: self._callers(request.headers))
        before(SessionSettler, "_keep", lambda _self, turn, _plan: self._turn(turn))
        before(feedback, "parse", lambda body, **_: self._body(body))
        before(Metrics, "__init__", self.metrics.append)
        before(structlog, "configure", self._tapped)

    def _callers(self, headers: Any) -> None:
        given = headers.get("Authorization", "")
        self._note(self.keys, bearer(given) or given, headers.get("X-API-Key", ""))

    def _turn(self, turn: Any) -> None:
        self._note(self.words, turn.reply, *(text for _, text in turn.request))

    def _body(self, body: Any) -> None:
        for event in body if isinstance(body, list) else [body]:
            if isinstance(event, dict):
                texts = (event.get(name) for name in ("comment", "correction", "reply_text"))
                self._note(self.words, *(text for text in texts if isinstance(text, str)))

    @staticmethod
    def _note(where: set[str], *texts: str) -> None:
        where.update(text for text in texts if len(text) >= LEAST)

    # -- where to look --------------------------------------------------------------------------

    def _tapped(self, *_: Any, processors: Any = None, **__: Any) -> None:
        if isinstance(processors, list) and self.tap not in processors:
            processors.insert(0, self.tap)

    def tap(self, logger: Any, method: str, event: Any) -> Any:
        """Write down what our own configuration would write, at any level."""
        own = {name: value for name, value in event.items() if not name.startswith("_")}
        own = dict(structlog.processors.format_exc_info(logger, method, own))
        self.lines.append(str(self._render(logger, method, hide_secrets(logger, method, own))))
        return event

    def _logged(self, record: logging.LogRecord) -> None:
        own = {"event": record.getMessage(), "exc_info": record.exc_info or None}
        self.tap(None, record.levelname.lower(), own)

    @pytest.fixture(autouse=True)
    def _searched(self, request: pytest.FixtureRequest) -> Iterator[None]:
        handler = logging.Handler(logging.DEBUG)
        handler.emit = self._logged  # type: ignore[method-assign]
        levels = {name: logging.getLogger(name).level for name in _LIBRARIES}
        for name in _LIBRARIES:
            logging.getLogger(name).addHandler(handler)
            logging.getLogger(name).setLevel(logging.DEBUG)
        structlog.configure(processors=list(structlog.get_config()["processors"]))
        yield
        for name, level in levels.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(level)
        shown = "\n".join(self.lines)
        shown += "".join(generate_latest(own.registry).decode() for own in self.metrics)
        keys, words = self.keys.copy(), self.words.copy()
        for seen in (self.keys, self.words, self.lines, self.metrics):
            seen.clear()
        assert not (found := [one for one in keys | words if one in shown]), found
        folder = request.node.funcargs.get("tmp_path")
        kept = b"".join(_files(folder)) if folder is not None else b""
        assert not (found := [key for key in keys if key.encode() in kept]), found


def before(owner: Any, name: str, look: Callable[..., object]) -> None:
    """Have something looked at before it is called."""
    real = getattr(owner, name)

    @functools.wraps(real)
    def seen(*args: Any, **named: Any) -> Any:
        look(*args, **named)
        return real(*args, **named)

    setattr(owner, name, seen)


def _files(folder: Path) -> Iterator[bytes]:
    """Databases, with what is in their logs."""
    for path in folder.rglob("*.db*"):
        if path.is_file():
            yield path.read_bytes()
