"""Which candidate serves a conversation: the part of a session that is on the request path.

Memory only. A conversation that is known keeps its candidate; a new one is drawn from the table and
its assignment queued for the store. The table is swapped by the slow loop, between two requests.

What is not in memory may be in the store: another sidecar's conversation, or one that was pushed
out. `unsure` says when to ask, and `claim` asks: the first assignment of a conversation stays,
whoever drew it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from sidecar.core.rollout import Assignment
from sidecar.engine.table import Table

Stored = asyncio.Future[Assignment | None]
"""Resolves to the conversation's first assignment once that is durable; to None if it is not known
to be."""
Record = Callable[[Assignment], Stored]


class Assigner:
    """Sticky assignments of one session."""

    def __init__(
        self, session_id: str, salt: str, record: Record, remember: int, *, shared: bool = False
    ) -> None:
        """`record` queues an assignment for the store; `remember` bounds the memory; `shared` says
        that others assign too."""
        self._session_id = session_id
        self._key = bytes.fromhex(salt)
        self._record = record
        self._remember = remember
        self._partial = shared
        """Whether the store may know conversations that are not in memory."""
        self._known: OrderedDict[str, tuple[Assignment, Stored | None]] = OrderedDict()
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
        self._partial = self._partial or sum(served.values()) > len(self._known)
        self.tallied(served)

    def tallied(self, served: Mapping[str, int]) -> None:
        """Take over what the store has counted: others assign, too."""
        self.served = dict(served)
        self.tick = max(self.tick, sum(served.values()))

    def known(self, correlation_id: str) -> Assignment | None:
        """The assignment of a conversation that is in memory."""
        found = self._known.get(correlation_id)
        return found[0] if found else None

    def unsure(self, correlation_id: str) -> bool:
        """Whether the store may have an assignment of this conversation that we do not know."""
        if not self._partial:
            return False
        found = self._known.get(correlation_id)
        return found is None or (found[1] is not None and not _held(found[1]))

    async def claim(self, correlation_id: str, now: float) -> bool:
        """Record the conversation's assignment, and keep the one that was there first. False when
        the store did not say; then ours serves, and is recorded when that is possible."""
        assignment, stored = self._known.get(correlation_id, (None, None))
        is_new = assignment is None
        assignment = assignment or self.draw(correlation_id, now)
        if stored is None or stored.done():
            stored = self._record(assignment)
            self._keep(assignment, stored)
        first = await asyncio.shield(stored)
        if first is None:
            return False
        if is_new and first == assignment:
            self._count(assignment)
        self._keep(first, None)
        return True

    def assign(self, correlation_id: str, now: float) -> tuple[Assignment, Stored | None]:
        """The conversation's assignment, and when it will be durable (None: it is, or there is
        nothing to wait for)."""
        found = self._known.get(correlation_id)
        if found is not None:
            self._known.move_to_end(correlation_id)
            assignment, stored = found
            return assignment, None if stored is None or stored.done() else stored
        assignment = self.draw(correlation_id, now)
        stored = self._record(assignment)
        self._keep(assignment, stored)
        self._count(assignment)
        return assignment, stored

    def _keep(self, assignment: Assignment, stored: Stored | None) -> None:
        self._known[assignment.rollout_id] = (assignment, stored)
        if len(self._known) > self._remember:
            self._known.popitem(last=False)
            self._partial = True

    def _count(self, assignment: Assignment) -> None:
        self.tick += 1
        self.served[assignment.candidate_id] = self.served.get(assignment.candidate_id, 0) + 1

    def draw(self, correlation_id: str, now: float) -> Assignment:
        """What the table says for a conversation, without keeping it."""
        candidate, share = self.table.draw(correlation_id, self._key)
        return Assignment(
            self._session_id, correlation_id, candidate, share, self.table.version, self.tick, now,
            1.0 if self.random else 0.0,
        )  # fmt: skip


def _held(stored: Stored) -> bool:
    """Whether it is known to be stored."""
    return stored.done() and not stored.cancelled() and stored.result() is not None
