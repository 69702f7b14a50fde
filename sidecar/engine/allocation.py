"""How traffic is shared: Thompson shares under a risk budget.

Pure: beliefs in, shares out. Every share is a logged propensity. Thompson (1933) by quadrature; the
risk dial scales all uncertified candidates so that the expected reward given up against the
baseline, sum of share x E[(baseline - candidate)+], stays within the session's `risk`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sidecar.core.ids import BASELINE
from sidecar.engine.options import Options
from sidecar.engine.posterior import Difference
from sidecar.engine.stats import expected_shortfall, phi, probability_best

_DISASTER_COST = 0.35
_DISASTER_REWARDS = 10
_LEAST_HOPE = 0.3

Gain = tuple[float, float]
"""Mean and standard deviation of the belief about candidate - baseline."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A candidate that may get traffic, as the allocation sees it."""

    candidate_id: str
    belief: Difference
    """Against the incumbent."""
    certified: bool
    n: int
    """Rewards it has."""


def shares(
    incumbent: str,
    lead: Difference,
    contenders: Sequence[Contender],
    options: Options,
    *,
    control: float,
    risk: float,
    left: float,
) -> dict[str, float]:
    """Shares that sum to 1. `lead` is the belief incumbent - baseline; `control` is the baseline's
    share while it is not the incumbent; `risk` is what a call may give up now; `left` is the `hope`
    that is left."""
    wanted = thompson(contenders, options)
    trial = [c for c in contenders if not c.certified]
    gains = {c.candidate_id: _over_baseline(c, incumbent, lead) for c in trial}
    most = limit(gains, options, left)
    rewards = {c.candidate_id: c.n for c in trial}
    scale = _scale(wanted, gains, rewards, options, risk=risk, most=most)
    for c in trial:
        wanted[c.candidate_id] *= scale
    rest = 1.0 - sum(wanted.values())
    if incumbent != BASELINE:
        wanted[BASELINE] = control
        rest -= control
    wanted[incumbent] = max(rest, options.share_incumbent)
    total = sum(wanted.values())
    return {candidate: share / total for candidate, share in wanted.items()}


def thompson(contenders: Sequence[Contender], options: Options) -> dict[str, float]:
    """The share of each contender by its probability of being the best, before any guard."""
    best = probability_best(
        [(0.0, math.sqrt(1e-6)), *((c.belief.mean, c.belief.sd) for c in contenders)]
    )
    return {
        c.candidate_id: canary(c, 0.9 * p + 0.01, options)
        for c, p in zip(contenders, best[1:], strict=True)
    }


def canary(contender: Contender, share: float, options: Options) -> float:
    """A contender's share within the bounds of its role and of what is known of it."""
    if contender.certified:
        return share
    if contender.n < options.rewards_new:
        share = min(share, options.share_new)
    return min(max(share, options.share_min), options.share_max)


def _over_baseline(contender: Contender, incumbent: str, lead: Difference) -> Gain:
    mean, variance = contender.belief.mean, contender.belief.variance
    if incumbent != BASELINE:
        mean, variance = mean + lead.mean, variance + lead.variance
    return mean, math.sqrt(variance)


def _scale(
    wanted: Mapping[str, float],
    gains: Mapping[str, Gain],
    rewards: Mapping[str, int],
    options: Options,
    *,
    risk: float,
    most: float,
) -> float:
    """What all challengers' shares are multiplied with, to stay within risk and limit."""
    loss = total = 0.0
    for c, gain in gains.items():
        shortfall = expected_shortfall(*gain)
        shortfall += disaster(rewards[c], options)
        loss += wanted[c] * shortfall
        total += wanted[c]
    by_risk = risk / loss if loss > 0 else 1.0
    by_share = most / total if total > 0 else 1.0
    return min(1.0, by_risk, by_share)


def disaster(rewards: int, options: Options) -> float:
    """What is to be lost by an edit that breaks the prompt, after so many rewards."""
    return options.disaster * _DISASTER_COST * max(0.0, 1 - rewards / _DISASTER_REWARDS)


def hope(vain: float, options: Options) -> float:
    """What is left of the hope in the next candidate, in 0..1, after so many rewards were spent on
    candidates of which none was proven. Never nothing: the next one may be the first that
    matters."""
    return max(_LEAST_HOPE, 1 / (1 + vain / options.patience) ** 2)


def sober(probability: float, left: float) -> float:
    """A candidate's probability of being better when the odds of any were as much lower before it
    was tried: of many, the one that looks best is mostly lucky."""
    return left * probability / (left * probability + 1 - probability)


def limit(gains: Mapping[str, Gain], options: Options, left: float = 1.0) -> float:
    """The share of all challengers together, `left` being the hope that is left. It grows with the
    best one's probability of being better than the baseline: candidates that are merely not known
    to be worse must not crowd out the prompt that is known, least of all when the rewards say
    nothing about prompts."""
    surest = max((phi(mean / sd) for mean, sd in gains.values()), default=0.0)
    grown = (sober(surest, left) - options.trust_from) / (1 - options.trust_from)
    least, most = left * options.share_unsure, options.share_challengers
    grown = max(0.0, grown)
    return least + (most - least) * grown * grown
