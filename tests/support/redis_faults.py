"""A server to hurt, and stores on it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from sidecar.store.base import StoreError
from sidecar.store.redis.link import ANSWER_SECONDS, PROBE_SECONDS
from sidecar.store.redis.store import RedisStore

BUDGET_MS = 150.0
AGAIN_SECONDS = 15.0
"""Time enough to be back on a busy machine, once the server is."""
BOUND_SECONDS = 2 * ANSWER_SECONDS + PROBE_SECONDS
"""No awaited call may take longer: one wait for a turn, one for the answer."""
SLACK_SECONDS = 1.0
"""What a busy machine may add."""


async def opened(url: str, **options: Any) -> RedisStore:
    store = RedisStore(url, budget_ms=BUDGET_MS, **options)
    await store.open()
    return store


async def answered(call: Callable[[], Awaitable[Any]]) -> Any:
    """What the call says once the store is back."""
    end = time.monotonic() + AGAIN_SECONDS
    while True:
        try:
            return await call()
        except StoreError:
            assert time.monotonic() < end, "the store did not come back"
            await asyncio.sleep(0.02)


async def took(call: Awaitable[Any]) -> tuple[float, Any]:
    """Seconds, and the answer or the error."""
    began = time.monotonic()
    (answer,) = await asyncio.gather(call, return_exceptions=True)
    return time.monotonic() - began, answer
