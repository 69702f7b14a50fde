"""Which of several sidecars on one store does what only one should do.

It proposes prompts, delivers rewards and deletes what is old. That it is the only one saves work;
it is not what keeps the count: every append to a journal names what it has read, and what one
writes who only believes to lead is refused by its fencing token. So a holder that was frozen and
wakes up late does no harm.
"""

import asyncio
import os
import time
from collections.abc import Callable

import structlog

from sidecar.store.base import Leases, StoreError

LEASE = "optimiser"
SECONDS = 6.0
"""How long a lease lasts that is not renewed: how long nobody leads after a crash."""
RENEW_SECONDS = SECONDS / 3

_log = structlog.get_logger(__name__)


class Leadership:
    """Whether this sidecar leads. It asks for the lease again and again; what it was granted counts
    from before it asked, by its own clock."""

    def __init__(
        self,
        leases: Leases,
        *,
        shared: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`shared` says whether there may be others; who is alone leads."""
        self._leases = leases
        self._shared = shared
        self._clock = clock
        self._holder = os.urandom(16).hex()
        self._until = 0.0
        self._led = False
        self._listeners: list[Callable[[], None]] = []
        self.token = 0
        """The fencing token of what was granted last; 0 for who is alone."""

    @property
    def leads(self) -> bool:
        """Whether this sidecar leads now."""
        return not self._shared or self._clock() < self._until

    def on_elected(self, listener: Callable[[], None]) -> None:
        """Have somebody told whenever this sidecar begins to lead."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """Seek the lease, or keep it, until cancelled; then give it back."""
        if not self._shared:
            return
        try:
            while True:
                await self.seek()
                await asyncio.sleep(RENEW_SECONDS)
        finally:
            await self._resign()

    async def seek(self) -> None:
        """Ask for the lease once."""
        asked = self._clock()
        try:
            token = await self._leases.lease(LEASE, self._holder, SECONDS)
        except StoreError:
            token = None
        if token is not None:
            self._until = asked + SECONDS
            self.token = token
        self._tell()

    def deposed(self) -> None:
        """Somebody with a higher token has been seen."""
        self._until = 0.0
        self._tell()

    def _tell(self) -> None:
        led, self._led = self._led, self.leads
        if self._led and not led:
            _log.info("leading", token=self.token)
            for listener in self._listeners:
                listener()
        elif led and not self._led:
            _log.info("no longer leading", token=self.token)

    async def _resign(self) -> None:
        if self.leads:
            self._until = 0.0
            try:
                await self._leases.release(LEASE, self._holder)
            except StoreError:
                _log.info("lease not given back: it runs out by itself")
