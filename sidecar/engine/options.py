"""The engine's dials, with the reason for each default.

Measured in `../shared/bench/engine` worlds (engine.md, sections 4 and 5); the names below are the
keys that a session's config accepts under `safety`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """How bold a session is. Shares and probabilities are in [0, 1], rewards too."""

    risk: float = 0.015
    """Reward a call may give up against the baseline on average, spent on trying challengers."""
    risk_slack: float = 15.0
    """Rewards' worth of loss that is allowed at once, before `risk` has earned it."""
    delta: float = 0.02
    """Probability, over the session's whole life, of certifying a candidate that is not better
    than the baseline."""
    challengers: int = 3
    """Uncertified candidates tried side by side."""
    tested: int = 2
    """Challengers under test that do not count among those."""
    certified: int = 3
    """Certified candidates kept, the incumbent among them."""
    share_new: float = 0.10
    """A challenger's largest share until it has `rewards_new` rewards: the canary."""
    rewards_new: int = 8
    share_min: float = 0.03
    share_max: float = 0.60
    share_challengers: float = 0.80
    """Largest share of all challengers together."""
    share_unsure: float = 0.30
    """… as long as none of them looks better than the baseline."""
    trust_from: float = 0.8
    """Probability of being better from which that limit grows."""
    patience: float = 300.0
    """Rewards spent in vain, on candidates of which none was proven, that leave a quarter of that
    limit."""
    share_incumbent: float = 0.15
    """The incumbent's smallest share."""
    control: float = 0.05
    """The baseline's share while another prompt is the incumbent: the living control group."""
    control_alert: float = 0.15
    """… when the rollback detector is above `alert`."""
    control_verify: float = 0.30
    """… for `verify_for` assignments after the incumbent's own level fell."""
    alert: float = 8.0
    verify_for: int = 600
    alarm: float = 200.0
    """Detector value that rolls back: a false alarm in 200 comparisons or more on average."""
    disaster: float = 0.03
    """Prior probability that an edit breaks the prompt, until it has ten rewards."""
    prior_mean: float = -0.01
    prior_sd: float = 0.12
    """Prior of a candidate's difference to the incumbent."""
    parent_probability: float = 0.8
    """How probably a challenger must be better than the incumbent to become a parent."""
    half_life: float = 3000.0
    """Rewards after which an observation counts half."""
    bucket: int = 400
    """Assignments compared with each other: stratifies against drift of the level."""
    maturity: float = 0.9
    """Quantile of the reward delay that an assignment must have outlived to be tested, so that
    fast complaints and slow thanks weigh the same."""
    swap_probability: float = 0.85
    swap_rewards: int = 30
    """A certified candidate replaces the incumbent when it is better with this probability."""
    evict_hope: float = 0.3
    """A challenger makes room when its expected improvement is below this part of that of an
    untried candidate …"""
    evict_rewards: int = 15
    """… over this many rewards."""
    evict_after: int = 20
    """Rewards after which a full bench of challengers gives up its weakest."""
    refresh_every: int = 20
    """Rewards between recomputations of the allocation."""
    rival_rewards: int = 25
    rival_probability: float = 0.10
    """A challenger leaves to another one that is better with 1 - this probability, over this many
    of its own rewards; without it, look-alikes hold each other's seats until the first proof."""
    rewards_max: int = 3000
    """Rewards after which a challenger that is still not certified leaves."""
    nominate_probability: float = 0.85
    """A challenger is tested once it is better than the baseline with this probability …"""
    nominate_rewards: int = 15
    """… over this many rewards."""
    best_rewards: int = 10
    """Rewards a candidate needs before it may be called the best so far."""
    prune_below: float = 0.0
    """Average reward under which a challenger leaves (`online_prune_threshold`) …"""
    prune_rewards: int = 20
    """… once it has this many rewards (`online_prune_min_rollouts`)."""
