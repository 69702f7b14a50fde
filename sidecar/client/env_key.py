"""The task app's key on its way to the server, in a sealed box (wire contract, section 2.3): only
the server can open it."""

import base64
import binascii
import os
from typing import Any, Unpack

from nacl.exceptions import CryptoError
from nacl.public import PublicKey, SealedBox

from sidecar.client.errors import ApiError, ConfigError
from sidecar.client.flow import Flow, run, run_async, told
from sidecar.client.http import Connections
from sidecar.client.payloads import Connection
from sidecar.client.target import Target
from sidecar.client.wire import Request

VARIABLE = "ENVIRONMENT_API_KEY"
_ALGORITHM = "libsodium.sealedbox.v1"
_LARGEST = 8 * 1024
"""Bytes of a key."""


def upload_environment_key(
    key: str | None = None, **connection: Unpack[Connection]
) -> dict[str, Any]:
    """Give the server the key that your task app asks for; `ENVIRONMENT_API_KEY` if none is named.
    Jobs submitted from here do so by themselves. Raises `ConfigError` and `ApiError`."""
    return run(uploaded(Target.of(**connection), _given(key)))


async def upload_environment_key_async(
    key: str | None = None, **connection: Unpack[Connection]
) -> dict[str, Any]:
    """As `upload_environment_key`."""
    return await run_async(uploaded(Target.of(**connection), _given(key)), Connections())


def environment_key() -> str:
    """The key in the environment; empty for none."""
    return os.environ.get(VARIABLE, "").strip()


def uploaded(target: Target, key: str) -> Flow[dict[str, Any]]:
    """Upload it; what the server says of it."""
    if not key.isprintable() or len(key.encode()) > _LARGEST:
        raise ConfigError(f"the task app's key must be one line of at most {_LARGEST} bytes")
    asking = target.request("GET", "/api/v1/crypto/public-key")
    answer = yield from told(asking)
    body = {"name": VARIABLE, "ciphertext_b64": _sealed(asking, answer, key)}
    return (yield from told(target.request("POST", "/api/v1/env-keys", body)))


def _given(key: str | None) -> str:
    found = (key or "").strip() or environment_key()
    if not found:
        raise ConfigError(f"there is no key to upload: give one, or set {VARIABLE}")
    return found


def _sealed(request: Request, answer: dict[str, Any], key: str) -> str:
    """The box in base64. Raises `ApiError` for a public key that is none."""
    if answer.get("alg", _ALGORITHM) != _ALGORITHM:
        raise ApiError(f"the server wants its keys sealed by {answer['alg']!r}", url=request.url)
    try:
        public = PublicKey(base64.b64decode(str(answer.get("public_key")), validate=True))
    except (binascii.Error, ValueError, CryptoError):
        raise ApiError("the server's public key is not one", url=request.url) from None
    return base64.b64encode(SealedBox(public).encrypt(key.encode())).decode()
