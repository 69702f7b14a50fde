"""What somebody sees of a sidecar from outside: probes, calls, and what needs the store."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from support.gateway import Answer, ask
from support.process import Process

SYSTEM = "You are helpful."
AGAIN_SECONDS = 15.0
"""Time enough to be back on a busy machine, once the store is."""


def settings(provider: str, **changes: Any) -> dict[str, Any]:
    """One session, that all calls on `/v1` belong to; `store__url="…"` sets another setting."""
    return {
        "provider.base_url": provider,
        "routes": [{"session": "s1"}],
        "sessions": [{"id": "s1", "baseline": SYSTEM}],
        "feedback.batch_seconds": 0.01,
        "log.format": "text",
        **{name.replace("__", "."): value for name, value in changes.items()},
    }


@dataclass
class Operator:
    """Who looks."""

    http: aiohttp.ClientSession
    process: Process

    async def asks(
        self, method: str, path: str, body: Any = None
    ) -> tuple[int, Mapping[str, str], str]:
        url = self.process.url + path
        async with self.http.request(method, url, json=body) as answer:
            return answer.status, answer.headers, await answer.text()

    async def probe(self, path: str) -> tuple[int, str]:
        status, _, text = await self.asks("GET", path)
        return status, text

    async def store(self) -> dict[str, Any]:
        """What `/readyz?verbose` says of the store."""
        async with self.http.get(f"{self.process.url}/readyz?verbose") as answer:
            return (await answer.json())["parts"]["store"]

    async def says(self, text: str, path: str = "/v1") -> Answer:
        """A model call."""
        body = {"model": "m", "messages": ask(text, SYSTEM)}
        url = f"{self.process.url}{path}/chat/completions"
        async with self.http.post(url, json=body) as answer:
            return Answer(answer.status, dict(answer.headers), await answer.read())

    async def counted(self, metric: str) -> float:
        _, text = await self.probe("/metrics")
        found = re.search(rf"^{re.escape(metric)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    async def becomes(self, state: str) -> None:
        """Wait until the store is said to be in this state."""
        async with asyncio.timeout(AGAIN_SECONDS):
            while (await self.store())["state"] != state:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)

    async def reaches(self, session: str, **wanted: Any) -> None:
        """Wait until a session's status says this."""
        path = f"{self.process.url}/api/prompt-learning/online/gepa/sessions/{session}"
        async with asyncio.timeout(AGAIN_SECONDS):
            while True:
                async with self.http.get(path) as answer:
                    status = await answer.json()
                if all(status.get(name) == value for name, value in wanted.items()):
                    return
                await asyncio.sleep(0.02)
