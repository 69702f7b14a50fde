"""Everything that needs the store, started as soon as the store is there.

What serves traffic does not wait for it. A file that cannot be opened needs a person, so the start
fails and says so. A server that cannot be reached comes back by itself: traffic is served without
it, and the start is tried again until all of it has succeeded. Once traffic is served, whatever
else goes wrong with an attempt is treated alike, for the traffic must not stop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import structlog

from sidecar.errors import SidecarError
from sidecar.store.base import Store, StoreError, StoreUnusable

PATIENCE_SECONDS = 1.0
"""How long the start waits for a store that says nothing at all."""
AGAIN_SECONDS = 0.5
"""Pause between two attempts."""

Learn = Callable[[AsyncExitStack], Awaitable[None]]
"""Starts what needs the open store, and leaves on the stack how to stop it. Runs again, from the
beginning, after it has failed and what it left was undone."""

log = structlog.get_logger()


class Learning:
    """The store and what needs it: one start, however many attempts it takes, and one stop."""

    def __init__(self, store: Store, learn: Learn, *, waits: bool) -> None:
        """`waits`: whether a store that cannot be had is waited for."""
        self._store = store
        self._learn = learn
        self._waits = waits
        self._up = False
        self._opened = False
        self._late = ""
        """Why it has not started yet; empty while there is nothing to complain of."""
        self._settled = asyncio.Event()
        """Set once it is known whether it starts now or later."""
        self._attempts: asyncio.Task[None] | None = None
        self._undo = AsyncExitStack()

    @property
    def trouble(self) -> str:
        """Why nothing can be stored at present; empty while all is well."""
        return self._late or self._store.trouble

    async def start(self) -> None:
        """Returns when all has started, or as soon as it is clear that it will later. Raises what
        waiting would not cure; then nothing is left of it."""
        self._attempts = asyncio.create_task(self._until_up())
        patience = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._hears_nothing)
        try:
            await self._settled.wait()
        finally:
            patience.cancel()
        if self._attempts.done():
            await self._attempts

    async def halt(self) -> None:
        """Attempt nothing more. What has started goes on."""
        if self._attempts is not None:
            self._attempts.cancel()
            await asyncio.gather(self._attempts, return_exceptions=True)

    async def stop(self) -> None:
        """Stop what has started, in the opposite order, the store last. What the store does not
        take any more is said once; the next start works it out from what is there."""
        await self.halt()
        undo, self._undo = self._undo, AsyncExitStack()
        try:
            await undo.aclose()
        except StoreError as error:
            log.warning(
                "stopped without the store: the next start goes on from what it has",
                reason=str(error),
            )

    # -- gates ----------------------------------------------------------------------------------

    async def known(self) -> None:
        """Wait until it is known whether all starts now or later: calls that come in between are
        served as they would be a moment later."""
        await self._settled.wait()

    async def up(self) -> None:
        """The same, for who cannot do without. Raises `StoreError` when it will be later."""
        await self._settled.wait()
        if not self._up:
            raise StoreError(
                "The store cannot be had since the start, and this needs it; model calls go on. "
                "Try again later (/readyz?verbose says what is wrong)"
            )

    # -- attempts -------------------------------------------------------------------------------

    async def _until_up(self) -> None:
        try:
            while not self._up:
                try:
                    await self._attempt()
                except Exception as error:
                    if not (self._late or self._may_pass(error)):
                        raise
                    self._put_off(error)
                    await asyncio.sleep(AGAIN_SECONDS)
        finally:
            self._settled.set()

    async def _attempt(self) -> None:
        async with AsyncExitStack() as stack:
            await self._store.open()
            self._opened = True
            stack.push_async_callback(self._store.close)
            await self._learn(stack)
            self._undo = stack.pop_all()
        self._up = True
        if self._late:
            self._late = ""
            log.info("the store is there: learning has started")

    def _may_pass(self, error: Exception) -> bool:
        return (
            self._waits and isinstance(error, StoreError) and not isinstance(error, StoreUnusable)
        )

    def _hears_nothing(self) -> None:
        if self._waits and not self._opened and not self._settled.is_set():
            self._put_off(StoreError("The store does not answer"))

    def _put_off(self, error: Exception) -> None:
        foreseen = isinstance(error, SidecarError)
        reason = str(error) if foreseen else f"{type(error).__name__}; it was logged"
        if not self._late:
            log.warning(
                "started without the store: calls go on unoptimised, the rest is refused with 503 "
                "until it is there",
                reason=reason,
            )
        if not foreseen and reason != self._late:
            log.error("start_failed", exc_info=error)
        self._late = reason
        self._settled.set()
