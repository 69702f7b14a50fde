"""MIPRO's grid search over the shared simulator's grid worlds, against its discrete TPE.

    PYTHONPATH=<this repository>:<the simulator's folder> python bench/engine/mipro_policies.py

The simulator's folder is the one with `mipro.py` (needs numpy); nothing of it is copied here.
"""

import argparse
import random
import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product

import mipro as reference
import numpy as np

from sidecar.engine.factored import fit
from sidecar.engine.mipro import FACTORED, GRID_OPTIONS, TPE, GridPolicy, entrant
from sidecar.engine.policy import Observation
from sidecar.engine.tpe import TpeOptions


class Sidecar:
    """The whole policy: roles, risk dial, certification, rollback."""

    def __init__(self, instructions, demos, seed, surrogate=FACTORED, **dials):
        self.rng = random.Random(f"pol{seed}")
        self.policy = GridPolicy(replace(GRID_OPTIONS, **dials), surrogate=surrogate)
        self.policy.grid = set(product(range(instructions), range(demos)))
        self.policy.learn(0)
        self.tick = 0
        self._enter()

    def ask(self):
        shares = self.policy.weights
        self.served = self.rng.choices(list(shares), list(shares.values()))[0]
        return self.policy.cells[self.served]

    def tell(self, cell, reward):
        seen = Observation(self.served, str(self.tick), self.tick, self.tick, reward)
        self.policy.observe(seen)
        self.tick += 1
        if self.policy.due:
            self.policy.refresh(self.tick)
            self._enter()

    def _enter(self):
        for _ in range(self.policy.options.challengers):
            cell = entrant(self.policy, self.tick, self.rng, TpeOptions())
            if cell is None:
                return
            self.policy.enter(f"c{len(self.policy.cells)}", cell, self.tick)


class Bare:
    """The surrogate alone, with no guard: what the guards cost."""

    def __init__(self, instructions, demos, seed):
        self.rng = random.Random(f"pol{seed}")
        self.grid = list(product(range(instructions), range(demos)))
        self.counts = {}
        self.tick = 0
        self._draw()

    def _draw(self):
        votes = fit(self.grid, self.counts).votes(self.rng)
        self.drawn = list(votes.elements())

    def ask(self):
        return self.drawn[self.rng.randrange(len(self.drawn))]

    def tell(self, cell, reward):
        n, total = self.counts.setdefault(cell, {}).get(0, (0, 0.0))
        self.counts[cell][0] = n + 1, total + reward
        self.tick += 1
        if self.tick % 20 == 0:
            self._draw()


def theirs(kind, **options):
    return lambda i, d, seed: kind(i, d, np.random.default_rng(seed), **options)


BOLD = {"risk": 0.06, "risk_slack": 30.0, "share_unsure": 0.85, "evict_rewards": 4,
        "nominate_probability": 0.93, "rival_rewards": 12, "rival_probability": 0.15}  # fmt: skip
"""What a session may set under `safety` to learn faster at more risk."""

POLICIES: dict[str, Callable] = {
    "reference: round robin 10 then best": theirs(reference.RoundRobin),
    "reference: independent Thompson": theirs(reference.ArmTS),
    "reference: discrete TPE": theirs(reference.TPE),
    "reference: factored, unguarded": theirs(reference.FactoredTS, temp=0.5),
    "ours: factored, unguarded": Bare,
    "ours: tpe": lambda i, d, s: Sidecar(i, d, s, TPE),
    "ours: factored": Sidecar,
    "ours: factored, bold": lambda i, d, s: Sidecar(i, d, s, **BOLD),
}


def run(job):
    """Served minus baseline, shortfall to the best cell, and time under a bad incumbent."""
    name, seed, args = job
    instructions, demos = map(int, args.grid.split("x"))
    world = reference.world(seed, instructions, demos, args.salt, args.inter)
    luck = random.Random(f"{args.salt}{seed}")
    policy = POLICIES[name](instructions, demos, seed)
    served, worse = [], 0
    for _ in range(args.T):
        cell = policy.ask()
        rate = world[cell[0], cell[1]]
        served.append(rate)
        policy.tell(tuple(cell), 1.0 if luck.random() < rate else 0.0)
        if isinstance(policy, Sidecar):
            worse += world[policy.policy.cells[policy.policy.incumbent]] < world[0, 0]
    base = world[0, 0]
    tail = statistics.mean(served[-args.T // 5 :]) - base
    low = min(np.cumsum(np.array(served) - base))
    best = max(world.max() - base, 1e-9)
    mean = statistics.mean(served)
    return mean - base, world.max() - mean, tail / best, -low, worse / args.T


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=30)
    parser.add_argument("--T", type=int, default=1000)
    parser.add_argument("--grid", default="8x6")
    parser.add_argument("--salt", default="bench")
    parser.add_argument("--inter", type=float, default=0.15)
    parser.add_argument("--only", default="", help="run the policies whose name has this in it")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    print("| policy | gain (pp) | regret (pp) | share of oracle, last 20% "
          "| worst deficit, mean (successes) | time under a worse incumbent |")  # fmt: skip
    print("|---|---|---|---|---|---|")
    with ProcessPoolExecutor(args.jobs) as pool:
        for name in POLICIES:
            if args.only not in name:
                continue
            rows = list(pool.map(run, [(name, seed, args) for seed in range(args.worlds)]))
            gain, regret, tail, low, worse = map(statistics.mean, zip(*rows, strict=True))
            print(f"| {name} | {100 * gain:+.1f} | {100 * regret:.1f} | {tail:.2f} "
                  f"| {low:.1f} | {worse:.1%} |")  # fmt: skip
            sys.stdout.flush()


if __name__ == "__main__":
    main()
