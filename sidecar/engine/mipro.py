"""Searching a grid of instructions and demonstration sets: MIPRO moved on line.

MIPROv2 (Opsahl-Ong et al., arXiv 2406.11695) proposes instructions and demonstration sets, then
searches their combinations. Here a combination that the surrogate finds promising becomes a
challenger of the same `Policy` as GEPA's: roles, risk dial, certification and rollback are its own.
Proof of a cell comes from its own rewards only; belief in it, with the factored surrogate, from all
cells that share its instruction or its demonstrations. A cell that comes back is a new candidate.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sidecar.core.ids import BASELINE
from sidecar.engine import factored, tpe
from sidecar.engine.factored import ORIGIN, Cell, Effects
from sidecar.engine.options import Options
from sidecar.engine.policy import Move, Policy
from sidecar.engine.posterior import Difference
from sidecar.engine.stats import expected_gain

FACTORED, TPE = "factored", "tpe"
SURROGATES = (FACTORED, TPE)
_MIN_VARIANCE = 1e-6
_FINE = 8
"""Newest buckets of time that are strata of their own; older ones are pooled in as many."""
_FORGOTTEN = 1 / 16
"""Discount under which a reward no longer informs the surrogate."""

GRID_OPTIONS = replace(
    Options(),
    challengers=6,
    share_new=0.30,
    share_min=0.01,
    share_max=0.80,
    share_challengers=0.85,
    evict_hope=0.6,
    evict_rewards=10,
)
"""The dials' defaults on a grid: a new cell is mostly known from its row and column, so more cells
are tried side by side and the canary may be larger. Risk and certification are as everywhere."""


@dataclass(slots=True)
class GridPolicy(Policy):
    """The policy over cells of a grid."""

    surrogate: str = FACTORED
    grid: set[Cell] = field(default_factory=lambda: {ORIGIN})
    """The cells that may be tried."""
    cells: dict[str, Cell] = field(default_factory=lambda: {BASELINE: ORIGIN})
    """The cell of every candidate, retired ones too."""
    effects: Effects | None = None
    """What the factored surrogate makes of the rewards up to the last refresh."""

    def enter(self, candidate_id: str, cell: Cell, now: int, *, frozen: bool = False) -> list[Move]:
        """A cell begins its trial as a challenger."""
        self.grid.add(cell)
        self.cells[candidate_id] = cell
        return self.admit(candidate_id, BASELINE, now, frozen=frozen)

    def refresh(self, now: int) -> list[Move]:
        """As any policy's, after learning from the rewards so far."""
        self.learn(now)
        return Policy.refresh(self, now)

    def learn(self, now: int) -> None:
        """Fit the surrogate to the rewards so far."""
        if self.surrogate == FACTORED:
            self.effects = factored.fit(self.grid, self._counts(now))

    def belief(self, one: str, other: str, now: int) -> Difference:
        """The belief about candidate `one` minus candidate `other`, shared between cells."""
        if self.effects is None:
            return Policy.belief(self, one, other, now)
        mean, variance = self.effects.difference(self.cells[one], self.cells[other])
        n = sum(count for count, _ in self.arms[one].buckets.values())
        return Difference(mean, max(variance, _MIN_VARIANCE), int(n))

    def evictable(self, now: int) -> str | None:
        """The challenger that would make room for the most hopeful cell that is not served."""
        if self.effects is None:
            return Policy.evictable(self, now)
        untried = self.untried
        leader = self._leader(now)
        hopes = [(self._hope(self.cells[c], now), c) for c in self.challengers
                 if c != leader and self.arms[c].n >= self.options.evict_rewards]  # fmt: skip
        if not untried or not hopes:
            return None
        least, candidate = min(hopes)
        best = max(self._hope(cell, now) for cell in untried)
        return candidate if least < self.options.evict_hope * best else None

    def _nominate(self, candidate: str, now: int) -> None:
        """Test the most promising only: its neighbours look promising because it does."""
        rivals = (self.belief(candidate, c, now).mean for c in self.challengers)
        if self.effects is None or min(rivals) >= 0:
            Policy._nominate(self, candidate, now)  # noqa: SLF001 - overridden here

    def _hope(self, cell: Cell, now: int) -> float:
        """Expected improvement of a cell over the leader."""
        assert self.effects is not None  # only asked of the factored surrogate
        mean, variance = self.effects.difference(cell, self.cells[self._leader(now)])
        return expected_gain(mean, max(variance, _MIN_VARIANCE) ** 0.5)

    @property
    def untried(self) -> list[Cell]:
        """The cells that are not being served, in a fixed order."""
        live = {self.cells[c] for c in [BASELINE, *self.challengers, *self.certified]}
        return sorted(self.grid - live)

    def _counts(self, now: int) -> Mapping[Cell, Mapping[int, tuple[float, float]]]:
        """Rewards by cell and stratum of time, discounted by age."""
        newest = now // self.options.bucket
        decay = self.seen / (now + 1) * self.options.bucket / self.options.half_life
        out: dict[Cell, dict[int, tuple[float, float]]] = {}
        for candidate, cell in self.cells.items():
            seen = out.setdefault(cell, {})
            for bucket, (n, total) in self.arms[candidate].buckets.items():
                age = max(0, newest - bucket)
                weight = 0.5 ** (age * decay)
                if n > 0 and weight > _FORGOTTEN:
                    stratum = bucket if age < _FINE else -1 - bucket // _FINE
                    have, sum_ = seen.get(stratum, (0.0, 0.0))
                    seen[stratum] = have + weight * n, sum_ + weight * total
        return out


def entrant(policy: GridPolicy, now: int, rng: random.Random, dials: tpe.TpeOptions) -> Cell | None:
    """The cell that should begin its trial now, if there is one and room for it."""
    untried = policy.untried
    if not untried or (policy.bench_full and policy.evictable(now) is None):
        return None
    if policy.effects is None:
        return tpe.suggest(untried, _tried(policy), dials, rng)
    votes = policy.effects.votes(rng)
    chosen = max(untried, key=lambda cell: votes[cell])
    return chosen if votes[chosen] else None


def _tried(policy: GridPolicy) -> list[tpe.Tried]:
    """The cells whose block of rollouts is complete, with their average reward."""
    seen: dict[Cell, tuple[int, float]] = {}
    for candidate, cell in policy.cells.items():
        arm = policy.arms[candidate]
        n, total = seen.get(cell, (0, 0.0))
        seen[cell] = n + arm.n, total + arm.total
    block = policy.options.evict_rewards
    return [tpe.Tried(cell, total / n) for cell, (n, total) in seen.items() if n >= max(1, block)]
