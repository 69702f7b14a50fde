"""Whether the remote backend can be called: the breaker, what the watch found, and who waits.

Calls say how they went. The watch, which asks the backend now and then, says whether it is there at
all; when it is not, calls that are still waiting for the first byte of its answer are let go, for
nothing but their own patience would ever end them.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from sidecar.gateway.breaker import Breaker, State
from sidecar.telemetry.metrics import Metrics

log = structlog.get_logger()


class Reachability:
    """Of one remote backend."""

    def __init__(
        self,
        metrics: Metrics,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._breaker = breaker or Breaker()
        self._clock = clock
        self._gone = False
        self._reason = ""
        self._said = State.CLOSED
        self._waiting: set[asyncio.Timeout] = set()
        self._gauge = metrics.breaker
        self._show()

    def allows(self) -> bool:
        """Whether a call may go there. One that may ends in `succeeded`, `failed` or `gave_up`."""
        allowed = not self._gone and self._breaker.allows(self._clock())
        self._tell()
        return allowed

    def succeeded(self) -> None:
        """A call was answered."""
        self._breaker.succeeded()
        self._tell()

    def failed(self, reason: str) -> None:
        """A call was not answered, or with a failure of the backend's own."""
        self._reason = reason
        self._breaker.failed(self._clock())
        self._tell()

    def gave_up(self) -> None:
        """A call says nothing about the backend."""
        self._breaker.gave_up()

    def found(self, is_there: bool) -> None:
        """What the watch knows."""
        if not is_there:
            self._gone, self._reason = True, "gone"
            self._breaker.trip(self._clock())
            for patience in self._waiting:
                patience.reschedule(0)
        elif self._gone:
            self._gone = False
            self._breaker.cool()
        self._tell()

    @contextmanager
    def waiting(self, patience: asyncio.Timeout) -> Iterator[None]:
        """Wait for an answer's head: `patience` ends when the backend is found to be gone."""
        self._waiting.add(patience)
        try:
            yield
        finally:
            self._waiting.discard(patience)

    def describe(self) -> dict[str, str]:
        """For operators: the state, and what opened it."""
        state = self._breaker.state
        return {"breaker": state.value} | (
            {"reason": self._reason} if state is not State.CLOSED else {}
        )

    def _tell(self) -> None:
        """One line for each change, and never one for each call."""
        state = self._breaker.state
        if state is self._said:
            return
        self._said = state
        self._show()
        if state is State.OPEN:
            log.warning("backend_breaker", state=state.value, reason=self._reason)
        else:
            log.info("backend_breaker", state=state.value)

    def _show(self) -> None:
        for state in State:
            self._gauge.labels(state.value).set(state is self._said)
