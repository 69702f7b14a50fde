"""Reading a JSON body: bounded, whatever the declared length or content type, never a 500. And
writing one, whatever users wrote.
"""

import json
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from sidecar.errors import InvalidRequest, PayloadTooLarge, UnsupportedEncoding

CONFIG_BYTES = 1024 * 1024
"""Most of a request that brings a configuration: its prompt travels with every call."""

_NOT_JSON = (b"NaN", b"Infinity")


async def read_json(request: web.Request, limit: int, *, empty: Any = ...) -> Any:
    """The body's JSON value; `empty` in place of an empty body, if given.

    Raises `PayloadTooLarge` and `InvalidRequest`.
    """
    if _is_encoded(request):
        raise InvalidRequest("send the body without Content-Encoding")
    body = await _read(request, limit)
    if not body.strip() and empty is not ...:
        return empty
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        hint = "; NaN and Infinity are not JSON" if any(n in body for n in _NOT_JSON) else ""
        raise InvalidRequest(f"the body is not valid JSON: {error}{hint}") from None


async def read_bytes(request: web.Request, limit: int) -> bytes:
    """The body as it came: what was signed. Raises `PayloadTooLarge`, `InvalidRequest` and
    `UnsupportedEncoding`: what is compressed was signed before or after that, nobody knows."""
    if _is_encoded(request):
        raise UnsupportedEncoding("send the body without Content-Encoding")
    return await _read(request, limit)


async def read_object(request: web.Request, limit: int, *, empty: Any = ...) -> dict[str, Any]:
    """As `read_json`, for a body that must be an object."""
    value = await read_json(request, limit, empty=empty)
    if not isinstance(value, dict):
        raise InvalidRequest("the body must be a JSON object")
    return value


def text_of(body: Mapping[str, Any], name: str) -> str | None:
    """The body's text of this name, None for none or an empty one. Raises `InvalidRequest`."""
    text = body.get(name)
    if text is None or isinstance(text, str):
        return text or None
    raise InvalidRequest(f"{name} must be text", param=name)


def object_of(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The body's object of this name, empty for none. Raises `InvalidRequest`."""
    found = body.get(name)
    if found is None or isinstance(found, dict):
        return found or {}
    raise InvalidRequest(f"{name} must be an object", param=name)


def as_json(value: Any) -> bytes:
    """JSON on one line, also with half a surrogate pair or more than 64 bits in it."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


def _is_encoded(request: web.Request) -> bool:
    given = request.headers.getall("Content-Encoding", ["identity"])
    return any(one.strip().lower() != "identity" for one in given)


async def _read(request: web.Request, limit: int) -> bytes:
    too_large = PayloadTooLarge(f"the body is larger than {limit} bytes")
    if (request.content_length or 0) > limit:
        raise too_large
    body = bytearray()
    try:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > limit:
                raise too_large
    except (web.RequestPayloadError, HttpProcessingError):
        raise InvalidRequest("the body is not framed as its headers say") from None
    return bytes(body)
