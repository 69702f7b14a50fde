"""The parts, all real and on loopback, with a fault proxy in front of whatever may fail.

application -> sidecar "alone"  -> [proxy] -> provider
                                -> [proxy] -> Redis server
application -> sidecar "edge"   -> [proxy] -> sidecar "back" -> provider
                                -> provider
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from support.fault_proxy import FaultProxy
from support.process import Process, serving
from support.provider import FakeProvider
from support.redis_server import RedisServer, running

from bench.faults.calls import PROMPT

KEY = "key-of-the-back-one"
READ_TIMEOUT = 2.0
"""Longest silence of the provider, seconds, where that is what fails (`provider.read_timeout`).
Everything else that matters here is as it is by default."""


@dataclass
class Parts:
    """Everything that runs."""

    http: aiohttp.ClientSession
    alone: Process
    edge: Process
    back: Process
    provider: FaultProxy
    redis: FaultProxy
    backend: FaultProxy
    redis_server: RedisServer

    def errors(self) -> list[str]:
        """Lines in the logs that nobody should see, whatever fails."""
        lines = [
            line
            for process in (self.alone, self.edge, self.back)
            for line in process.said.splitlines()
        ]
        return [
            line
            for line in lines
            if '"level": "error"' in line or "Exception" in line or "Traceback" in line
        ]


def _settings(provider: str, **more: Any) -> dict[str, Any]:
    return {
        "provider.base_url": provider,
        "routes": [{"session": "shop"}],
        "sessions": [{"id": "shop", "baseline": PROMPT}],
        "engine.proposals_per_day": 0,
        "log.format": "json",
        **{name.replace("__", "."): value for name, value in more.items()},
    }


@contextlib.asynccontextmanager
async def parts(folder: Path) -> AsyncIterator[Parts]:
    """Start everything; gone when the block ends."""
    homes = {name: folder / name for name in ("redis", "alone", "edge", "back")}
    for home in homes.values():
        home.mkdir()
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        http = await enter(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        fake = await enter(FakeProvider())
        server = stack.enter_context(running(homes["redis"]))
        provider, redis = (
            await enter(FaultProxy(fake.base_url)),
            await enter(FaultProxy(server.url)),
        )
        back_settings = _settings(fake.base_url, server__api_keys=[KEY])
        back = await enter(serving(homes["back"], back_settings))
        backend = await enter(FaultProxy(back.url))
        alone_settings = _settings(
            f"{provider.url}/v1",
            provider__read_timeout=READ_TIMEOUT,
            store__kind="redis",
            store__url=redis.url,
        )
        edge_settings = _settings(
            fake.base_url,
            backend__kind="remote",
            backend__url=backend.url,
            backend__api_key=KEY,
        )
        alone, edge = await asyncio.gather(
            enter(serving(homes["alone"], alone_settings)),
            enter(serving(homes["edge"], edge_settings)),
        )
        yield Parts(http, alone, edge, back, provider, redis, backend, server)
