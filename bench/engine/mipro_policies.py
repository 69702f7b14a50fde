"""MIPRO's grid search over the shared simulator's grid worlds, against its discrete TPE.

    PYTHONPATH=<this repository>:<the simulator's folder> python bench/engine/mipro_policies.py

The simulator's folder is the one with `mipro.py` (needs numpy); nothing of it is copied here. Its
worlds have good cells; `--world` has others, in which no cell is better than the baseline, to
measure what the guard promises: `null` (all equal), `flat:0.1` (all others worse by that much),
`worse` (instructions and demonstrations that only do harm, by different amounts).
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product

import mipro as reference
import numpy as np

from sidecar.core.ids import BASELINE
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
        self.moves = []
        self.times = []
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
            begun = time.process_time()
            self._note(self.policy.refresh(self.tick))
            self.times.append(time.process_time() - begun)
            self._enter()

    def _enter(self):
        for _ in range(self.policy.options.challengers):
            cell = entrant(self.policy, self.tick, self.rng, TpeOptions())
            if cell is None:
                return
            self._note(self.policy.enter(f"c{len(self.policy.cells)}", cell, self.tick))

    def _note(self, moves):
        self.moves += [(self.tick, move.kind, self.policy.cells[move.candidate_id])
                       for move in moves]  # fmt: skip


class Bare:
    """The surrogate alone, with no guard: what the guards cost."""

    def __init__(self, instructions, demos, seed):
        self.rng = random.Random(f"pol{seed}")
        self.grid = list(product(range(instructions), range(demos)))
        self.counts = {}
        self.tick = 0
        self._draw()

    def _draw(self):
        votes = fit(self.grid, self.counts).votes(self.rng, self.grid)
        self.drawn = list(votes), list(votes.values())

    def ask(self):
        return self.rng.choices(*self.drawn)[0]

    def tell(self, cell, reward):
        n, total = self.counts.setdefault(cell, {}).get(0, (0, 0.0))
        self.counts[cell][0] = n + 1, total + reward
        self.tick += 1
        if self.tick % 20 == 0:
            self._draw()


def theirs(kind, **options):
    return lambda i, d, seed: kind(i, d, np.random.default_rng(seed), **options)


POLICIES: dict[str, Callable] = {
    "reference: round robin 10 then best": theirs(reference.RoundRobin),
    "reference: independent Thompson": theirs(reference.ArmTS),
    "reference: discrete TPE": theirs(reference.TPE),
    "reference: factored, unguarded": theirs(reference.FactoredTS, temp=0.5),
    "ours: factored, unguarded": Bare,
    "ours: tpe": lambda i, d, s: Sidecar(i, d, s, TPE),
    "ours: factored, guarded": Sidecar,
}


def world(seed, args):
    """The success rate of every cell."""
    shape = tuple(map(int, args.grid.split("x")))
    kind, _, size = args.world.partition(":")
    if kind == "good":
        return reference.world(seed, *shape, args.salt, args.inter)
    luck = random.Random(f"{args.salt}|{kind}|{seed}")
    rates = np.full(shape, luck.uniform(0.45, 0.6))
    if kind == "flat":
        rates -= float(size)
        rates[0, 0] += float(size)
    if kind == "worse":
        harm = [np.array([0.0] + [abs(luck.gauss(0, 0.35)) for _ in range(k - 1)]) for k in shape]
        rates = 1 / (1 + np.exp(harm[0][:, None] + harm[1] - luck.uniform(-0.2, 0.4)))
    return rates


def run(job):
    """What one policy did in one world, by the column's name."""
    name, seed, args = job
    rates = world(seed, args)
    luck = random.Random(f"{args.salt}{seed}")
    policy = POLICIES[name](*rates.shape, seed)
    served, worse = [], 0
    for _ in range(args.T):
        cell = policy.ask()
        rate = rates[cell[0], cell[1]]
        served.append(rate)
        policy.tell(tuple(cell), 1.0 if luck.random() < rate else 0.0)
        if isinstance(policy, Sidecar):
            worse += rates[policy.policy.cells[policy.policy.incumbent]] < rates[0, 0]
    gain = np.array(served) - rates[0, 0]
    deficit = np.maximum(0.0, -np.cumsum(gain))
    allowed = GRID_OPTIONS.risk * np.arange(1, args.T + 1) + GRID_OPTIONS.risk_slack
    row = {
        "gain": gain.mean(),
        "tail": gain[-args.T // 5 :].mean(),
        "deficit": deficit.max(),
        "of allowed": (deficit / allowed).max(),
        "worse": worse / args.T,
    }
    return row | (guarded(policy, rates, args.T) if isinstance(policy, Sidecar) else {})


def guarded(policy, rates, steps):
    """What the roles did: proofs, those of cells that are not better, and what it took."""
    proven = [(tick, cell) for tick, kind, cell in policy.moves if kind == "certified"]
    return {
        "certified": len(proven),
        "false": any(rates[cell] <= rates[0, 0] for _, cell in proven),
        "first": proven[0][0] if proven else steps,
        "candidates": len(policy.policy.cells) - 1,
        "baseline": policy.policy.arms[BASELINE].n / steps,
        "refresh": statistics.median(policy.times),
        "slow": sorted(policy.times)[int(0.99 * len(policy.times))],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=30)
    parser.add_argument("--T", type=int, default=1000)
    parser.add_argument("--grid", default="8x6")
    parser.add_argument("--world", default="good")
    parser.add_argument("--salt", default="bench")
    parser.add_argument("--inter", type=float, default=0.15)
    parser.add_argument("--only", default="", help="run the policies whose name has this in it")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    print("| policy | gain (pp) | last 20% | worst deficit: mean, max (successes) "
          "| of what the risk allows then: mean, max | time under a worse incumbent "
          "| certified a run (runs with a false one) | first | candidates | baseline's share "
          "| refresh: median, p99 (ms of CPU) |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    with ProcessPoolExecutor(args.jobs) as pool:
        for name in POLICIES:
            if args.only not in name:
                continue
            rows = list(pool.map(run, [(name, seed, args) for seed in range(args.worlds)]))
            print(line(name, rows))
            sys.stdout.flush()


def line(name, rows):
    def mean(key):
        return statistics.mean(row[key] for row in rows)

    error = statistics.stdev(row["gain"] for row in rows) / len(rows) ** 0.5
    out = (
        f"| {name} | {100 * mean('gain'):+.1f} ± {100 * error:.1f} | {100 * mean('tail'):+.1f} "
        f"| {mean('deficit'):.1f}, {max(row['deficit'] for row in rows):.0f} "
        f"| {mean('of allowed'):.2f}, {max(row['of allowed'] for row in rows):.2f} |"
    )
    if "first" in rows[0]:
        out += (
            f" {mean('worse'):.1%} | {mean('certified'):.1f} ({sum(row['false'] for row in rows)}) "
            f"| {statistics.median(row['first'] for row in rows):.0f} | {mean('candidates'):.0f} "
            f"| {mean('baseline'):.0%} | {1000 * mean('refresh'):.1f}, {1000 * mean('slow'):.1f} |"
        )
    return out


if __name__ == "__main__":
    main()
