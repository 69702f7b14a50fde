"""Whether to call a backend at all: closed, open, half open. Pure; times are seconds of any clock.

Two signals open it. A streak of failures means that it is down, and a few calls are enough to know.
A share of failures in a window means that it is half down, which a streak would never show; that
needs a least number of calls, or the first failure after a quiet night would be "all of them".

Open, nothing is tried until it has cooled down. Then one call at a time is let through to see, and
enough of them in a row close it again. There is always somewhere else to go, so opening too early
costs a little learning, and opening too late costs everybody's time.
"""

from collections import deque
from enum import StrEnum


class State(StrEnum):
    """What a breaker does with a call."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """One backend's breaker."""

    def __init__(
        self,
        *,
        streak: int = 5,
        window: int = 40,
        least: int = 20,
        share: float = 0.5,
        cooldown: float = 5.0,
        probes: int = 2,
    ) -> None:
        """Opens after `streak` failures in a row, or when `share` of the last `window` calls failed
        and there were at least `least`. Stays open for `cooldown` seconds; closes after `probes`
        successes in a row."""
        self._streak = streak
        self._least = least
        self._share = share
        self._cooldown = cooldown
        self._probes = probes
        self._recent: deque[bool] = deque(maxlen=window)
        self._in_a_row = 0
        self._until = 0.0
        self._probing = False
        self.state = State.CLOSED

    def allows(self, now: float) -> bool:
        """Whether a call may go. One that may says afterwards how it went."""
        if self.state is State.OPEN and now >= self._until:
            self._half_open()
        if self.state is State.CLOSED:
            return True
        if self.state is State.OPEN or self._probing:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """A call that was allowed went well."""
        if self.state is State.CLOSED:
            self._in_a_row = 0
            self._recent.append(True)
        elif self.state is State.HALF_OPEN:
            self._probing = False
            self._in_a_row += 1
            if self._in_a_row >= self._probes:
                self._close()

    def failed(self, now: float) -> None:
        """A call that was allowed failed."""
        if self.state is State.HALF_OPEN:
            self.trip(now)
        elif self.state is State.CLOSED:
            self._in_a_row += 1
            self._recent.append(False)
            failures = self._recent.count(False)
            many = len(self._recent) >= self._least
            if self._in_a_row >= self._streak or (
                many and failures >= self._share * len(self._recent)
            ):
                self.trip(now)

    def gave_up(self) -> None:
        """A call that was allowed says nothing about the backend: its client left, say."""
        self._probing = False

    def trip(self, now: float) -> None:
        """It is known to be down: open, from now."""
        self.state = State.OPEN
        self._until = now + self._cooldown
        self._probing = False
        self._in_a_row = 0

    def cool(self) -> None:
        """It is known to be back: try it, if it was open."""
        if self.state is State.OPEN:
            self._half_open()

    def _half_open(self) -> None:
        self.state = State.HALF_OPEN
        self._probing = False
        self._in_a_row = 0

    def _close(self) -> None:
        self.state = State.CLOSED
        self._in_a_row = 0
        self._recent.clear()
