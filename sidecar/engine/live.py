"""A running session: the pure state, its journal, its table, and the proposals in flight.

Every change goes the same way: append to the journal, fold the entry into the state, swap the
table. Appending and folding happen under one lock, so the fold sees entries in journal order.

Other sidecars may append to the same journal. An append names the last entry that is in our state;
when there are others, they are folded first and what was to be written is decided anew. So every
sidecar folds the same entries in the same order, whoever wrote them, and only proposing is for the
one that leads.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

import structlog

from sidecar.core.feedback import Reward
from sidecar.core.rollout import Assignment, Turn
from sidecar.core.session import Entry, JournalEntry, SessionRecord, Snapshot
from sidecar.engine import algorithms, ledger, reflect, snapshot
from sidecar.engine.assigner import Assigner
from sidecar.engine.author import Author
from sidecar.engine.cluster import sketch
from sidecar.engine.mipro_session import GridState
from sidecar.engine.propose import Reflection
from sidecar.engine.session import Plan, Rewarded
from sidecar.engine.table import Table
from sidecar.errors import Conflict, NotFound
from sidecar.store.base import Deposed, JournalMoved, Store, StoreError
from sidecar.store.leadership import Leadership
from sidecar.telemetry.metrics import Metrics

_SNAPSHOT_EVERY = 200
_PAGE = 1000
NAMING = {Entry.PIN, Entry.APPROVE, Entry.RETIRE}
"""Commands about one candidate."""
_COUNTED = {"proposed", "certified", "awaiting", "promoted", "retired", "rolled_back"}

log = structlog.get_logger()


class LiveSession:
    """One session of the embedded engine."""

    def __init__(
        self,
        record: SessionRecord,
        store: Store,
        reflection: Reflection,
        metrics: Metrics,
        leadership: Leadership,
        *,
        remember: int,
        proposals_per_day: int,
        clock: Callable[[], float],
    ) -> None:
        self.record = record
        self.config = algorithms.load(record.algorithm, record.config)
        self.pattern = self.config.pattern
        self.state = algorithms.begin(self.config, record.salt, record.created_at)
        self.assigner = Assigner(
            record.session_id,
            record.salt,
            store.record_assignment,
            remember,
            shared=store.shared,
        )
        self._store = store
        self._leadership = leadership
        self._author = Author(record.session_id, store, reflection, self.config)
        self._metrics = metrics
        self._per_day = proposals_per_day
        self._clock = clock
        self._lock = asyncio.Lock()
        self._thinking: asyncio.Task[None] | None = None
        self._kept = 0
        self._remember = remember

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self.record.session_id

    # -- coming back ----------------------------------------------------------------------------

    async def restore(self) -> None:
        """Rebuild the state from the newest snapshot and the journal after it."""
        saved = await self._store.snapshot(self.session_id)
        state = snapshot.load(saved.state, self.config, self.record.salt) if saved else None
        if state is not None:
            self.state = state
        self._kept = self.state.seq
        recent = await self._store.recent_assignments(self.session_id, self._remember)
        self.assigner.restore(recent, await self._store.tally(self.session_id))
        await self._catch_up()

    async def follow(self) -> None:
        """Take in what other sidecars have written. Raises `StoreError`."""
        async with self._lock:
            self.assigner.tallied(await self._store.tally(self.session_id))
            await self._catch_up()
            await self._let_in()
        self.think()

    async def _catch_up(self) -> None:
        """Fold what is in the journal and not in the state (the lock is held, or nobody else is
        there yet)."""
        while page := await self._store.journal(self.session_id, self.state.seq, _PAGE):
            for entry in page:
                self.state.apply(entry)
        self.assigner.tick = max(self.assigner.tick, self.state.tick)
        self._swap()

    # -- counting -------------------------------------------------------------------------------

    async def report(self, rewards: Sequence[Reward]) -> list[tuple[Reward, Assignment, bool]]:
        """Count rewards; for each its assignment and whether it was news."""
        rollouts = [reward.rollout_id for reward in rewards]
        assignments = [await self._assignment(rollout) for rollout in rollouts]
        turns = await self._turns(rollouts)

        async def fresh() -> list[JournalEntry]:
            if self.state.status.final:
                raise Conflict(f"session {self.session_id} is {self.state.status}")
            last = await self._store.last_entries(self.session_id, rollouts)
            return self._entries(
                (reward, assignment, last.get(reward.rollout_id), turns[reward.rollout_id])
                for reward, assignment in zip(rewards, assignments, strict=True)
                if _revision(last.get(reward.rollout_id)) < reward.revision
            )

        async with self._lock:
            counted = {entry.subject for entry in await self._append(fresh)}
        self.think()
        return [
            (reward, assignment, reward.rollout_id in counted)
            for reward, assignment in zip(rewards, assignments, strict=True)
        ]

    async def _assignment(self, rollout_id: str) -> Assignment:
        found = self.assigner.known(rollout_id) or await self._store.assignment(
            self.session_id, rollout_id
        )
        if found is None:
            raise NotFound(f"session {self.session_id} has no rollout {rollout_id}")
        return found

    async def _turns(self, rollout_ids: Sequence[str]) -> dict[str, list[Turn]]:
        """The turns of each rollout, oldest first."""
        out: dict[str, list[Turn]] = {rollout_id: [] for rollout_id in rollout_ids}
        for turn in await self._store.turns(self.session_id, rollout_ids):
            out[turn.rollout_id].append(turn)
        return out

    def _entries(
        self,
        rewards: Iterable[tuple[Reward, Assignment, JournalEntry | None, Sequence[Turn]]],
    ) -> list[JournalEntry]:
        """What to append for these rewards, each with the entry before it and its turns. Each is
        judged as if those before it were folded already."""
        influences = self.state.influences.copy()
        entries = []
        for reward, assignment, prior, turns in rewards:
            entry = ledger.reward_entry(
                self.state, influences, reward, assignment, prior=prior, turns=turns,
                sketch=_sketch(turns), now=self.assigner.tick, at=self._clock(),
            )  # fmt: skip
            influences.fold(entry, "")
            entries.append(entry)
        return entries

    # -- steering -------------------------------------------------------------------------------

    async def command(self, kind: Entry, subject: str = "") -> None:
        """Append a command. Raises `Conflict` when the session's state forbids it."""
        key = f"{kind}:{os.urandom(8).hex()}"

        async def allowed() -> list[JournalEntry]:
            self._allow(kind, subject)
            payload = {"now": self.assigner.tick}
            return [JournalEntry(key, kind, subject, payload, self._clock())]

        async with self._lock:
            await self._append(allowed)
            await self._keep(always=True)
        self.think()

    def _allow(self, kind: Entry, subject: str) -> None:
        if self.state.status.final:
            raise Conflict(
                f"session {self.session_id} is {self.state.status}; create a new one instead"
            )
        if kind in NAMING and subject not in self.state.candidates:
            raise NotFound(f"session {self.session_id} has no candidate {subject!r}")
        policy = self.state.policy
        if kind is Entry.APPROVE and subject not in policy.awaiting:
            raise Conflict(f"candidate {subject} does not wait for approval")
        live = {*policy.challengers, *policy.certified} - {policy.incumbent}
        if kind is Entry.RETIRE and subject not in live:
            raise Conflict(
                f"candidate {subject} is not one that can be retired: the baseline always serves, "
                "and what serves by default is rolled back"
            )
        if kind is Entry.RELEASE and self.state.influences.quarantine is None:
            raise Conflict(f"session {self.session_id} holds nobody's feedback back")

    # -- proposing ------------------------------------------------------------------------------

    def think(self) -> None:
        """Begin a proposal, or look for demonstrations, if that is due, nothing is in flight and it
        is for us to do."""
        if not self._leadership.leads:
            return
        if self._thinking is not None and not self._thinking.done():
            return
        now = self.assigner.tick
        plan = self.state.plan(now, self._clock(), self._per_day)
        if plan is not None:
            self._thinking = asyncio.create_task(self._keep_thought(self._propose(plan)))
        elif successes := self.state.demonstrations(now):
            self._thinking = asyncio.create_task(self._keep_thought(self._demonstrate(successes)))

    async def _keep_thought(self, thought: Coroutine[Any, Any, list[JournalEntry]]) -> None:
        """Append what thinking came to. It may fail in any way, and must not end learning."""
        token = self._leadership.token
        try:
            entries = await thought

            async def thought_of() -> Sequence[JournalEntry]:
                return entries

            async with self._lock:
                await self._append(thought_of, token=token)
                await self._keep(always=True)
        except Deposed:
            log.info("proposal dropped: another sidecar leads now", session=self.session_id)
            self._leadership.deposed()
        except StoreError as error:
            log.warning("proposal not kept", session=self.session_id, error=str(error))
        except Exception:
            log.exception("proposal failed", session=self.session_id)

    async def _propose(self, plan: Plan) -> list[JournalEntry]:
        """Entries for the texts that passed the screen, or one that says why none did."""
        at = self._clock()
        texts, why = await self._author.write(plan, self.state.texts)
        now = self.assigner.tick
        if not texts:
            return [self._refused(why, at)]
        return [self.state.proposed_entry(text, plan, now, at, os.urandom(6)) for text in texts]

    async def _demonstrate(self, successes: Sequence[Rewarded]) -> list[JournalEntry]:
        """The entry of new demonstration sets, or of having found none."""
        assert isinstance(self.state, GridState)  # only a grid asks for them
        sets = await self._author.demonstrations(successes, self.state)
        now, at = self.assigner.tick, self._clock()
        return [self.state.sets_entry(sets, now, at, os.urandom(6))]

    def _refused(self, why: str, at: float) -> JournalEntry:
        outcome = "failed" if why.startswith("failed") else "screened_out"
        self._count(outcome)
        log.info("proposal refused", session=self.session_id, why=why)
        key = f"refused:{os.urandom(8).hex()}"
        payload = {"why": why, "now": self.assigner.tick}
        return JournalEntry(key, Entry.REFUSED, "", payload, at)

    # -- the journal ----------------------------------------------------------------------------

    async def _append(
        self, decide: Callable[[], Awaitable[Sequence[JournalEntry]]], *, token: int = 0
    ) -> list[JournalEntry]:
        """Append what is decided, fold, swap (the lock is held). Decided again when others have
        written meanwhile. Raises `Deposed`."""
        appended = await self._decided(decide, token)
        if appended:
            self._swap()
            await self._let_in()
            await self._keep()
        return appended

    async def _decided(
        self, decide: Callable[[], Awaitable[Sequence[JournalEntry]]], token: int
    ) -> list[JournalEntry]:
        while True:
            entries = await decide()
            try:
                return await self._fold(entries, token) if entries else []
            except JournalMoved:
                await self._catch_up()

    async def _let_in(self) -> None:
        """Write what follows from what was written, if it is for us to do: rewards that are to be
        held back or let go, and those who begin their trial."""
        if not self._leadership.leads:
            return

        async def follows() -> list[JournalEntry]:
            now, at = self.assigner.tick, self._clock()
            if entries := ledger.review(self.state, now, at):
                return entries
            entry = self.state.entrant(now, at)
            return [] if entry is None else [entry]

        try:
            while await self._decided(follows, self._leadership.token):
                self._swap()
        except Deposed:
            self._leadership.deposed()

    async def _fold(self, entries: Sequence[JournalEntry], token: int) -> list[JournalEntry]:
        appended = await self._store.append(
            self.session_id, entries, after=self.state.seq, token=token
        )
        for entry in appended:
            if held := entry.payload.get("held"):
                self._metrics.feedback.labels("any", held).inc()
            for event in self.state.apply(entry):
                self._announce(event)
        return appended

    def _swap(self) -> None:
        """Let new conversations draw from the shares as they are now."""
        self.assigner.table = Table.of(self.state.version, self.state.weights)
        self.assigner.random = not self.state.pinned

    async def _keep(self, *, always: bool = False) -> None:
        """Snapshot now and then (the lock is held)."""
        if always or self.state.seq - self._kept >= _SNAPSHOT_EVERY:
            self._kept = self.state.seq
            kept = Snapshot(self.state.seq, snapshot.dump(self.state))
            await self._store.save_snapshot(self.session_id, kept)

    def _announce(self, event: Mapping[str, Any]) -> None:
        kind = event["kind"]
        if kind in _COUNTED:
            self._count(kind)
        log.info(
            f"candidate {kind}" if event["candidate_id"] else f"session {kind}",
            session=self.session_id, candidate=event["candidate_id"], **event["detail"],
        )  # fmt: skip

    def _count(self, outcome: str) -> None:
        self._metrics.candidates.labels(self._metrics.session(self.session_id), outcome).inc()

    async def stop(self) -> None:
        """Give up the proposal in flight and keep what is known. Raises `StoreError` after that:
        then the snapshot is an older one, and the journal has the rest."""
        if self._thinking is not None:
            self._thinking.cancel()
            await asyncio.gather(self._thinking, return_exceptions=True)
        async with self._lock:
            await self._keep(always=True)


def _sketch(turns: Sequence[Turn]) -> list[int]:
    """What kind of input a rollout began with."""
    openings = (reflect.Experience([turn], 0.0, ()).opening for turn in turns)
    return next((sketch(opening) for opening in openings if opening), [])


def _revision(entry: JournalEntry | None) -> int:
    return int(entry.payload["revision"]) if entry else 0
