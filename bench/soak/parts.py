"""The parts: sidecars on one Redis server, a provider, and fault proxies between all of them."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from support.fault_proxy import FaultProxy
from support.process import Nursery, nursery, start
from support.redis_server import RedisServer, running

from bench.soak.ledger import Life
from sidecar.simulation.provider import REFLECTION, SimulatedProvider
from sidecar.simulation.world import BASELINE, World

SESSION = "shop"
LATENCY = 0.03
"""Seconds that the provider takes."""
READ_TIMEOUT = 2.0
REMEMBERED = 500
"""Conversations in memory, few enough that the bound is met soon."""


class Fleet:
    """The sidecars, through all their lives."""

    def __init__(self, folder: Path, settings: dict[str, Any], parent: Nursery) -> None:
        self.lives: list[Life] = []
        """All there were."""
        self.doors: list[FaultProxy] = []
        """In front of each replica, for feedback."""
        self._folder = folder
        self._settings = settings
        self._parent = parent
        self._up: dict[int, Life] = {}

    @property
    def up(self) -> list[Life]:
        """Those that run."""
        return list(self._up.values())

    def door(self, life: Life) -> str:
        """Where to leave feedback."""
        return self.doors[life.replica].url

    async def one(self, chance: random.Random) -> Life:
        """Any that runs, once there is one."""
        while not self._up:  # noqa: ASYNC110 - rarely, and not for long
            await asyncio.sleep(0.02)
        return chance.choice(self.up)

    async def begin(self, replica: int) -> None:
        """Start a life of this replica."""
        life = Life(replica, await start(self._folder, self._settings, self._parent))
        if len(self.doors) <= replica:
            door = FaultProxy(life.process.url)
            await door.listen()
            self.doors.append(door)
        self.doors[replica].target(life.process.url)
        self.lives.append(life)
        self._up[replica] = life

    async def kill(self, replica: int) -> None:
        """End it as `kill -9` does."""
        life = self._up.pop(replica)
        life.killed = True
        await life.process.kill()

    async def end(self) -> None:
        """Nobody is left."""
        for replica in list(self._up):
            await self.kill(replica)
        for door in self.doors:
            await door.refuse()


class Parts:
    """Everything that runs."""

    def __init__(
        self, fleet: Fleet, server: RedisServer, redis: FaultProxy, provider: FaultProxy
    ) -> None:
        self.fleet = fleet
        self.server = server
        self.redis = redis
        self.provider = provider


def _settings(provider: str, redis: str) -> dict[str, Any]:
    gepa = {"online_proposer_min_rollouts": 20, "proposer_model": REFLECTION}
    return {
        "provider.base_url": provider,
        "provider.api_key": "sk-soak",
        "provider.read_timeout": READ_TIMEOUT,
        "store.kind": "redis",
        "store.url": redis,
        # What a user was told of must be in the store, however busy this machine is.
        "store.timeout_ms": 1000,
        "gateway.store_wait_ms": 5000,
        "gateway.remember": REMEMBERED,
        "feedback.batch_seconds": 0.1,
        "routes": [{"session": SESSION}],
        "sessions": [{"id": SESSION, "baseline": BASELINE, "config": {"gepa": gepa}}],
        "log.format": "json",
    }


@contextlib.asynccontextmanager
async def parts(folder: Path, replicas: int, seed: int) -> AsyncIterator[Parts]:
    """Start everything; gone when the block ends."""
    simulated = SimulatedProvider(World.seeded(seed), seed, latency=LATENCY)
    async with contextlib.AsyncExitStack() as stack:
        server = stack.enter_context(running(folder))
        base_url = await simulated.start()
        stack.push_async_callback(simulated.stop)
        provider = await stack.enter_async_context(FaultProxy(base_url))
        redis = await stack.enter_async_context(FaultProxy(server.url))
        parent = stack.enter_context(nursery(folder))
        fleet = Fleet(folder, _settings(f"{provider.url}/v1", redis.url), parent)
        stack.push_async_callback(fleet.end)
        for replica in range(replicas):
            await fleet.begin(replica)
        yield Parts(fleet, server, redis, provider)
