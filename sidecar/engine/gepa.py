"""When to propose, and from whom: GEPA moved on line.

GEPA (Agrawal et al., arXiv 2507.19457) picks parents from the Pareto front over examples. On line
an input is seen once, so the front's keys are clusters of inputs. The parent is mostly the highest
posterior mean, certified or not, as long as it is probably better than the incumbent: a child is
tested against the baseline whatever its parent, but a line of lucky parents drifts away.
"""

import random
from collections.abc import Sequence
from typing import Protocol, TypeVar

from gepa.gepa_utils import select_program_candidate_from_pareto_front

from sidecar.engine.policy import Policy

GREEDY = 0.9
PARENT_REWARDS = 15
_FRONT_REWARDS = 30
_SHRINK = 10
_FAILURES = 10
_SUCCESSES = 2
_FAILURE = 0.5
_TOLD = 3
_UNTOLD = 5
_NEAR_BEST = 0.01


def parent(policy: Policy, now: int, rng: random.Random) -> str:
    """The candidate whose text the next proposal starts from."""
    live = [
        c
        for c in [*policy.challengers, *policy.certified]
        if c != policy.incumbent and policy.arms[c].n >= PARENT_REWARDS
    ]
    if rng.random() >= GREEDY:
        return _pareto(policy, live, now, rng)
    beliefs = {c: policy.belief(c, policy.incumbent, now) for c in live}
    least = policy.options.parent_probability
    means = [(b.mean, c) for c, b in beliefs.items() if b.probability >= least]
    return max([*means, (0.0, policy.incumbent)])[1]


def _pareto(policy: Policy, live: list[str], now: int, rng: random.Random) -> str:
    """One of the candidates that are best on some cluster, by how many clusters they win."""
    pool = [policy.incumbent] + [
        c
        for c in live
        if policy.arms[c].n >= _FRONT_REWARDS
        and policy.belief(c, policy.incumbent, now).probability > 0.5  # noqa: PLR2004
    ]
    if len(pool) == 1:
        return policy.incumbent
    front = {
        cluster: winners(policy, pool, cluster)
        for cluster in policy.arms[policy.incumbent].clusters
    }
    scores = [policy.arms[c].mean for c in pool]
    if not front:
        return policy.incumbent
    chosen: int = select_program_candidate_from_pareto_front(front, scores, rng)
    return pool[chosen]


def winners(policy: Policy, pool: list[str], cluster: str) -> set[int]:
    """Indexes of the candidates whose mean on a cluster, shrunk to their overall mean with ten
    pseudo-rewards, is within a hundredth of the best."""
    shrunk = []
    for c in pool:
        arm = policy.arms[c]
        n, total = arm.clusters.get(cluster, (0, 0.0))
        shrunk.append((total + _SHRINK * arm.mean) / (n + _SHRINK))
    return {i for i, mean in enumerate(shrunk) if mean >= max(shrunk) - _NEAR_BEST}


def due(policy: Policy, *, rewards: int, told: int, needed: int, now: int) -> bool:
    """Whether it is time for a proposal.

    `rewards` have been counted since the last one and `needed` must have been; `told` failures of
    the parent came with a user's words. Without enough of those it takes more rewards, because a
    rewrite that nobody asked for is mostly a guess. A full bench waits until its weakest member has
    had its chance.
    """
    if rewards < needed:
        return False
    if policy.bench_full and (
        rewards < policy.options.evict_after or policy.evictable(now) is None
    ):
        return False
    return told >= _TOLD or rewards >= _UNTOLD * needed


class Example(Protocol):
    """A rewarded rollout, as far as choosing goes."""

    @property
    def rollout_id(self) -> str:
        """Which rollout."""

    @property
    def value(self) -> float:
        """Its reward."""

    @property
    def cluster(self) -> str:
        """Its kind of input."""

    @property
    def said(self) -> bool:
        """Whether a user wrote something."""


E = TypeVar("E", bound=Example)


def examples(rewarded: Sequence[E]) -> list[E]:
    """What reflection is shown of a candidate's rollouts (oldest first): up to ten failures,
    those with the user's own words first and the newest before the older, then up to two successes
    of the same clusters, so that there is something to contrast with."""
    latest = {r.rollout_id: r for r in rewarded}
    newest = list(reversed(latest.values()))
    failures = [r for r in newest if r.value < _FAILURE]
    chosen = sorted(failures, key=lambda r: not r.said)[:_FAILURES]
    clusters = {r.cluster for r in chosen}
    good = [r for r in newest if r.value >= _FAILURE and (r.cluster in clusters or not clusters)]
    return chosen + good[:_SUCCESSES]
