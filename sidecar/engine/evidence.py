"""Proof, as opposed to belief, that a candidate is better than the baseline.

One test per candidate. Each comparison pairs matured rewards of the candidate with control rewards
assigned around the same time. A test begins when its candidate looks promising, and uses only what
is assigned after that. When the control is a certified incumbent, its own certified lead over the
baseline is added, so the hypothesis stays "not better than the baseline" and evidence survives a
change of incumbent. The session's error budget `delta` is spread over its tests (`level`), so the
probability of any mistake over its whole life is at most `delta`.
"""

from dataclasses import dataclass, field

from sidecar.engine.stats import EProcess

LEADS = (0.0, 0.02, 0.04, 0.06, 0.08, 0.10, 0.13, 0.16, 0.20, 0.25)
"""Leads over the baseline that are tested, each by its own e-process."""

Rewards = list[tuple[int, float]]
"""(tick of assignment, reward), as they matured."""


def level(index: int, delta: float) -> float:
    """The error budget of the session's `index`-th test (from 1); the sum over all is `delta`.

    The series 1/(k (k+1)) telescopes to 1 and falls slowly enough that late candidates can still
    be certified.
    """
    return delta / (index * (index + 1))


def pairs(test: Rewards, control: Rewards) -> list[float]:
    """Differences test - control: the scarcer side one by one, each with the mean of the other
    side's rewards around it. Empty when one side is."""
    if not test or not control:
        return []
    test, control = sorted(test), sorted(control)
    few, many, sign = (test, control, 1) if len(test) <= len(control) else (control, test, -1)
    per = len(many) / len(few)
    out = []
    for i, (_, value) in enumerate(few):
        block = many[int(i * per) : int((i + 1) * per)]
        out.append(sign * (value - sum(v for _, v in block) / len(block)))
    return out


@dataclass(slots=True)
class Trial:
    """The evidence for one candidate."""

    tests: list[EProcess] = field(default_factory=lambda: [EProcess(lead) for lead in LEADS])
    mine: Rewards = field(default_factory=list)
    control: Rewards = field(default_factory=list)
    comparisons: int = 0
    opened: int | None = None
    """Tick from which assignments count; None while the candidate is not nominated."""

    def gather(self, mine: Rewards, control: Rewards) -> list[float]:
        """Add matured rewards; the comparisons they make possible."""
        self.mine.extend(mine)
        self.control.extend(control)
        found = pairs(self.mine, self.control)
        if found:
            self.mine, self.control = [], []
        return found

    def weigh(self, differences: list[float], control_lead: float) -> None:
        """Bet on comparisons with a control that leads the baseline by `control_lead`."""
        for x in differences:
            shifted = max(-1.0, min(1.0, x + control_lead))
            for test in self.tests:
                test.update(shifted)
        self.comparisons += len(differences)

    def lead(self, level: float) -> float | None:
        """The largest lead over the baseline that is proven at this level; None if none is."""
        proven = None
        if level <= 0:
            return None
        for margin, test in zip(LEADS, self.tests, strict=True):
            if test.peak < 1 / level:
                break
            proven = margin
        return proven
