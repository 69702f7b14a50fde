"""The right to run a job: one sidecar has it, as long as it renews it in time."""

import os
import time
from collections.abc import Callable

import structlog

from sidecar.store.base import Store, StoreError

SECONDS = 6.0
"""How long a lease lasts that is not renewed: how long a job stands still after a crash."""
RENEW_SECONDS = SECONDS / 3
_ALONE = 1
"""The fencing token of who shares its store with nobody."""

log = structlog.get_logger()


class JobLease:
    """One holding of one job's lease; it is not taken up again once it is lost. What was granted
    counts from before it was asked for, by our own clock. Who is alone holds all of them."""

    def __init__(
        self, store: Store, job_id: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` counts seconds."""
        self._store = store
        self._name = f"job:{job_id}"
        self._clock = clock
        self._holder = os.urandom(16).hex()
        self._asked = -SECONDS
        self.token = _ALONE
        """What our writes are fenced with."""

    @property
    def held(self) -> bool:
        """Whether the job is ours."""
        return not self._store.shared or self._clock() < self._asked + SECONDS

    async def seek(self) -> bool:
        """Ask for it. Raises `StoreError`."""
        if not self._store.shared:
            return True
        asked = self._clock()
        token = await self._store.lease(self._name, self._holder, SECONDS)
        if token is not None:
            self._asked, self.token = asked, token
        return token is not None

    async def renew(self) -> None:
        """Keep it, when it is time to. It is lost when another holding could have been granted in
        between. Raises `StoreError`."""
        asked = self._clock()
        if asked < self._asked + RENEW_SECONDS:
            return
        token = await self._store.lease(self._name, self._holder, SECONDS)
        self._asked = asked if token == self.token else -SECONDS

    async def release(self) -> None:
        """Give it back, so that nobody waits for it to run out."""
        if not self._store.shared:
            return
        try:
            await self._store.release(self._name, self._holder)
        except StoreError:
            log.info("lease not given back: it runs out by itself", lease=self._name)
