"""Hands out feedback tokens and takes them back.

The keys are kept in the store under one name, the newest first: all sidecars of a store sign with
the same one, and a token outlives the key that replaced its own. A token whose key is not known
here may have been signed elsewhere a moment ago, so the store is asked again, but not by everybody
who sends nonsense.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable

from sidecar.core.feedback_token import Claim, mint, read
from sidecar.errors import Unauthorised, Unavailable
from sidecar.settings import FeedbackSettings
from sidecar.store.base import Secret, Secrets, StoreError

KEPT = 4
"""Keys that are good at the same time."""
LOOK_SECONDS = 60.0
"""How often the store is asked for new keys …"""
LOOK_AGAIN_SECONDS = 1.0
"""… and how often at most because of an unknown token."""
_NAME = "feedback-tokens"
_BYTES = 32


class FeedbackTokens:
    """The tokens of one sidecar."""

    def __init__(
        self,
        store: Secrets,
        settings: FeedbackSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._seconds = settings.token_seconds
        self._clock = clock
        self._keys: tuple[bytes, ...] = ()
        """The newest first; none until the store has said them."""
        self._looked = float("-inf")

    def mint(self, session_id: str, rollout_id: str) -> str | None:
        """A token for a rollout; None while there are no keys."""
        if not self._keys:
            return None
        expires = int(self._clock() + self._seconds)
        return mint(self._keys[0], Claim(session_id, rollout_id, expires))

    async def claim(self, token: object) -> Claim:
        """What a token says. Raises `Unauthorised` for one that is not good (any more)."""
        text = token if isinstance(token, str) else ""
        found = read(self._keys, text)
        if found is None and self._clock() - self._looked >= LOOK_AGAIN_SECONDS:
            with contextlib.suppress(StoreError):
                await self.load()
            found = read(self._keys, text)
        if found is None and not self._keys:
            raise Unavailable("Feedback tokens cannot be checked yet; try again later")
        if found is None:
            raise Unauthorised("token is not a feedback token that this sidecar gave")
        if self._clock() >= found.expires:
            raise Unauthorised("token has expired")
        return found

    async def load(self) -> None:
        """Learn the keys, or make the first one. Raises `StoreError`."""
        self._looked = self._clock()
        kept = await self._store.secret(_NAME)
        if kept is None:
            first = Secret(_NAME, secrets.token_bytes(_BYTES), self._clock())
            kept = await self._store.keep_secret(first)
        self._keys = _split(kept.value)

    async def rotate(self, *, revoke: bool) -> None:
        """Sign with a new key from now on. Tokens that are out stay good until they expire, unless
        they are revoked: all of them. Raises `StoreError`."""
        await self.load()
        kept = () if revoke else self._keys[: KEPT - 1]
        keys = (secrets.token_bytes(_BYTES), *kept)
        await self._store.put_secret(Secret(_NAME, b"".join(keys), self._clock()))
        self._keys = keys

    async def run(self) -> None:
        """Follow what other sidecars rotate, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with contextlib.suppress(StoreError):  # the store says so itself, once
                await self.load()


def _split(value: bytes) -> tuple[bytes, ...]:
    return tuple(value[at : at + _BYTES] for at in range(0, len(value), _BYTES))
