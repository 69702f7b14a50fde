"""The task app: the user's own server that runs a rollout and says what it was worth.

It is foreign code at a foreign address, so everything about it is bounded: how long it may take,
how much it may say. Redirects are not followed (the key would go with them), compressed answers are
not asked for. What goes wrong is one `TaskAppError` that says what, in words for the job's owner;
no text of it holds the key.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any

import aiohttp
import orjson
from aiohttp import hdrs
from yarl import URL

from sidecar.telemetry.redaction import redact_text

MAX_ANSWER = 16 * 1024 * 1024
"""Bytes of an answer; the contract has artifacts of 10 MB."""

_CONNECT_SECONDS = 10.0
_ASK_SECONDS = 10.0
"""For anything but a rollout."""
_SAID = 300
"""Characters of an error answer that are passed on."""
_BUSY = frozenset({429, 502, 503, 504})
_OK = range(200, 300)
_REDIRECTS = range(300, 400)
_NO_KEY_THERE = "missing_environment_api_key"


class Trouble(StrEnum):
    """What kind of failure it is, by what can be done about it."""

    UNREACHABLE = "unreachable"
    """Nobody listens there: it may come back."""
    UNAUTHORISED = "unauthorised"
    """It does not take our key."""
    RESET = "reset"
    """The connection broke before the answer was complete: worth another try."""
    BUSY = "busy"
    """It asks for patience: worth another try."""
    TIMEOUT = "timeout"
    """No answer in time."""
    ANSWER = "answer"
    """It answered, and not with what it should."""


class TaskAppError(Exception):
    """The task app did not do what it was asked; the text is for the job's owner."""

    def __init__(self, trouble: Trouble, text: str) -> None:
        super().__init__(text)
        self.trouble = trouble


class TaskApp:
    """A client of one task app."""

    def __init__(self, http: aiohttp.ClientSession, url: str, key: str) -> None:
        self._http = http
        self._base = URL(url)
        self._key = key
        self.shown = str(self._base.with_query(None))
        """Its address, as it may be shown."""

    @staticmethod
    @asynccontextmanager
    async def open(url: str, key: str, concurrency: int) -> "AsyncIterator[TaskApp]":
        """A client with connections of its own, `key` in its headers (none when empty)."""
        headers: dict[str, str] = {
            hdrs.ACCEPT_ENCODING: "identity",
            hdrs.ACCEPT: "application/json",
        }
        if key:
            headers |= {"X-API-Key": key, hdrs.AUTHORIZATION: f"Bearer {key}"}
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=concurrency + 2),
            headers=headers,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        ) as http:
            yield TaskApp(http, url, key)

    async def health(self) -> None:
        """Ask whether it is well. All methods raise `TaskAppError`."""
        await self._call(hdrs.METH_GET, "/health", _ASK_SECONDS)

    async def info(self) -> dict[str, Any]:
        """What it is: service, dataset, rubrics, inference, limits."""
        return _object(await self._call(hdrs.METH_GET, "/info", _ASK_SECONDS))

    async def task_info(self, seeds: Sequence[int] = ()) -> list[dict[str, Any]]:
        """What its instances for these seeds are; without seeds, what the whole set is."""
        query = [("seed", str(seed)) for seed in seeds]
        found = await self._call(hdrs.METH_GET, "/task_info", _ASK_SECONDS, query=query)
        return [_object(item) for item in (found if isinstance(found, list) else [found])]

    async def rollout(self, request: Mapping[str, Any], timeout: float) -> dict[str, Any]:  # noqa: ASYNC109 - it bounds the whole call, the connection included
        """Run a rollout; its answer, within `timeout` seconds."""
        body = orjson.dumps(request)
        return _object(await self._call(hdrs.METH_POST, "/rollout", timeout, body=body))

    async def _call(
        self,
        method: str,
        path: str,
        seconds: float,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
    ) -> Any:
        limits = aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS)
        sent = {hdrs.CONTENT_TYPE: "application/json"} if body is not None else {}
        try:
            async with self._http.request(
                method,
                self._joined(path, query),
                data=body,
                headers=sent,
                allow_redirects=False,
                timeout=limits,
            ) as answer:
                return self._read(answer, await _bounded(answer))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise self._named(error, seconds) from error

    def _joined(self, path: str, query: Sequence[tuple[str, str]]) -> URL:
        """The base may have a path and a query of its own; both stay."""
        url = self._base.with_path(
            self._base.raw_path.rstrip("/") + path, encoded=True, keep_query=True
        )
        return url.extend_query(query) if query else url

    def _read(self, answer: aiohttp.ClientResponse, body: bytes) -> Any:
        if answer.status in _OK:
            if answer.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
                raise TaskAppError(Trouble.ANSWER, "the task app's answer is compressed")
            return _json(body)
        if answer.status in _REDIRECTS:
            raise TaskAppError(
                Trouble.ANSWER,
                f"the task app answered with a redirect (HTTP {answer.status}): give the address "
                "that it leads to as task_app_url",
            )
        code, said = _complaint(body)
        if answer.status in {401, 403} or code in {"unauthorised", "unauthorized"}:
            # What it said may quote the keys, so it is not passed on.
            raise TaskAppError(Trouble.UNAUTHORISED, self._unauthorised(answer.status))
        if code == _NO_KEY_THERE:
            raise TaskAppError(
                Trouble.UNAUTHORISED,
                f"the task app at {self.shown} has no ENVIRONMENT_API_KEY of its own: set it there "
                "and start the task app again",
            )
        trouble = Trouble.BUSY if answer.status in _BUSY else Trouble.ANSWER
        said = redact_text(said.replace(self._key, "[key]") if self._key else said)
        raise TaskAppError(
            trouble, f"the task app answered HTTP {answer.status}" + (f": {said}" if said else "")
        )

    def _unauthorised(self, status: int) -> str:
        cure = (
            "upload the ENVIRONMENT_API_KEY that it runs with (setup_environment_api_key), or send "
            "it with the job as task_app_api_key"
        )
        if not self._key:
            return f"the task app at {self.shown} wants a key, and there is none: {cure}"
        return f"the task app at {self.shown} refused our key (HTTP {status}): {cure}"

    def _named(self, error: Exception, seconds: float) -> TaskAppError:
        """Our error for one of aiohttp's."""
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            why = "its certificate is not valid" if _is_certificate(error) else "nothing answers"
            return TaskAppError(
                Trouble.UNREACHABLE,
                f"the task app at {self.shown} cannot be reached ({why}): start it, or correct "
                "task_app_url; an address of this machine is only good if the sidecar runs here",
            )
        if isinstance(error, TimeoutError):
            return TaskAppError(
                Trouble.TIMEOUT, f"the task app gave no answer within {seconds:g} seconds"
            )
        if isinstance(
            error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError | OSError
        ):
            return TaskAppError(
                Trouble.RESET, "the task app closed the connection without a complete answer"
            )
        return TaskAppError(
            Trouble.ANSWER, f"the task app's answer is not HTTP as it should be ({_kind(error)})"
        )


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    """The whole body. Raises `TaskAppError` when it is too large."""
    too_large = TaskAppError(
        Trouble.ANSWER, f"the task app's answer is larger than {MAX_ANSWER} bytes"
    )
    if (answer.content_length or 0) > MAX_ANSWER:
        raise too_large
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise too_large
    return bytes(body)


def _json(body: bytes) -> Any:
    """The value; NaN and Infinity, which Python's servers write, are read to be complained of
    where they stand."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise TaskAppError(Trouble.ANSWER, "the task app's answer is not JSON") from None


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TaskAppError(Trouble.ANSWER, "the task app's answer is not a JSON object")
    return value


def _complaint(body: bytes) -> tuple[str, str]:
    """Code and text of an error answer, in the forms that are in use."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", _short(body.decode("utf-8", "replace"))
    for name in ("detail", "error"):
        if isinstance(found, dict) and name in found:
            found = found[name]
    if not isinstance(found, dict):
        return "", _short(found if isinstance(found, str) else orjson.dumps(found).decode())
    code, message = found.get("code"), found.get("message")
    return str(code or ""), _short(
        message if isinstance(message, str) else orjson.dumps(found).decode()
    )


def _short(text: str) -> str:
    return " ".join(text.split())[:_SAID]


def _is_certificate(error: Exception) -> bool:
    return isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError)


def _kind(error: Exception) -> str:
    return type(error).__name__
