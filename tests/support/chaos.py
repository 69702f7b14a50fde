"""Three sidecars on one Redis server, a crowd that talks and complains, and somebody who kills,
freezes and restarts all of it."""

import asyncio
import contextlib
import itertools
import random
import signal
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from sidecar.simulation.provider import POLICY
from sidecar.simulation.world import BASELINE
from support.process import Nursery, Process, start
from support.redis_server import RedisServer

GONE = (aiohttp.ClientError, ConnectionError, TimeoutError)
PATIENCE = aiohttp.ClientTimeout(total=5)
EVENTS_A_TALK = 4
SESSION = "shop"


@dataclass
class Crowd:
    """Whoever calls and gives feedback, until so many events are acknowledged."""

    http: aiohttp.ClientSession
    chance: random.Random
    wanted: int
    """Events to have acknowledged."""
    urls: Callable[[], list[str]]
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Event id -> the event."""
    acknowledged: set[str] = field(default_factory=set)
    repeats: int = 0
    """Events that were told to be duplicates."""
    refused: int = 0
    """Posts without a 202: sent again elsewhere."""
    unanswered: int = 0
    """Calls that were cut off."""
    candidates: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Conversation -> the candidates that served it."""
    _numbers: Any = field(default_factory=itertools.count)

    async def talk(self) -> None:
        """One conversation after the other, with feedback early, late, repeated and reordered."""
        while len(self.sent) < self.wanted:
            name = f"talk-{next(self._numbers)}"
            events = [self._event(name, number) for number in range(EVENTS_A_TALK)]
            self.sent.update((event["event_id"], event) for event in events)
            self.chance.shuffle(events)
            early = self.chance.randrange(EVENTS_A_TALK) if self.chance.random() < 0.2 else 0
            if early:
                await self.tell(events[:early])
            await self._call(name)
            if self.chance.random() < 0.3:
                await self._call(name)
            await self.tell(events[early:])
            if self.chance.random() < 0.3:
                await self.tell(self.chance.sample(events, 2))

    async def tell(self, events: list[dict[str, Any]]) -> None:
        """Send events until somebody has acknowledged them."""
        while True:
            try:
                url = f"{self._somewhere()}/feedback"
                async with self.http.post(url, json=events, timeout=PATIENCE) as answer:
                    if answer.status == 202:
                        told = (await answer.json())["events"]
                        self.acknowledged.update(one["event_id"] for one in told)
                        self.repeats += sum(one["status"] == "duplicate" for one in told)
                        return
                    assert answer.status == 503, await answer.text()
            except GONE:
                pass
            self.refused += 1
            await asyncio.sleep(0.05)

    async def _call(self, name: str) -> None:
        """A call whose conversation gets a rollout; whoever is cut off calls again."""
        messages = [{"role": "system", "content": BASELINE}, {"role": "user", "content": name}]
        body = {"model": POLICY, "messages": messages}
        while True:
            try:
                url = f"{self._somewhere()}/v1/chat/completions"
                headers = {"x-correlation-id": name}
                post = self.http.post(url, json=body, headers=headers, timeout=PATIENCE)
                async with post as answer:
                    assert answer.status == 200, await answer.text()
                    await answer.read()
                    if "x-gepa-candidate-id" in answer.headers:
                        self.candidates[name].add(answer.headers["x-gepa-candidate-id"])
                        return
            except GONE:
                self.unanswered += 1
            await asyncio.sleep(0.02)

    def _event(self, name: str, number: int) -> dict[str, Any]:
        thumbs = self.chance.choice(("up", "down"))
        event = {"event_id": f"{name}-{number}", "correlation_id": name, "thumbs": thumbs}
        said = {"comment": "No word about my order."} if thumbs == "down" else {}
        return {**event, "actor": f"user-{number}", **said}

    def _somewhere(self) -> str:
        return self.chance.choice(self.urls() or ["http://127.0.0.1:9"])

    def rewards(self) -> dict[str, float]:
        """Conversation -> what it is worth."""
        scores: dict[str, list[float]] = defaultdict(list)
        for event in self.sent.values():
            scores[event["correlation_id"]].append(float(event["thumbs"] == "up"))
        return {name: sum(of) / len(of) for name, of in scores.items()}


@dataclass
class Fleet:
    """The sidecars and their server, and everything that happens to them."""

    folder: Path
    settings: dict[str, Any]
    server: RedisServer
    parent: Nursery
    chance: random.Random
    processes: list[Process | None] = field(default_factory=list)
    happened: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def urls(self) -> list[str]:
        """Where sidecars run, or seem to."""
        return [process.url for process in self.processes if process is not None]

    async def begin(self, count: int) -> None:
        self.processes = [await self._started() for _ in range(count)]

    async def hurt(self, pause: tuple[float, float]) -> None:
        """One mishap after the other, until cancelled; what is hurt comes back each time."""
        of_sidecars = [self.kill_sidecar, self.kill_sidecar, self.freeze_sidecar]
        mishaps = [*of_sidecars, self.kill_server, self.freeze_server]
        while True:
            await asyncio.sleep(self.chance.uniform(*pause))
            mishap = self.chance.choice(mishaps)
            self.happened[mishap.__name__] += 1
            await asyncio.shield(mishap())

    async def kill_sidecar(self) -> None:
        place = self.chance.randrange(len(self.processes))
        process, self.processes[place] = self.processes[place], None
        assert process is not None
        await process.kill()
        self.processes[place] = await self._started()

    async def freeze_sidecar(self) -> None:
        """For as long as its lease, or a moment."""
        process = self.chance.choice([p for p in self.processes if p is not None])
        process.signal(signal.SIGSTOP)
        await asyncio.sleep(self.chance.choice((0.3, 7.0)))
        process.signal(signal.SIGCONT)

    async def kill_server(self) -> None:
        await asyncio.to_thread(self.server.kill)
        await asyncio.sleep(self.chance.uniform(0.0, 1.0))
        await asyncio.to_thread(self.server.start)

    async def freeze_server(self) -> None:
        self.server.freeze()
        await asyncio.sleep(self.chance.choice((0.1, 0.5, 3.0)))
        self.server.thaw()

    def abandon(self) -> None:
        """Leave nothing behind, however the test has ended."""
        for process in self.processes:
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    process.signal(signal.SIGKILL)

    async def end(self) -> list[int]:
        """Drain all; their exit codes."""
        running = [process for process in self.processes if process is not None]
        for process in running:
            process.signal(signal.SIGTERM)
        codes = [await process.ended() for process in running]
        self.processes = []
        return codes

    async def _started(self) -> Process:
        return await start(self.folder, self.settings, self.parent)
