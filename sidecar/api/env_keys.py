"""The environment key, sent in a sealed box (wire contract, section 2.3).

The box is libsodium's: anybody can close it with our public key, only we can open it. What was in
it is stored under its name and never handed back, nor written anywhere else.
"""

import base64
import binascii
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from aiohttp import web
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

from sidecar.api.body import read_object
from sidecar.api.guard import guarded
from sidecar.api.keys import own_secret
from sidecar.errors import InvalidRequest, NotFound
from sidecar.jobs.keys import DEFAULT_NAME, UPLOADED
from sidecar.settings import Settings
from sidecar.store.base import Secret, Secrets

ALGORITHM = "libsodium.sealedbox.v1"
MAX_BODY = 64 * 1024
MAX_PLAINTEXT = 8 * 1024
_BOX = "sealed-box"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def routes(
    store: Secrets, settings: Settings, clock: Callable[[], float] = time.time
) -> list[web.RouteDef]:
    """The routes of this module; all of them need a key."""
    api = _EnvKeys(store, clock)
    return [
        web.get("/api/v1/crypto/public-key", guarded(api.public_key, settings)),
        web.post("/api/v1/env-keys", guarded(api.upload, settings)),
        web.get("/api/v1/env-keys", guarded(_not_handed_back, settings)),
        web.get("/api/v1/env-keys/verify", guarded(api.verify, settings)),
    ]


class _EnvKeys:
    def __init__(self, store: Secrets, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    async def public_key(self, _request: web.Request) -> web.Response:
        """What to close a box with; the same after a restart."""
        key = (await self._private()).public_key
        return web.json_response(
            {"public_key": base64.b64encode(bytes(key)).decode(), "alg": ALGORITHM}
        )

    async def upload(self, request: web.Request) -> web.Response:
        """Open the box and keep what is in it."""
        body = await read_object(request, MAX_BODY)
        name = _name(body.get("name"))
        value = _opened(await self._private(), _ciphertext(body))
        now = self._clock()
        await self._store.put_secret(Secret(UPLOADED + name, value, now))
        digest = sha256(name.encode()).hexdigest()
        return web.json_response(
            {"id": f"envkey_{digest[:16]}", "name": name, "updated_at": _time(now)}
        )

    async def verify(self, request: web.Request) -> web.Response:
        """Whether there is a key of that name, and since when."""
        name = _name(request.query.get("name", DEFAULT_NAME))
        found = await self._store.secret(UPLOADED + name)
        if found is None:
            raise NotFound(f"no key named {name} has been uploaded")
        return web.json_response(
            {"name": name, "updated_at": _time(found.updated_at), "present": True}
        )

    async def _private(self) -> PrivateKey:
        return PrivateKey(await own_secret(self._store, _BOX, self._clock()))


async def _not_handed_back(_request: web.Request) -> web.Response:
    raise NotFound(
        "uploaded keys are not handed back; /api/v1/env-keys/verify says whether one is there"
    )


def _name(name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidRequest("name must be 1 to 128 of A-Z a-z 0-9 _ . -", param="name")
    return name


def _ciphertext(body: dict[str, Any]) -> bytes:
    text = body.get("ciphertext_b64")
    try:
        if isinstance(text, str):
            return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise InvalidRequest("ciphertext_b64 must be a sealed box in base64", param="ciphertext_b64")


def _opened(key: PrivateKey, ciphertext: bytes) -> bytes:
    """What is in the box. No error of libsodium's is passed on, nor anything of the content."""
    try:
        value: bytes = SealedBox(key).decrypt(ciphertext)
    except (CryptoError, ValueError, TypeError):
        raise InvalidRequest(
            "the box does not open: seal it with the key of /api/v1/crypto/public-key",
            param="ciphertext_b64",
        ) from None
    if not 0 < len(value) <= MAX_PLAINTEXT:
        raise InvalidRequest(
            f"a key must have 1 to {MAX_PLAINTEXT} bytes, not {len(value)}", param="ciphertext_b64"
        )
    if not _is_text(value):
        raise InvalidRequest("a key must be UTF-8 text", param="ciphertext_b64")
    return value


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
