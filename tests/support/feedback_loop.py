"""The way back, assembled: intake, attribution, reporting; on a store, a backend and a clock of the
test's own."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from sidecar.core.feedback import FeedbackEvent, Kind
from sidecar.core.rollout import Assignment, Outcome, Turn
from sidecar.feedback.attribute import Attributor
from sidecar.feedback.intake import Intake
from sidecar.rewards.reporter import Reporter
from sidecar.settings import FeedbackSettings
from sidecar.store.base import Store
from sidecar.store.leadership import Leadership
from sidecar.store.memory import MemoryStore
from sidecar.telemetry.metrics import Metrics
from support.recording_backend import RecordingBackend

SESSION = "shop"


class Clock:
    """Time that passes when the test says so."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Loop:
    store: Store = field(default_factory=MemoryStore)
    backend: RecordingBackend = field(default_factory=lambda: RecordingBackend(SESSION))
    settings: FeedbackSettings = field(default_factory=FeedbackSettings)
    clock: Callable[[], float] = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        shared = {"leadership": Leadership(self.store, shared=False), "clock": self.clock}
        self.reporter = Reporter(self.store, self.backend, self.settings, self.metrics, **shared)
        self.attributor = Attributor(
            self.store, self.settings, self.metrics, self.reporter.notice, **shared
        )
        self.intake = Intake(
            self.store, self.attributor, self.settings, self.metrics, clock=self.clock
        )

    async def rollout(
        self,
        rollout_id: str,
        session_id: str = SESSION,
        completion_id: str | None = None,
        candidate_id: str = "cand_a",
    ) -> None:
        """A conversation that was served, with one settled turn if it has a completion id."""
        given = Assignment(session_id, rollout_id, candidate_id, 0.5, 1, 0, self.clock.now)
        assert await self.store.record_assignment(given)
        if completion_id is not None:
            turn_id = f"{session_id}/{rollout_id}/{completion_id}"
            self.store.record_turn(
                Turn(
                    turn_id, session_id, rollout_id, self.clock.now, 0.1, Outcome.DONE, 200,
                    completion_id, None,
                )
            )  # fmt: skip
            async with asyncio.timeout(5):
                while not await self.store.locate(completion_id=completion_id):  # noqa: ASYNC110
                    await asyncio.sleep(0)

    async def drain(self, passes: int = 40) -> None:
        """Sweep and deliver, letting an hour pass each time, so that nothing is left put off."""
        for _ in range(passes):
            await self.attributor.sweep(self.clock.now)
            await self.reporter.deliver_due()
            if not await self.store.due_rewards(float("inf"), 1):
                return
            self.clock.forward(60.0)

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    async def dead(self) -> list[str]:
        return [letter.rollout_id for letter in await self.store.dead_letters(1000)]


def event(event_id: str, rollout_id: str | None = "r1", **fields: object) -> FeedbackEvent:
    """A thumbs-up unless told otherwise."""
    given: dict[str, object] = {"source": "api", "kind": Kind.THUMBS, "received_at": 1.0}
    if "kind" not in fields:
        given["score"] = 1.0
    return FeedbackEvent(event_id=event_id, rollout_id=rollout_id, **(given | fields))  # type: ignore[arg-type]


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for something that happens on its own."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  anything may be waited for
            await asyncio.sleep(0.005)
