"""What is not in memory and may be in the store: asked before a call is planned, within a budget.

Another sidecar may have begun the conversation, or it was pushed out of memory; either way it keeps
its candidate. Only a call that names its conversation, or repeats what was said before, can belong
to one, so a first call asks nothing. When the store does not answer in time, the call goes on with
what is in memory, and that is counted.
"""

import asyncio

import structlog

from sidecar.backend.base import Claims
from sidecar.gateway.identity import ChainMemory
from sidecar.gateway.planner import Identity
from sidecar.store.base import Rollouts, StoreError
from sidecar.telemetry.metrics import Metrics

log = structlog.get_logger()


class Recall:
    """Asks the store on behalf of the request path."""

    def __init__(
        self,
        claims: Claims,
        rollouts: Rollouts,
        memory: ChainMemory,
        metrics: Metrics,
        *,
        shared: bool,
        budget: float,
    ) -> None:
        """`shared`: whether others write to the store. `budget`: seconds that a call may wait."""
        self._claims = claims
        self._rollouts = rollouts
        self._memory = memory
        self._metrics = metrics
        self._shared = shared
        self._budget = budget

    async def session(self, session_id: str) -> bool:
        """Look for a session that is unknown here; whether it was found."""
        if not self._shared:
            return False
        try:
            async with asyncio.timeout(self._budget):
                return await self._claims.find(session_id)
        except (StoreError, TimeoutError):
            self._metrics.failopen.labels("store_recall").inc()
            return False

    def needed(self, session_id: str, identity: Identity) -> bool:
        """Whether the store may know better than memory. Memory only; raises nothing."""
        known = self._in_memory(identity)
        if known is None:
            return bool(identity.lookups) and (self._shared or self._memory.partial)
        try:
            return self._claims.unsure(session_id, known)
        except Exception:  # noqa: BLE001 - the planner meets a broken optimiser again, and decides
            return False

    async def conversation(self, session_id: str, identity: Identity, now: float) -> None:
        """Bring what the store knows of a conversation into memory. Raises nothing."""
        try:
            async with asyncio.timeout(self._budget):
                answered = await self._ask(session_id, identity, now)
        except (StoreError, TimeoutError):
            answered = False
        except Exception:
            # A fault of ours: learning may break, traffic may not (P3).
            log.exception("conversation not recalled", session=session_id)
            answered = False
        if not answered:
            self._metrics.failopen.labels("store_recall").inc()

    def _in_memory(self, identity: Identity) -> str | None:
        return identity.named or self._memory.find(identity.lookups)

    async def _ask(self, session_id: str, identity: Identity, now: float) -> bool:
        correlation = self._in_memory(identity)
        if correlation is None:
            correlation = await self._rollouts.chained(session_id, identity.lookups)
            if correlation is None:
                return True  # it began before us
            self._memory.remember(identity.lookups[0], correlation)
        if not self._claims.unsure(session_id, correlation):
            return True
        return await self._claims.claim(session_id, correlation, now)
