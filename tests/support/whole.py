"""The whole sidecar in the test's own process, on real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import structlog

from sidecar.app import Sidecar
from sidecar.settings import Settings
from support.backends import SESSION, SYSTEM
from support.gateway import Answer, ask

SESSIONS = "/api/prompt-learning/online/gepa/sessions"


def whole_settings(
    provider_url: str, gepa: dict[str, Any] | None = None, **sections: Any
) -> Settings:
    """Settings with one session that all chat calls belong to."""
    session = {"id": SESSION, "baseline": SYSTEM, "config": {"gepa": gepa or {}}}
    return Settings.model_validate(
        {
            "server": {"port": 0, "drain_seconds": 0.1},
            "provider": {"base_url": provider_url, "api_key": "sk-test"},
            "store": {"kind": "memory"},
            "engine": {"proposer_model": "reflect"},
            "feedback": {"batch_seconds": 0.01},
            "routes": ({"session": SESSION},),
            "sessions": (session,),
            **sections,
        }
    )


@dataclass
class Whole:
    """A running sidecar, and an application."""

    sidecar: Sidecar
    http: aiohttp.ClientSession

    async def chat(
        self, messages: list[dict[str, Any]], path: str = "/v1", **headers: str
    ) -> Answer:
        """One call; `x_correlation_id="…"` becomes that header."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        body = {"model": "m", "messages": messages}
        url = f"{self.sidecar.url}{path}/chat/completions"
        async with self.http.post(url, json=body, headers=sent) as answer:
            return Answer(answer.status, dict(answer.headers), await answer.read())

    async def say(self, conversation: str, text: str = "hi") -> Answer:
        """One call of a conversation that the application names."""
        return await self.chat(ask(text, SYSTEM), x_correlation_id=conversation)

    async def feedback(self, *events: dict[str, Any]) -> list[dict[str, Any]]:
        async with self.http.post(f"{self.sidecar.url}/feedback", json=list(events)) as answer:
            assert answer.status == 202, await answer.text()
            return (await answer.json())["events"]

    async def command(self, action: str, **arguments: Any) -> dict[str, Any]:
        return await self.sidecar.backend.command(SESSION, action, arguments)

    async def status(self) -> dict[str, Any]:
        async with self.http.get(f"{self.sidecar.url}{SESSIONS}/{SESSION}") as answer:
            return await answer.json()

    async def reached(self, **wanted: Any) -> dict[str, Any]:
        """The status, once it says this."""
        async with asyncio.timeout(10):
            while True:
                status = await self.status()
                if all(status[name] == value for name, value in wanted.items()):
                    return status
                await asyncio.sleep(0.01)

    def total(self, name: str, **labels: str) -> float:
        """The sum over all label values that are not given."""
        return sum(
            sample.value
            for metric in self.sidecar.metrics.registry.collect()
            for sample in metric.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


@contextlib.asynccontextmanager
async def whole(settings: Settings) -> AsyncIterator[Whole]:
    """Serve, and stop in order afterwards."""
    logs = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    sidecar = Sidecar(settings)
    await sidecar.start()
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            yield Whole(sidecar, http)
    finally:
        await sidecar.stop()
        structlog.configure(**logs)
