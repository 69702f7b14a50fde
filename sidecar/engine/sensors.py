"""What a session saw, in frames: the published API's sensors, kept from real state.

A frame holds as many rewarded rollouts as the policy waits for between refreshes, and which prompt
was in charge at its end (wire contract, section 8.3).
"""

from collections import deque
from dataclasses import dataclass, field

_KEPT = 50
KINDS = ("rollout", "reward")


@dataclass(frozen=True, slots=True)
class Frame:
    """One look at the traffic."""

    frame_id: str
    at: float
    """Unix seconds."""
    rollout_ids: tuple[str, ...]
    """The rollouts whose rewards came in, oldest first."""
    version: int
    """Of the lever: the candidate in charge, by its number (`levers.version`)."""


@dataclass(slots=True)
class Sensors:
    """The newest frames and the one that is open."""

    frames: deque[Frame] = field(default_factory=lambda: deque(maxlen=_KEPT))
    seen: list[str] = field(default_factory=list)
    """Rollouts of the open frame."""

    def saw(self, rollout_id: str) -> None:
        """A rollout was rewarded."""
        self.seen.append(rollout_id)

    def close(self, seq: int, at: float, version: int) -> None:
        """End the open frame."""
        self.frames.append(Frame(f"frame_{seq}", at, tuple(self.seen), version))
        self.seen = []
