"""The watch over the incumbent: whether it has become worse than the baseline, or than itself."""

import math
from collections import deque
from dataclasses import dataclass, field

from sidecar.engine.evidence import Trial
from sidecar.engine.stats import EDetector

_RECENT = 200
_RECENT_MEMORY = 0.999
_RECENT_ENOUGH = 300
_LEVEL_FALL_SD = 2.6


@dataclass(slots=True)
class Watch:
    """The watch over the incumbent, against the living control group."""

    detector: EDetector = field(default_factory=EDetector)
    trial: Trial = field(default_factory=Trial)
    """Buffers only: baseline rewards against the incumbent's."""
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    memory_n: float = 0.0
    memory_sum: float = 0.0

    def saw(self, value: float) -> None:
        """Note a reward of the incumbent."""
        self.recent.append(value)
        self.memory_n = _RECENT_MEMORY * self.memory_n + 1
        self.memory_sum = _RECENT_MEMORY * self.memory_sum + value

    def fell(self, variance: float) -> bool:
        """Whether its recent rewards are far under its long mean."""
        if len(self.recent) < _RECENT or self.memory_n <= _RECENT_ENOUGH:
            return False
        drop = self.memory_sum / self.memory_n - sum(self.recent) / _RECENT
        return drop > _LEVEL_FALL_SD * math.sqrt(variance / _RECENT)
