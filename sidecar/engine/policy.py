"""Who serves: certified Thompson allocation, from the first canary to the rollback.

Roles: the `baseline` (the customer's prompt, never retired, always a control), certified candidates
(one of them the incumbent), challengers (not proven yet), retired. The policy is a pure state
machine: it is told of candidates and rewards, and returns the moves it made. Ticks (assignments so
far) are its only clock. Design and measurements: engine.md, section 4.
"""

from collections import deque
from dataclasses import dataclass, field

from sidecar.core.ids import BASELINE
from sidecar.engine.allocation import Contender, hope, shares
from sidecar.engine.arm import Arm
from sidecar.engine.evidence import Trial, level
from sidecar.engine.options import Options
from sidecar.engine.posterior import Difference, difference
from sidecar.engine.stats import expected_gain
from sidecar.engine.watch import Watch

_DELAYS = 400
_VERIFY_COOL = 2500
_RIVAL_REWARDS = 40
_RISK_LEAST = 0.1


@dataclass(frozen=True, slots=True)
class Move:
    """Something the policy did: shown to people, counted in metrics."""

    kind: str
    """certified | awaiting | promoted | retired | rolled_back."""
    candidate_id: str
    detail: dict[str, float | str]
    """The evidence for it."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One reward of one rollout. A correction of an earlier one carries what it replaces."""

    candidate_id: str
    rollout_id: str
    tick: int
    """When the rollout was assigned."""
    now: int
    """The session's tick when the reward arrived."""
    value: float | None
    """None takes the rollout's earlier reward back."""
    replaces: float | None = None
    cluster: str = ""
    random: bool = True
    """Whether the candidate was drawn from the table: only then is the reward evidence."""
    again: bool = False
    """Whether it was counted before and held back since: the proof may have had it already."""


@dataclass(slots=True)
class Policy:
    """State of the allocation of one session."""

    options: Options = field(default_factory=Options)
    manual: bool = False
    """Whether a proven challenger waits for a person's approval."""
    awaiting: list[str] = field(default_factory=list)
    """Challengers that do."""
    arms: dict[str, Arm] = field(default_factory=lambda: {BASELINE: Arm(BASELINE, None, 0)})
    challengers: list[str] = field(default_factory=list)
    certified: list[str] = field(default_factory=list)
    """Without the baseline; the incumbent is one of them unless it is the baseline."""
    incumbent: str = BASELINE
    leads: dict[str, float] = field(default_factory=lambda: {BASELINE: 0.0})
    """Certified leads over the baseline."""
    trials: dict[str, Trial] = field(default_factory=dict)
    watch: Watch = field(default_factory=Watch)
    delays: deque[int] = field(default_factory=lambda: deque(maxlen=_DELAYS))
    maturity: int = 0
    seen: int = 0
    """Rewards counted."""
    stale: int = 0
    """Rewards since the last refresh."""
    tests: int = 0
    """Error budgets handed out."""
    lost: float = 0.0
    """Reward given up to candidates that have left, net of what others gained."""
    vain: int = 0
    """Rewards that candidates took which left unproven, since the last proof."""
    verify_until: int = -1
    cool_until: int = 0
    weights: dict[str, float] = field(default_factory=lambda: {BASELINE: 1.0})
    """The shares now."""
    barred: set[str] = field(default_factory=set)
    """Who may not become the incumbent, whatever the rewards say …"""
    shielded: set[str] = field(default_factory=set)
    """… and who may not be thrown out for being worse than another."""

    # -- what it is told ------------------------------------------------------------------------

    def admit(
        self, candidate_id: str, parent_id: str | None, now: int, *, frozen: bool = False
    ) -> list[Move]:
        """A new candidate begins its trial; the weakest challenger leaves if the bench is full.
        `frozen`: the shares stay as they are until the next refresh."""
        moves = []
        if self.bench_full:
            weakest = self.evictable(now) or self._hopes(now)[0][0]
            self.challengers.remove(weakest)
            moves.append(self._retire(weakest, now, "crowded out by a new candidate"))
        self.arms[candidate_id] = Arm(candidate_id, parent_id, now)
        self.trials[candidate_id] = Trial()
        self.challengers.append(candidate_id)
        return moves if frozen else moves + self.refresh(now)

    def observe(self, seen: Observation) -> None:
        """Count a reward. When `due`, the caller refreshes (or does not, while paused)."""
        arm = self.arms[seen.candidate_id]
        bucket = seen.tick // self.options.bucket if seen.random else None
        untested = seen.replaces is None or arm.waiting.pop(seen.rollout_id, None) is not None
        untested = untested and not seen.again
        if seen.replaces is not None:
            arm.add(seen.replaces, bucket, seen.cluster, sign=-1)
        if seen.value is None:
            return
        arm.add(seen.value, bucket, seen.cluster)
        if seen.random and untested and not arm.retired:
            # A reward that has been tested already changes the belief, no longer the proof.
            arm.waiting[seen.rollout_id] = (seen.tick, seen.value)
        if seen.replaces is None and not seen.again:
            self._first(arm, seen.value, max(0, seen.now - seen.tick))

    def _first(self, arm: Arm, value: float, delay: int) -> None:
        self.delays.append(delay)
        self.seen += 1
        self.stale += 1
        if arm.candidate_id == self.incumbent:
            self.watch.saw(value)

    @property
    def due(self) -> bool:
        """Whether enough rewards have come for a refresh."""
        return self.stale >= self.options.refresh_every

    # -- what it decides ------------------------------------------------------------------------

    def refresh(self, now: int) -> list[Move]:
        """Weigh matured evidence, move candidates between roles, share the traffic anew."""
        self.stale = 0
        if len(self.delays) >= self.options.refresh_every:
            ordered = sorted(self.delays)
            self.maturity = ordered[int(self.options.maturity * (len(ordered) - 1))]
        ready = {
            arm.candidate_id: arm.mature(now - self.maturity)
            for arm in self.arms.values()
            if not arm.retired
        }
        moves: list[Move] = []
        if self._incumbent_fails(ready, now):
            return [self.roll_back(now, "worse than the baseline")]
        for candidate in [*self.challengers, *self.certified]:
            if candidate != self.incumbent and not self.arms[candidate].retired:
                moves += self._review(candidate, ready, now)
        moves += self._thin_certified(now)
        self.share(now)
        return moves

    def _incumbent_fails(self, ready: dict[str, list[tuple[int, float]]], now: int) -> bool:
        """Test the incumbent against the living control; True when it must go."""
        if self.incumbent == BASELINE:
            return False
        losses = self.watch.trial.gather(ready[BASELINE], ready[self.incumbent])
        for x in losses:
            self.watch.detector.update(x)
        self._weigh(self.incumbent, [-x for x in losses], 0.0)
        if self.watch.detector.value >= self.options.alarm:
            return True
        if now > self.cool_until and self.watch.fell(self.arms[self.incumbent].variance):
            self.verify_until = now + self.options.verify_for
            self.cool_until = now + _VERIFY_COOL
        return False

    def _review(
        self, candidate: str, ready: dict[str, list[tuple[int, float]]], now: int
    ) -> list[Move]:
        """Weigh one candidate's new evidence: certify, promote or retire it."""
        trial, arm = self.trials[candidate], self.arms[candidate]
        lead = None
        if trial.opened is None:
            self._nominate(candidate, now)
        else:
            # Only what was assigned after the nomination: the nomination has seen the rest.
            mine, control = (
                [x for x in ready.get(c, []) if x[0] >= trial.opened]
                for c in (candidate, self.incumbent)
            )
            found = trial.gather(mine, control)
            lead = self._weigh(candidate, found, self.leads[self.incumbent])
        belief = self.belief(candidate, self.incumbent, now)
        moves: list[Move] = []
        if candidate in self.challengers:
            if lead is not None and self.manual:
                if candidate not in self.awaiting:
                    self.awaiting.append(candidate)
                    moves.append(Move("awaiting", candidate, self._evidence(candidate, belief)))
            elif lead is not None:
                moves.append(self._certify(candidate, belief))
            elif candidate not in self.shielded and (
                why := self._hopeless(belief, arm) or self._outclassed(candidate, now)
            ):
                self.challengers.remove(candidate)
                return [self._retire(candidate, now, why)]
        if (
            candidate in self.certified
            and candidate not in self.barred
            and belief.probability >= self.options.swap_probability
            and belief.n >= self.options.swap_rewards
        ):
            moves.append(self._promote(candidate, belief))
        return moves

    def _certify(self, candidate: str, belief: Difference) -> Move:
        self.challengers.remove(candidate)
        self.certified.append(candidate)
        self.leads.setdefault(candidate, 0.0)
        self.vain = 0
        return Move("certified", candidate, self._evidence(candidate, belief))

    def _hopeless(self, belief: Difference, arm: Arm) -> str:
        """Why a challenger should leave; empty if it should not."""
        n, p = belief.n, belief.probability
        if (n >= 10 and p < 0.03) or (n >= 40 and p < 0.10):  # noqa: PLR2004 - engine.md 4.5
            return "probably worse than the incumbent"
        if n >= 150 and belief.mean + belief.sd < 0.01:  # noqa: PLR2004 - engine.md 4.5
            return "not enough better to matter"
        if arm.n >= self.options.rewards_max:
            return "not proven in time"
        if arm.n >= self.options.prune_rewards and arm.mean < self.options.prune_below:
            return "below the prune threshold"
        return ""

    def _outclassed(self, candidate: str, now: int) -> str:
        """Why a challenger should leave to a better one that is not proven either."""
        for rival in self.challengers:
            if rival == candidate or self.arms[rival].n < _RIVAL_REWARDS:
                continue
            belief = self.belief(candidate, rival, now)
            if (
                belief.n >= self.options.rival_rewards
                and belief.probability < self.options.rival_probability
            ):
                return "probably worse than another challenger"
        return ""

    def _weigh(self, candidate: str, differences: list[float], lead: float) -> float | None:
        """Bet on comparisons and keep the certified lead; the lead, None if not certified."""
        trial = self.trials[candidate]
        trial.weigh(differences, lead)
        proven = trial.lead(self.arms[candidate].level)
        if proven is not None:
            self.leads[candidate] = proven
        return proven

    def _promote(self, candidate: str, belief: Difference) -> Move:
        evidence = self._evidence(candidate, belief)
        evidence["replaces"] = self.incumbent
        self.incumbent = candidate
        self.watch = Watch()
        for trial in self.trials.values():
            trial.control = []
        return Move("promoted", candidate, evidence)

    def _evidence(self, candidate: str, belief: Difference) -> dict[str, float | str]:
        trial, arm = self.trials[candidate], self.arms[candidate]
        return {
            "e_value": round(trial.tests[0].peak, 2),
            "threshold": round(1 / arm.level, 1) if arm.level else 0.0,
            "comparisons": trial.comparisons,
            "rewards": arm.n,
            "mean": round(arm.mean, 4),
            "proven_lead": self.leads.get(candidate, 0.0),
            "probability_better": round(belief.probability, 4),
            "difference": round(belief.mean, 4),
        }

    def _retire(self, candidate: str, now: int, why: str) -> Move:
        arm = self.arms[candidate]
        self.lost += self._loss(candidate, now)
        if candidate not in self.leads:
            self.vain += arm.n
        arm.retire(why)
        self.trials.pop(candidate, None)
        self.leads.pop(candidate, None)
        self.awaiting = [c for c in self.awaiting if c != candidate]
        return Move(
            "retired", candidate, {"why": why, "rewards": arm.n, "mean": round(arm.mean, 4)}
        )

    def approve(self, candidate: str, now: int) -> list[Move]:
        """A person lets a proven candidate serve: it becomes the incumbent."""
        if candidate not in self.awaiting:
            return []
        self.awaiting.remove(candidate)
        belief = self.belief(candidate, self.incumbent, now)
        moves = [self._certify(candidate, belief), self._promote(candidate, belief)]
        moves += self._thin_certified(now)
        self.share(now)
        return moves

    def dismiss(self, candidate: str, now: int) -> list[Move]:
        """A person does not want it tried any more. The incumbent stays; that is rolled back."""
        for role in (self.challengers, self.certified):
            if candidate in role and candidate != self.incumbent:
                role.remove(candidate)
                move = self._retire(candidate, now, "retired by hand")
                self.share(now)
                return [move]
        return []

    def _thin_certified(self, now: int) -> list[Move]:
        if len(self.certified) <= self.options.certified:
            return []
        others = [c for c in self.certified if c != self.incumbent]
        weakest = min(others, key=lambda c: self.belief(c, self.incumbent, now).mean)
        self.certified.remove(weakest)
        return [self._retire(weakest, now, "weakest of the certified")]

    def roll_back(self, now: int, why: str) -> Move:
        """Return to the baseline. Evidence from before is void: other certified candidates become
        challengers again, as many as there is room for; every trial starts anew."""
        failed = self.incumbent
        evidence: dict[str, float | str] = {
            "why": why,
            "detector": round(self.watch.detector.value, 1),
            "mean": round(self.arms[failed].mean, 4),
        }
        others = [c for c in self.certified if c != failed]
        room = max(0, self.options.challengers - len(self.challengers))
        for candidate in [failed, *others[room:]]:
            if candidate != BASELINE:
                self._retire(
                    candidate, now, why if candidate == failed else "not proven after a change"
                )
        self.challengers += others[:room]
        self.certified, self.awaiting = [], []
        for candidate in self.challengers:
            self.trials[candidate] = Trial()
            self.arms[candidate].level = 0.0
            self.arms[candidate].buckets = {}
        self.leads = {BASELINE: 0.0}
        self.vain = 0
        self.incumbent = BASELINE
        self.watch = Watch()
        self.verify_until = -1
        self.share(now)
        return Move("rolled_back", failed, evidence)

    def _nominate(self, candidate: str, now: int) -> None:
        """Begin the test of a candidate that looks better than the baseline.

        Each test takes its part of the error budget, so only promising candidates get one: what the
        first rewards cost in evidence, the larger part gives back many times over.
        """
        belief = self.belief(candidate, BASELINE, now)
        if (
            belief.n >= self.options.nominate_rewards
            and belief.probability >= self.options.nominate_probability
        ):
            self.tests += 1
            self.arms[candidate].level = level(self.tests, self.options.delta)
            self.trials[candidate] = Trial(opened=now)

    # -- what it knows --------------------------------------------------------------------------

    def belief(self, one: str, other: str, now: int) -> Difference:
        """The belief about candidate `one` minus candidate `other`."""
        rate = self.seen / (now + 1)
        return difference(
            self.arms[one], self.arms[other], now=now, rate=rate, options=self.options
        )

    @property
    def live(self) -> list[str]:
        """Who is served beside the baseline."""
        return [*self.challengers, *self.certified]

    @property
    def bench_full(self) -> bool:
        """Whether a new candidate needs another one to leave: those under test have seats of their
        own, so that a long test does not hold up the next idea."""
        tested = sum(self.trials[c].opened is not None for c in self.challengers)
        reserved = min(tested, self.options.tested)
        return len(self.challengers) - reserved >= self.options.challengers

    def evictable(self, now: int) -> str | None:
        """The challenger that would make room for a new candidate: the one from which least is to
        be gained, once that is clearly less than from an untried one."""
        hopes = self._hopes(now)
        fresh = expected_gain(self.options.prior_mean, self.options.prior_sd)
        return next(
            (
                c
                for c, hope in hopes
                if self.arms[c].n >= self.options.evict_rewards
                and hope < self.options.evict_hope * fresh
            ),
            None,
        )

    def _hopes(self, now: int) -> list[tuple[str, float]]:
        """Expected improvement of each challenger over the leader, the least first."""
        leader = self._leader(now)
        beliefs = {c: self.belief(c, leader, now) for c in self.challengers if c != leader}
        hopes = {c: expected_gain(b.mean, b.sd) for c, b in beliefs.items()}
        return sorted(hopes.items(), key=lambda item: item[1])

    def _leader(self, now: int) -> str:
        """The candidate that looks best among those that are well known."""
        known = [
            c
            for c in [*self.certified, *self.challengers]
            if c != self.incumbent and self.arms[c].n >= _RIVAL_REWARDS
        ]
        means = [(self.belief(c, self.incumbent, now).mean, c) for c in known]
        return max([*means, (0.0, self.incumbent)])[1]

    def share(self, now: int) -> None:
        """Share the traffic by what is known."""
        contenders = [
            Contender(c, self.belief(c, self.incumbent, now), c in self.certified, self.arms[c].n)
            for c in [*self.certified, *self.challengers]
            if c != self.incumbent
        ]
        lead = self.belief(self.incumbent, BASELINE, now)
        self.weights = shares(
            self.incumbent,
            lead,
            contenders,
            self.options,
            control=self._control(now),
            risk=self.options.risk * self._risk_left(now),
            left=hope(self.vain, self.options),
        )

    def _risk_left(self, now: int) -> float:
        """How much of the risk a call may still take: all of it while the losses so far are well
        within what `risk` has earned, a tenth when it is used up.

        The dial alone bounds what is expected to be lost; this bounds what was, whatever stream of
        proposals proves the expectation wrong.
        """
        allowed = self.options.risk * self.seen + self.options.risk_slack
        left = (allowed - self.spent(now)) / (0.5 * allowed) if allowed > 0 else 0.0
        return min(1.0, max(_RISK_LEAST, left))

    def spent(self, now: int) -> float:
        """Reward given up so far against always serving the baseline; negative is a gain. As it
        was observed, because a belief that is shrunk to the prior makes light of losses."""
        live = [*self.certified, *self.challengers]
        return self.lost + sum(self._loss(c, now) for c in live)

    def _loss(self, candidate: str, now: int) -> float:
        return -self.arms[candidate].n * self.belief(candidate, BASELINE, now).observed

    def _control(self, now: int) -> float:
        if now < self.verify_until:
            return self.options.control_verify
        if self.watch.detector.value > self.options.alert:
            return self.options.control_alert
        return self.options.control

    def best(self, now: int) -> str:
        """The candidate with the highest posterior mean among those with enough rewards."""
        known = [
            c
            for c in {self.incumbent, BASELINE, *self.certified, *self.challengers}
            if self.arms[c].n >= self.options.best_rewards
        ]
        return max(
            sorted(known), key=lambda c: self.belief(c, BASELINE, now).mean, default=BASELINE
        )
