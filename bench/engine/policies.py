"""The embedded engine's policy as a policy of the shared simulator.

Run from the simulator's folder:

    PYTHONPATH=<this repository>:<this folder> python run.py --policies policies:Sidecar,guarded
"""

import bisect
import random
from collections import deque

from sidecar.core.ids import BASELINE
from sidecar.engine import gepa
from sidecar.engine.options import Options
from sidecar.engine.policy import Observation, Policy


class Sidecar:
    name = "sidecar"
    options = Options()
    needed = 20

    def __init__(self, seed=0):
        self.policy = Policy(self.options)
        self.rng = random.Random(f"pol{seed}")
        self.hints = {BASELINE: deque(maxlen=24)}
        self.count = self.since = 0
        self.pending = False
        self.log = []
        self._table()

    def _table(self):
        total, self.ids, self.cumulative = 0.0, [], []
        for candidate, share in self.policy.weights.items():
            total += share
            self.ids.append(candidate)
            self.cumulative.append(total)
        self.cumulative[-1] = 1.0 + 1e-9

    @property
    def incumbent(self):
        return "base" if self.policy.incumbent == BASELINE else self.policy.incumbent

    def choose(self, u, t):
        chosen = self.ids[bisect.bisect_right(self.cumulative, u)]
        return ("base" if chosen == BASELINE else chosen), self.policy.weights[chosen]

    def add(self, cid, parent, t):
        self.pending = False
        self.hints[cid] = deque(maxlen=24)
        self._note(t, self.policy.admit(cid, BASELINE if parent == "base" else parent, t))

    def observe(self, cid, r, t_assign, t, prob, cluster, hint):
        cid = BASELINE if cid == "base" else cid
        self.count += 1
        self.since += 1
        if hint is not None:
            self.hints[cid].append(hint)
        seen = Observation(cid, str(self.count), t_assign, t, r, None, str(cluster))
        self.policy.observe(seen)
        if self.policy.due:
            self._note(t, self.policy.refresh(t))

    def _note(self, t, moves):
        self.log += [(t, move.kind, move.candidate_id) for move in moves]
        self._table()

    def propose(self, t):
        if self.pending or self.since < self.needed:
            return None
        parent = gepa.parent(self.policy, t, self.rng)
        hints = list(self.hints[parent])[-12:]
        if not gepa.due(
            self.policy, rewards=self.since, told=len(hints), needed=self.needed, now=t
        ):
            return None
        self.since = 0
        self.pending = True
        return ("mutate", "base" if parent == BASELINE else parent, hints)


class SidecarFixedAlpha(Sidecar):
    """Without spreading the error budget: every candidate at .05, for comparison."""

    name = "sidecar_fixed"

    def add(self, cid, parent, t):
        super().add(cid, parent, t)
        for arm in self.policy.arms.values():
            arm.level = 0.05
