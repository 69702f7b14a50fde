"""Searching a grid of instructions and demonstration sets: MIPRO moved on line.

MIPROv2 (Opsahl-Ong et al., arXiv 2406.11695) proposes instructions and demonstration sets, then
searches their combinations. Here a combination that the surrogate finds promising becomes a
challenger of the same `Policy` as GEPA's: certification, promotion and rollback are its own. Proof
of a cell comes from its own rewards only; belief in it, with the factored surrogate, from all cells
that share its instruction or its demonstrations. A cell that comes back is a new candidate.

What differs is the guard (docs/decisions/0007): it bounds not each challenger's own shortfall but
the loss of all together, by the risk that the session has not spent yet.
"""

import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from sidecar.core.ids import BASELINE
from sidecar.engine import factored, tpe
from sidecar.engine.allocation import Contender, canary, disaster, limit, thompson
from sidecar.engine.arm import Arm
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
_MEMORY = 4
"""Half-lives after which a reward no longer informs the surrogate."""
_HORIZON = 150
"""Calls over which the risk that is left may be spent."""
_PAST_SD = 1.5
"""Standard deviations by which the loss so far is taken to be larger than it seems …"""
_NEXT_SD = 0.5
"""… and that of the next call."""
_OWN_PART = 1 / 3
"""Part of `evict_rewards` that must be a cell's own before it may leave: the rest is known from its
row and column."""
_RISK_LEAST = 0.1
"""Part of the dial `risk` that a call may always take: what is never tried is never known."""

GRID_OPTIONS = replace(
    Options(),
    challengers=12,
    share_new=0.30,
    share_min=0.0,
    share_max=0.95,
    share_challengers=0.95,
    share_unsure=0.75,
    trust_from=0.5,
    share_incumbent=0.05,
    evict_hope=0.7,
    evict_rewards=10,
)
"""The dials' defaults on a grid: a new cell is mostly known from its row and column, so many are
tried side by side and leave again soon, and what bounds them is the risk of all together. Risk,
slack, delta and control group are as everywhere."""


@dataclass(slots=True)
class GridPolicy(Policy):
    """The policy over cells of a grid."""

    surrogate: str = FACTORED
    grid: set[Cell] = field(default_factory=lambda: {ORIGIN})
    """The cells that may be tried."""
    cells: dict[str, Cell] = field(default_factory=lambda: {BASELINE: ORIGIN})
    """The cell of every candidate, retired ones too."""
    effects: Effects | None = None
    """What the rewards up to the last refresh say of every cell. The guard goes by it whatever the
    surrogate; the factored surrogate is it."""

    def enter(self, candidate_id: str, cell: Cell, now: int, *, frozen: bool = False) -> list[Move]:
        """A cell begins its trial as a challenger."""
        self.grid.add(cell)
        self.learn(now)
        self.cells[candidate_id] = cell
        moves = self.admit(candidate_id, BASELINE, now, frozen=True)
        if not frozen:
            self.share(now)
        return moves

    def refresh(self, now: int) -> list[Move]:
        """As any policy's, after learning from the rewards so far."""
        self.learn(now)
        return Policy.refresh(self, now)

    def learn(self, now: int) -> None:
        """Fit the surrogate to the rewards so far."""
        live = {self.cells[c] for c in [*self.challengers, *self.certified]}
        self.effects = factored.fit(self.grid | live, self._counts(now))

    def _model(self, now: int) -> Effects:
        if self.effects is None:
            self.learn(now)
        assert self.effects is not None  # just learnt
        return self.effects

    # -- what it knows --------------------------------------------------------------------------

    def belief(self, one: str, other: str, now: int) -> Difference:
        """The belief about candidate `one` minus candidate `other`, shared between cells. Of a
        cell that left the grid long ago, what its own rewards say."""
        model = self._model(now)
        mine, theirs = self.cells[one], self.cells[other]
        if self.surrogate != FACTORED or not {mine, theirs} <= model.cells.keys():
            return Policy.belief(self, one, other, now)
        mean, variance = model.difference(mine, theirs)
        n = sum(count for count, _ in self.arms[one].buckets.values())
        return Difference(mean, max(variance, _MIN_VARIANCE), int(n))

    def evictable(self, now: int) -> str | None:
        """The challenger that would make room for the most hopeful cell that is not served."""
        if self.surrogate != FACTORED:
            return Policy.evictable(self, now)
        untried = self.untried
        leader = self._leader(now)
        needed = _OWN_PART * self.options.evict_rewards
        hopes = [(self._hope(self.cells[c], leader, now), c) for c in self.challengers
                 if c != leader and self.arms[c].n >= needed]  # fmt: skip
        if not untried or not hopes:
            return None
        least, candidate = min(hopes)
        best = max(self._hope(cell, leader, now) for cell in untried)
        return candidate if least < self.options.evict_hope * best else None

    def _nominate(self, candidate: str, now: int) -> None:
        """Test the most promising only: its neighbours look promising because it does."""
        rivals = (self.belief(candidate, c, now).mean for c in self.challengers)
        if self.surrogate != FACTORED or min(rivals) >= 0:
            Policy._nominate(self, candidate, now)  # noqa: SLF001 - overridden here

    def _hope(self, cell: Cell, leader: str, now: int) -> float:
        """Expected improvement of a cell over the leader."""
        mean, variance = self._model(now).difference(cell, self.cells[leader])
        return expected_gain(mean, math.sqrt(max(variance, _MIN_VARIANCE)))

    @property
    def untried(self) -> list[Cell]:
        """The cells that are not being served, in a fixed order."""
        live = {self.cells[c] for c in [BASELINE, *self.challengers, *self.certified]}
        return sorted(self.grid - live)

    def _counts(self, now: int) -> Mapping[Cell, Mapping[int, tuple[float, float]]]:
        """Rewards by cell and stratum of time, discounted by age."""
        newest = now // self.options.bucket
        out: dict[Cell, dict[int, tuple[float, float]]] = {}
        for candidate, cell in self.cells.items():
            for bucket, n, total, weight in self._remembered(self.arms[candidate], now):
                stratum = bucket if newest - bucket < _FINE else -1 - bucket // _FINE
                seen = out.setdefault(cell, {})
                have, sum_ = seen.get(stratum, (0.0, 0.0))
                seen[stratum] = have + weight * n, sum_ + weight * total
        return out

    def _remembered(self, arm: Arm, now: int) -> Iterator[tuple[int, float, float, float]]:
        """The buckets of time that still inform: number, rewards, their sum, and their weight."""
        newest = now // self.options.bucket
        decay = self.seen / (now + 1) * self.options.bucket / self.options.half_life
        for bucket, (n, total) in arm.buckets.items():
            halvings = max(0, newest - bucket) * decay
            if n > 0 and halvings < _MEMORY:
                yield bucket, n, total, 0.5**halvings

    # -- how it shares the traffic --------------------------------------------------------------

    def share(self, now: int) -> None:
        """Share the traffic by what is known."""
        wanted = self._wanted(now)
        scale = self._scale({c: wanted[c] for c in self.challengers}, now)
        for c in self.challengers:
            wanted[c] *= scale
        rest = 1.0 - sum(wanted.values())
        if self.incumbent != BASELINE:
            wanted[BASELINE] = self._control(now)
            rest -= wanted[BASELINE]
        wanted[self.incumbent] = max(rest, self.options.share_incumbent)
        total = sum(wanted.values())
        self.weights = {candidate: share / total for candidate, share in wanted.items()}

    def _wanted(self, now: int) -> dict[str, float]:
        """Shares of all but baseline and incumbent by the chance of being the best, unguarded."""
        contenders = [
            Contender(c, self.belief(c, self.incumbent, now), c in self.certified, self.arms[c].n)
            for c in [*self.certified, *self.challengers]
            if c != self.incumbent
        ]
        if self.surrogate != FACTORED:
            return thompson(contenders, self.options)
        live = {self.cells[c] for c in [BASELINE, *self.certified, *self.challengers]}
        votes = self._model(now).votes(random.Random(f"{self.seen}:{now}"), sorted(live))
        return {
            c.candidate_id: canary(c, votes.get(self.cells[c.candidate_id], 0.0), self.options)
            for c in contenders
        }

    def _scale(self, wanted: Mapping[str, float], now: int) -> float:
        """What all challengers' shares are multiplied with, to stay within risk and limit."""
        total = sum(wanted.values())
        if total <= 0:
            return 1.0
        mean, variance = self._model(now).gain(self._by_cell(wanted.items()))
        sd = math.sqrt(max(variance, _MIN_VARIANCE))
        loss = max(0.0, _NEXT_SD * sd - mean) + self._disaster(wanted)
        by_risk = self._risk(now) / loss if loss > 0 else 1.0
        # The limit grows with what all of them are worth: the best of many looks good by luck.
        return min(1.0, by_risk, limit({"": (mean, sd)}, self.options) / total)

    def _disaster(self, wanted: Mapping[str, float]) -> float:
        """What a call may lose to cells that break the prompt: those of which the instruction or
        the demonstrations are new. Where both are known, little is."""
        rows: Counter[int] = Counter()
        columns: Counter[int] = Counter()
        for c, (row, column) in self.cells.items():
            rows[row] += self.arms[c].n
            columns[column] += self.arms[c].n
        known = {c: min(rows[self.cells[c][0]], columns[self.cells[c][1]]) for c in wanted}
        return sum(share * disaster(known[c], self.options) for c, share in wanted.items())

    def _risk(self, now: int) -> float:
        """What the next call may be expected to give up: the risk that is left, spread out. Gains
        are no licence to lose them again: what is left is never more than at the beginning and what
        the dial earns meanwhile."""
        mean, variance = self._gained(now)
        memory = min(self.seen, _MEMORY * self.options.half_life)
        most = self.options.risk_slack + self.options.risk * _HORIZON
        left = self.options.risk_slack + self.options.risk * memory
        left += mean - self.lost - _PAST_SD * math.sqrt(variance)
        return max(_RISK_LEAST * self.options.risk, min(left, most) / _HORIZON)

    def spent(self, now: int) -> float:
        """Reward given up against always serving the baseline, as far as memory goes; negative is
        a gain."""
        return self.lost - self._gained(now)[0]

    def _gained(self, now: int) -> tuple[float, float]:
        """Mean and variance of what all cells together gained over the baseline."""
        served = [
            (c, sum(n for _, n, _, _ in self._remembered(self.arms[c], now)))
            for c in self.cells
            if c != BASELINE
        ]
        model = self._model(now)
        return model.gain(
            {cell: n for cell, n in self._by_cell(served).items() if cell in model.cells}
        )

    def _by_cell(self, weights: Iterable[tuple[str, float]]) -> dict[Cell, float]:
        out: dict[Cell, float] = {}
        for c, w in weights:
            out[self.cells[c]] = out.get(self.cells[c], 0.0) + w
        return out

    def _loss(self, candidate: str, now: int) -> float:  # noqa: ARG002 - overridden here
        """Nothing is booked when a cell leaves: what all lost is estimated anew each time."""
        return 0.0

    def roll_back(self, now: int, why: str) -> Move:
        """As any policy's. What was learnt of all cells is void too."""
        self.lost = self.spent(now)
        for candidate, arm in self.arms.items():
            if candidate != BASELINE:
                arm.buckets = {}
        self.effects = None
        return Policy.roll_back(self, now, why)


def entrant(policy: GridPolicy, now: int, rng: random.Random, dials: tpe.TpeOptions) -> Cell | None:
    """The cell that should begin its trial now, if there is one and room for it."""
    untried = policy.untried
    if not untried or (policy.bench_full and policy.evictable(now) is None):
        return None
    if policy.surrogate != FACTORED:
        return tpe.suggest(untried, _tried(policy), dials, rng)
    if policy.effects is None:
        policy.learn(now)
    assert policy.effects is not None  # just learnt
    votes = policy.effects.votes(rng, sorted(policy.grid))
    chosen = max(untried, key=lambda cell: votes.get(cell, 0.0))
    return chosen if chosen in votes else None


def _tried(policy: GridPolicy) -> list[tpe.Tried]:
    """The cells whose block of rollouts is complete, with their average reward."""
    seen: dict[Cell, tuple[int, float]] = {}
    for candidate, cell in policy.cells.items():
        arm = policy.arms[candidate]
        n, total = seen.get(cell, (0, 0.0))
        seen[cell] = n + arm.n, total + arm.total
    block = policy.options.evict_rewards
    return [tpe.Tried(cell, total / n) for cell, (n, total) in seen.items() if n >= max(1, block)]
