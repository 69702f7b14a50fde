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
from sidecar.engine.stats import expected_shortfall, probability_best

_DISASTER_COST = 0.35
_DISASTER_REWARDS = 10


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
    control: float,
    options: Options,
) -> dict[str, float]:
    """Shares that sum to 1. `lead` is the belief incumbent - baseline; `control` is the baseline's
    share while it is not the incumbent."""
    best = probability_best(
        [(0.0, math.sqrt(1e-6)), *((c.belief.mean, c.belief.sd) for c in contenders)]
    )
    wanted = {
        c.candidate_id: _wanted(c, p, options) for c, p in zip(contenders, best[1:], strict=True)
    }
    trial = [c for c in contenders if not c.certified]
    scale = _scale(trial, wanted, lead if incumbent != BASELINE else None, options)
    for c in trial:
        wanted[c.candidate_id] *= scale
    rest = 1.0 - sum(wanted.values())
    if incumbent != BASELINE:
        wanted[BASELINE] = control
        rest -= control
    wanted[incumbent] = max(rest, options.share_incumbent)
    total = sum(wanted.values())
    return {candidate: share / total for candidate, share in wanted.items()}


def _wanted(contender: Contender, best: float, options: Options) -> float:
    share = 0.9 * best + 0.01
    if contender.certified:
        return share
    if contender.n < options.rewards_new:
        share = min(share, options.share_new)
    return min(max(share, options.share_min), options.share_max)


def _scale(
    trial: Sequence[Contender],
    wanted: Mapping[str, float],
    lead: Difference | None,
    options: Options,
) -> float:
    loss = total = 0.0
    for c in trial:
        share = wanted[c.candidate_id]
        mean, variance = c.belief.mean, c.belief.variance
        if lead is not None:
            mean, variance = mean + lead.mean, variance + lead.variance
        shortfall = expected_shortfall(mean, math.sqrt(variance))
        shortfall += options.disaster * _DISASTER_COST * max(0.0, 1 - c.n / _DISASTER_REWARDS)
        loss += share * shortfall
        total += share
    by_risk = options.risk / loss if loss > 0 else 1.0
    by_share = options.share_challengers / total if total > 0 else 1.0
    return min(1.0, by_risk, by_share)
