"""A MIPRO session's state: a grid of instructions and demonstration sets beside GEPA's journal.

Rows and columns are journal entries of their own, because models and other people's rollouts made
them; which cell begins its trial next is chosen from what is known and journalled too, so that a
later version of the search replays an old session as it went.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from sidecar.core import ids
from sidecar.core.ids import BASELINE
from sidecar.core.prompt import Demo
from sidecar.core.session import Candidate, Entry, JournalEntry, Status
from sidecar.engine import gepa
from sidecar.engine.config_mipro import MiproConfig
from sidecar.engine.factored import Cell
from sidecar.engine.mipro import GridPolicy, entrant
from sidecar.engine.policy import Move
from sidecar.engine.session import FAILURE, Plan, Rewarded, SessionState, born, proposal

ROWS = 18
"""Instructions on the grid at a time; a further one takes the place of the least hopeful."""
_LOOKED_AT = 100
"""Newest good rollouts that demonstrations are looked for in."""
_UNASKED = 5
"""Times as many rewards before an instruction is asked for when nothing went wrong."""
_TOLD = 8
"""Earlier instructions that the model is told of."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """A row of the grid."""

    text: str
    parent_id: str | None
    """The candidate whose text it rewrote."""
    rationale: str = ""


@dataclass(slots=True)
class GridState(SessionState):
    """Everything a MIPRO session knows."""

    instructions: list[Instruction] = field(default_factory=list)
    """The first is the baseline's."""
    sets: list[tuple[Demo, ...]] = field(default_factory=lambda: [()])
    """The first is empty."""
    since_sets: int = 0
    """Rewards since demonstrations were last looked for."""

    @staticmethod
    def begin(config: MiproConfig, salt: str, created_at: float) -> "GridState":  # type: ignore[override]
        """A session in which nothing has happened yet."""
        text = config.baseline
        baseline = Candidate(BASELINE, text, None, "baseline", created_at, cell=(0, 0))
        manual = config.guards.promotion == "manual"
        policy = GridPolicy(config.options, manual=manual, surrogate=config.surrogate)
        policy.learn(0)
        return GridState(
            config,
            salt,
            {BASELINE: baseline},
            policy=policy,
            instructions=[Instruction(text, None)],
        )

    @property
    def grid(self) -> GridPolicy:
        """The policy, as what it is."""
        assert isinstance(self.policy, GridPolicy)
        return self.policy

    @property
    def own(self) -> MiproConfig:
        """The configuration, as what it is."""
        assert isinstance(self.config, MiproConfig)
        return self.config

    @property
    def texts(self) -> list[str]:
        """Every instruction so far."""
        return [row.text for row in self.instructions]

    # -- the fold -------------------------------------------------------------------------------

    def _fold(self, entry: JournalEntry) -> list[Move]:
        match entry.kind:
            case Entry.INSTRUCTION:
                self._see(entry)
                return self._row(entry)
            case Entry.DEMONSTRATIONS:
                self._see(entry)
                return self._columns(entry)
        rewards = self.rewards
        moves = SessionState._fold(self, entry)  # noqa: SLF001 - overridden here
        self.since_sets += max(0, self.rewards - rewards)
        return moves

    def _row(self, entry: JournalEntry) -> list[Move]:
        data = entry.payload
        self._spend(entry.at)
        self.proposed += 1
        self.instructions.append(Instruction(data["text"], data["parent_id"], data["rationale"]))
        self._make_room()
        row = len(self.instructions) - 1
        moves = self._widen((row, column) for column in range(len(self.sets)))
        return [Move("instruction", "", {"row": row, "parent_id": data["parent_id"] or ""}), *moves]

    def _columns(self, entry: JournalEntry) -> list[Move]:
        self.since_sets = 0
        new = [tuple(Demo(**demo) for demo in demos) for demos in entry.payload["sets"]]
        rows = {row for row, _ in self.grid.grid}
        first = len(self.sets)
        self.sets += new
        made = [
            Move("demonstrations", "", {"column": first + k, "size": len(demos)})
            for k, demos in enumerate(new)
        ]
        return made + self._widen(
            (row, column) for row in rows for column in range(first, len(self.sets))
        )

    def _widen(self, cells: Iterable[Cell]) -> list[Move]:
        """Let cells be tried from now on."""
        self.grid.grid |= set(cells)
        if self.status is Status.STARTED:
            return self.grid.refresh(self.tick)
        self.grid.learn(self.tick)
        return []

    def _make_room(self) -> None:
        """Give up the row that looks worst, of those that are not being served."""
        grid = self.grid
        rows = {row for row, _ in grid.grid}
        live = {0} | {grid.cells[c][0] for c in [*grid.challengers, *grid.certified]}
        if len(rows) < ROWS or not rows - live:
            return
        worst = min(sorted(rows - live), key=self._row_mean)
        grid.grid = {cell for cell in grid.grid if cell[0] != worst}

    def _row_mean(self, row: int) -> float:
        """Average reward of a row, with the baseline's average as one reward more."""
        arms = [arm for c, arm in self.grid.arms.items() if self.grid.cells[c][0] == row]
        total = sum(arm.total for arm in arms) + self.grid.arms[BASELINE].mean
        return total / (1 + sum(arm.n for arm in arms))

    def _candidate(self, entry: JournalEntry) -> list[Move]:
        """A cell begins its trial."""
        candidate = born(entry)
        assert candidate.cell is not None
        self.candidates[entry.subject] = candidate
        frozen = self.status is not Status.STARTED
        moves = self.grid.enter(entry.subject, candidate.cell, self.tick, frozen=frozen)
        row, column = candidate.cell
        return [Move("proposed", entry.subject, {"row": row, "column": column}), *moves]

    # -- what it wants --------------------------------------------------------------------------

    def entrant(self, now: int, at: float) -> JournalEntry | None:
        """The next cell to try, chosen when the shares were made anew."""
        if self.status is not Status.STARTED or self.pinned or self.policy.stale:
            return None
        rng = random.Random(f"{self.salt}:cell:{self.seq}")
        cell = entrant(self.grid, now, rng, self.own.tpe)
        return None if cell is None else self._entry_of(cell, now, at)

    def _entry_of(self, cell: Cell, now: int, at: float) -> JournalEntry:
        row, demos = self.instructions[cell[0]], self.sets[cell[1]]
        digest = sha256(f"{self.salt}:{self.seq}:{cell}".encode()).digest()
        candidate = ids.candidate_id(digest[:6])
        payload: dict[str, Any] = {
            "text": row.text,
            "parent_id": row.parent_id or BASELINE,
            "origin": "grid",
            "rationale": _rationale(row, demos),
            "cell": list(cell),
            "demos": [_plain(demo) for demo in demos],
            "now": now,
        }
        return JournalEntry(f"candidate:{candidate}", Entry.CANDIDATE, candidate, payload, at)

    def plan(self, now: int, at: float, per_day: int) -> Plan | None:
        """The instructions that are due: not before most of the earlier ones have been tried."""
        if not self.may_propose(at, per_day) or at < self.proposed_at + self.own.min_seconds:
            return None
        tried = {cell[0] for cell in self.grid.cells.values()}
        if len({row for row, _ in self.grid.grid} - tried) >= self.own.instructions_per_batch:
            return None
        rng = random.Random(f"{self.salt}:{self.proposed}:{self.refused}")
        parent = self.candidates[gepa.parent(self.policy, now, rng)]
        cells = self.grid.cells
        row = cells[parent.candidate_id][0]
        examples = gepa.examples([r for r in self.recent if cells[r.candidate_id][0] == row])
        failed = any(r.value < FAILURE for r in examples)
        if not examples or not (failed or self.since >= _UNASKED * self.config.min_rollouts):
            return None
        limit = self.config.max_candidates
        left = limit - self.proposed if limit else self.own.instructions_per_batch
        wanted = min(self.own.instructions_per_batch, left)
        return Plan(parent, tuple(examples), wanted, self._tried())

    def _tried(self) -> tuple[tuple[str, float], ...]:
        """The best instructions that were served, with their average reward, the best last."""
        served = {cell[0] for c, cell in self.grid.cells.items() if self.grid.arms[c].n}
        scored = sorted((self._row_mean(row), row) for row in served)
        return tuple((self.instructions[row].text, mean) for mean, row in scored[-_TOLD:])

    def proposed_entry(
        self, text: str, plan: Plan, now: int, at: float, entropy: bytes
    ) -> JournalEntry:
        """A new row."""
        payload = proposal(text, plan, now)
        return JournalEntry(f"instruction:{entropy.hex()}", Entry.INSTRUCTION, "", payload, at)

    def demonstrations(self, now: int) -> Sequence[Rewarded]:
        """The rollouts to look for demonstrations in, if it is time to: those that went well and
        whose feedback had the time to change."""
        if (
            self.status is not Status.STARTED
            or self.pinned
            or self.wanted_sets < 1
            or self.since_sets < self.config.min_rollouts
        ):
            return ()
        settled = now - self.policy.maturity
        good = [r for r in self.recent if r.value >= self.own.demo_threshold and r.tick <= settled]
        return good[-_LOOKED_AT:]

    @property
    def wanted_sets(self) -> int:
        """How many demonstration sets to make next: not all from the first day's rollouts."""
        if self.own.demo_size < 1:
            return 0
        return min(2, self.own.demo_sets + 1 - len(self.sets))

    def sets_entry(
        self, sets: Sequence[Sequence[Demo]], now: int, at: float, entropy: bytes
    ) -> JournalEntry:
        """New columns; none at all says that they were looked for."""
        payload = {"sets": [[_plain(demo) for demo in demos] for demos in sets], "now": now}
        key = f"demonstrations:{entropy.hex()}"
        return JournalEntry(key, Entry.DEMONSTRATIONS, "", payload, at)


def _plain(demo: Demo) -> dict[str, str]:
    return {"rollout_id": demo.rollout_id, "user": demo.user, "assistant": demo.assistant}


def _rationale(row: Instruction, demos: Sequence[Demo]) -> str:
    parts = [row.rationale] if row.rationale else []
    if demos:
        parts.append(f"with {len(demos)} demonstrations")
    return ", ".join(parts)
