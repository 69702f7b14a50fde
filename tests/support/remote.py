"""Application, sidecar, fault proxy, sidecar, provider: the front one's optimiser is the back one.

All on loopback, in the test's own process. The back one has a key for its API and one for the
provider, so the provider's record says which way a call came.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.fault_proxy import FaultProxy
from support.provider import FakeProvider, Seen
from support.whole import SESSION, Whole, whole, whole_settings

BACK_API_KEY = "key-of-the-back-one"
BACK_PROVIDER_KEY = "sk-back"
ONE_CANDIDATE = {"online_proposer_min_rollouts": 1, "online_proposer_max_candidates": 1}


@dataclass
class Pair:
    """Two sidecars, one in front of the other."""

    front: Whole
    back: Whole
    between: FaultProxy
    provider: FakeProvider

    async def back_status(self) -> dict[str, Any]:
        """How the session is where it lives."""
        return await self.back.sidecar.backend.status(SESSION)

    async def pinned(self) -> str:
        """A second prompt, pinned, and known to the front one: what it says."""
        backend = self.back.sidecar.backend
        for number in range(12):
            await self.front.say(f"failure{number}")
            said = {"thumbs": "down", "comment": "No use."}
            await self.front.feedback({"rollout_id": f"failure{number}", **said})
        async for _ in again_and_again():
            if len((await self.back_status())["candidates"]) > 1:
                break
        candidate = (await self.back_status())["candidates"][1]
        await backend.command(SESSION, "pin", {"candidate_id": candidate["candidate_id"]})
        await self.front.status()  # asked for now, whenever the next time would be
        await self.known(lambda good: good is not None)
        return candidate["text"]

    async def known(self, condition: Any) -> None:
        """Wait until the front one has heard of a prompt like this to fall back to."""
        session = self.front.sidecar.backend._sessions[SESSION]
        async for _ in again_and_again():
            if condition(session.good):
                break

    async def breaker(self, *states: str) -> None:
        """Wait until the breaker is in one of these states."""
        async for _ in again_and_again():
            if self.front.sidecar.reachability.describe()["breaker"] in states:
                break


async def again_and_again(seconds: float = 20.0) -> AsyncIterator[None]:
    """Turns of a loop that looks for something nobody announces; an error when time is up."""
    async with asyncio.timeout(seconds):
        while True:
            yield
            await asyncio.sleep(0.01)


def came_directly(seen: Seen) -> bool:
    """Whether the provider was called by the front one."""
    return seen.header("authorization") != f"Bearer {BACK_PROVIDER_KEY}"


def back_settings(provider: FakeProvider, **sections: Any) -> Any:
    own = {
        "server": {"port": 0, "drain_seconds": 0.1, "api_keys": [BACK_API_KEY]},
        "provider": {"base_url": provider.base_url, "api_key": BACK_PROVIDER_KEY},
        "sessions": (),
        "routes": (),
        **sections,
    }
    return whole_settings(provider.base_url, **own)


def front_settings(url: str, provider: FakeProvider, **sections: Any) -> Any:
    backend = {
        "kind": "remote",
        "url": url,
        "api_key": BACK_API_KEY,
        "poll_seconds": 0.05,
        "connect_ms": 3000,  # a busy machine is not what these tests are about
    }
    own = {
        "provider": {"base_url": provider.base_url},
        "backend": backend | sections.pop("backend", {}),
        **sections,
    }
    return whole_settings(provider.base_url, ONE_CANDIDATE, **own)


def on_disk(folder: Path, name: str) -> dict[str, Any]:
    """A store that outlives its sidecar."""
    return {"kind": "sqlite", "path": folder / f"{name}.db"}


@contextlib.asynccontextmanager
async def pair(provider: FakeProvider, **front: Any) -> AsyncIterator[Pair]:
    """Both running, the front one with these sections of settings."""
    async with (
        whole(back_settings(provider)) as back,
        FaultProxy(back.sidecar.url) as between,
        whole(front_settings(between.url, provider, **front)) as ours,
    ):
        yield Pair(ours, back, between, provider)
