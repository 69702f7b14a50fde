"""Every backend, with a proposer that has a new prompt whenever it is asked.

The remote one is in front of a whole sidecar of ours, over HTTP on loopback.
"""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from sidecar.backend.base import Backend, Referral, Selection
from sidecar.backend.embedded import EmbeddedBackend
from sidecar.backend.remote import RemoteBackend
from sidecar.core.feedback import Reward
from sidecar.core.rollout import Assignment
from sidecar.engine.propose import Reflection
from sidecar.settings import BackendSettings
from sidecar.store.base import Store
from sidecar.store.leadership import Leadership
from sidecar.store.memory import MemoryStore
from sidecar.store.sqlite import SqliteStore
from sidecar.telemetry.metrics import Metrics
from support.provider import FakeProvider

SYSTEM = "You are helpful."
SESSION = "shop"
FAILURES = 12
"""Enough of them, with a word from the user, for a proposal to be due."""


def create_request(
    session_id: str | None = SESSION, algorithm: str = "gepa", **keys: Any
) -> dict[str, Any]:
    """A create request of the published API, with keys of the algorithm's own section."""
    prompt = {"messages": [{"role": "system", "pattern": SYSTEM}]}
    section = {"algorithm": algorithm, "initial_prompt": prompt, algorithm: keys}
    named = {"session_id": session_id} if session_id is not None else {}
    return {**named, "config_body": {"prompt_learning": section}}


def proposing(provider: FakeProvider) -> None:
    """Have the provider answer the proposer with a new prompt each time."""
    numbers = itertools.count(1)

    async def answer(request: web.Request, body: bytes) -> web.StreamResponse:
        if "reflect" not in json.loads(body)["model"]:
            return await provider.completions(request, body)
        text = f"```\n{SYSTEM} Mind point {next(numbers)}.\n```"
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        head = {"id": "chatcmpl-r", "object": "chat.completion", "created": 1, "model": "reflect"}
        return web.json_response({**head, "choices": [choice]})

    provider.script = answer


def _reward(rollout: str, value: float, said: str) -> Reward:
    return Reward(SESSION, rollout, 1, value, (said,) if said else ())


@dataclass
class Place:
    """A backend under test, and how to get a second one on what the first one knew."""

    backend: Backend
    another: Callable[[], Backend]
    store: Store
    """Of whoever draws: there the assignment says how it was drawn."""
    call: Callable[[Referral], Awaitable[str]] | None = None
    """Send a referred call where it goes; which candidate the answer names."""
    algorithm: str = "gepa"
    """Of the session."""
    left: list[Backend] = field(default_factory=list)
    """Backends that were left as a crash leaves them, to be closed in the end."""

    async def restarted(self, *, crashed: bool = False) -> Backend:
        """The backend after an orderly restart, or after one without warning."""
        if crashed:
            self.left.append(self.backend)
        else:
            await self.backend.stop()
        self.backend = self.another()
        await self.backend.start()
        return self.backend

    async def select(self, conversation: str, backend: Backend | None = None) -> Selection:
        """Select, as the request path does it, and wait until that is durable."""
        selection = (backend or self.backend).select(SESSION, conversation, time.time())
        if isinstance(selection, Referral):
            assert self.call is not None
            selection = selection.taken(await self.call(selection), time.time())
        if selection.stored is not None:
            assert await selection.stored
        return selection

    async def drawn(self, conversation: str) -> Assignment:
        """The assignment as whoever drew it has recorded it."""
        found = await self.store.assignment(SESSION, conversation)
        assert found is not None
        return found

    async def rewarded(self, *values: float, prefix: str = "r", said: str = "") -> None:
        """Conversations with these rewards, and what their users said."""
        for number, value in enumerate(values):
            rollout = f"{prefix}{number}"
            await self.select(rollout)
            await self.backend.report(SESSION, [_reward(rollout, value, said)])

    async def candidate(self) -> str:
        """A candidate beside the baseline, proposed in the regular way: from failures."""
        await self.rewarded(*[0.0] * FAILURES, prefix="failure", said="No use.")
        known: list[str] = []

        async def look() -> None:
            status = await self.backend.status(SESSION)
            known[:] = [c["candidate_id"] for c in status["candidates"] if not c["is_baseline"]]

        await eventually(look, lambda: bool(known))
        return known[0]


async def eventually(look: Callable[[], Any], condition: Callable[[], bool]) -> None:
    """Look again and again until what was seen is right."""
    async with asyncio.timeout(10):
        while not condition():
            await look()
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def _embedded(store: Store, provider: FakeProvider) -> AsyncIterator[Place]:
    def make() -> Backend:
        reflection = Reflection(
            model="reflect", base_url=provider.base_url, api_key="sk-test", timeout=5.0
        )
        return EmbeddedBackend(
            store,
            reflection,
            Metrics(),
            Leadership(store, shared=False),
            remember=1000,
            proposals_per_day=1000,
            proposer_origins=[provider.base_url],
            clock=time.time,
        )

    await store.open()
    place = Place(make(), make, store)
    await place.backend.start()
    try:
        yield place
    finally:
        for backend in (place.backend, *place.left):
            await backend.stop()
        await store.close()


def embedded_memory(
    _folder: Path, provider: FakeProvider
) -> contextlib.AbstractAsyncContextManager[Place]:
    return _embedded(MemoryStore(), provider)


def embedded_sqlite(
    folder: Path, provider: FakeProvider
) -> contextlib.AbstractAsyncContextManager[Place]:
    return _embedded(SqliteStore(folder / "backend.db"), provider)


@contextlib.asynccontextmanager
async def remote(_folder: Path, provider: FakeProvider) -> AsyncIterator[Place]:
    """In front of another sidecar; what that one knows stays when this one is restarted."""
    from support.whole import whole, whole_settings  # noqa: PLC0415  it imports this module

    store = MemoryStore()
    settings = whole_settings(provider.base_url, routes=(), sessions=())
    async with whole(settings) as peer, aiohttp.ClientSession() as http:

        def make() -> Backend:
            own = BackendSettings(kind="remote", url=peer.sidecar.url, poll_seconds=0.2)
            return RemoteBackend(store, own, remember=1000)

        async def call(referral: Referral) -> str:
            messages = [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": "hi"},
            ]
            asked = {"model": "m", "messages": messages}
            async with http.post(referral.url, json=asked) as answer:
                assert answer.status == 200, await answer.text()
                return answer.headers["x-gepa-candidate-id"]

        place = Place(make(), make, peer.sidecar.store, call)
        await place.backend.start()
        try:
            yield place
        finally:
            for backend in (place.backend, *place.left):
                await backend.stop()
