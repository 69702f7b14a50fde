"""What is promised of the calls of a cell, and whether it was kept."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.faults.calls import PATIENCE, Seen

BUDGET = 0.150
"""Seconds that something of ours may cost a call when it fails."""


@dataclass(frozen=True)
class Usual:
    """How long a call takes when nothing is wrong, seconds."""

    median: float
    noise: float
    """What the slowest of them took longer: the machine's doing."""

    @staticmethod
    def of(calls: Sequence[Seen]) -> "Usual":
        """From calls without a fault."""
        took = [one.seconds for one in calls]
        return Usual(statistics.median(took), max(took) - statistics.median(took))


@dataclass(frozen=True)
class Measured:
    """The calls of one cell."""

    first: Sequence[Seen]
    """Four at once, the moment that the fault is there."""
    then: Sequence[Seen]
    usual: "Usual"

    @property
    def calls(self) -> list[Seen]:
        """All of them."""
        return [*self.first, *self.then]

    def added(self, calls: Sequence[Seen]) -> list[float]:
        """Seconds that they took longer than usual, in order of size."""
        return sorted(max(0.0, one.seconds - self.usual.median) for one in calls)


class Promise(Protocol):
    """`words` say it; `broken` says why it was not kept, and nothing if it was."""

    @property
    def words(self) -> str: ...

    def broken(self, measured: Measured) -> str: ...


@dataclass(frozen=True)
class InBudget:
    """Calls are answered, and wait for what fails no longer than the budget; those that were the
    first to meet it for `first` seconds instead, if that is not zero."""

    first: float = 0.0

    @property
    def words(self) -> str:
        budget = f"{BUDGET * 1000:.0f} ms"
        return f"{self.first:.0f} s, then {budget}" if self.first else budget

    def broken(self, measured: Measured) -> str:
        unanswered = _unanswered(measured)
        first, then = measured.added(measured.first)[-1], measured.added(measured.then)[-1]
        noise = measured.usual.noise
        late = first > (self.first or BUDGET) + noise or then > BUDGET + noise
        return unanswered or ("too late" if late else "")


@dataclass(frozen=True)
class WaitedFor:
    """Slow is not wrong: calls are answered by whoever is slow."""

    words: str = "waited for"

    def broken(self, measured: Measured) -> str:
        elsewhere = any(one.reason for one in measured.calls)
        return _unanswered(measured) or ("not waited for" if elsewhere else "")


@dataclass(frozen=True)
class Told:
    """The client is told, in this way, within so many seconds."""

    what: str
    within: float = 1.0

    @property
    def words(self) -> str:
        return f"told, in {self.within:.0f} s"

    def broken(self, measured: Measured) -> str:
        for one in measured.calls:
            if one.what != self.what:
                return f"saw {one.what}"
            if one.seconds > self.within:
                return "too late"
        return ""


def _unanswered(measured: Measured) -> str:
    if any(one.seconds >= PATIENCE for one in measured.calls):
        return "a call hangs"
    return "" if all(one.ok for one in measured.calls) else "a call was lost"
