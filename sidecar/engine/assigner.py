"""Which candidate serves a conversation: the part of a session that is on the request path.

Memory only. A conversation that is known keeps its candidate; a new one is drawn from the table and
its assignment queued for the store. The table is swapped by the slow loop, between two requests.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from sidecar.core.rollout import Assignment
from sidecar.engine.table import Table

Record = Callable[[Assignment], "asyncio.Future[bool]"]


class Assigner:
    """Sticky assignments of one session."""

    def __init__(self, session_id: str, salt: str, record: Record, remember: int) -> None:
        """`record` queues an assignment for the store; `remember` bounds the memory."""
        self._session_id = session_id
        self._key = bytes.fromhex(salt)
        self._record = record
        self._remember = remember
        self._known: OrderedDict[str, tuple[Assignment, asyncio.Future[bool] | None]]
        self._known = OrderedDict()
        self.table = Table.of(1, {})
        self.random = True
        """Whether draws are evidence (they are not while a candidate is pinned)."""
        self.tick = 0
        self.served: dict[str, int] = {}
        """Conversations assigned, by candidate."""

    def restore(self, assignments: Iterable[Assignment], served: Mapping[str, int]) -> None:
        """Take up where another process stopped: `assignments` newest first."""
        for assignment in reversed(list(assignments)[: self._remember]):
            self._known[assignment.rollout_id] = (assignment, None)
        self.served = dict(served)
        self.tick = sum(self.served.values())

    def known(self, correlation_id: str) -> Assignment | None:
        """The assignment of a conversation that is in memory."""
        found = self._known.get(correlation_id)
        return found[0] if found else None

    def assign(
        self, correlation_id: str, now: float
    ) -> tuple[Assignment, asyncio.Future[bool] | None]:
        """The conversation's assignment, and when it will be durable (None: it is)."""
        found = self._known.get(correlation_id)
        if found is not None:
            self._known.move_to_end(correlation_id)
            assignment, stored = found
            return assignment, None if stored is None or stored.done() else stored
        assignment = self.draw(correlation_id, now)
        stored = self._record(assignment)
        self._known[correlation_id] = (assignment, stored)
        if len(self._known) > self._remember:
            self._known.popitem(last=False)
        self.tick += 1
        self.served[assignment.candidate_id] = self.served.get(assignment.candidate_id, 0) + 1
        return assignment, stored

    def draw(self, correlation_id: str, now: float) -> Assignment:
        """What the table says for a conversation, without keeping it."""
        candidate, share = self.table.draw(correlation_id, self._key)
        return Assignment(
            self._session_id, correlation_id, candidate, share, self.table.version, self.tick, now,
            1.0 if self.random else 0.0,
        )  # fmt: skip
