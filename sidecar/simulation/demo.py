"""The demo: a shop, its customers and a provider on loopback, and the sidecar between them.

Everything is real but the people and the models: sockets, SQLite, the session API, the feedback.
Half of the customers come through the session's own URL, half through a route of `/v1`.
"""

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp

from sidecar.app import Sidecar
from sidecar.settings import (
    Engine,
    FeedbackSettings,
    Logging,
    Provider,
    Route,
    Server,
    Settings,
    StoreSettings,
)
from sidecar.simulation.provider import POLICY, REFLECTION, SimulatedProvider
from sidecar.simulation.scoreboard import Scoreboard
from sidecar.simulation.show import Lines, People
from sidecar.simulation.users import Endpoints, Tally, Users
from sidecar.simulation.world import BASELINE, World

_SESSION = "demo"
_SESSIONS = "/api/prompt-learning/online/gepa/sessions"
_CONVERSATIONS = 8000
_CLOSING_SECONDS = 90.0
"""On a slow machine fewer customers come, so that the demo ends within two minutes; not when their
number was asked for."""
_SETTLE_SECONDS = 15.0
"""How long the last rewards may take to arrive."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to run and how to show it."""

    seed: int = 1
    feedback: Literal["true", "shuffled"] = "true"
    conversations: int | None = None
    """None: as many as take about a minute on two cores."""
    json: bool = False
    keep_serving: bool = False


class DemoFailed(Exception):
    """The sidecar did not do what the demo asked; the message says what."""


async def run_demo(options: DemoOptions, out: Callable[[str], None]) -> dict[str, Any]:
    """Run it, telling `out` line by line; the last line is the returned result as JSON."""
    screen = Lines(out) if options.json else People(out, colour=sys.stdout.isatty())
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sidecar-demo-")))
        provider = SimulatedProvider(World.seeded(options.seed), options.seed)
        provider_url = await provider.start()
        stack.push_async_callback(provider.stop)
        sidecar = Sidecar(_settings(provider_url, folder))
        await sidecar.start()
        stack.push_async_callback(sidecar.stop)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        run = _Run(options, Scoreboard(provider), screen, sidecar.url.rstrip("/"), http)
        result = await run.through()
        if options.keep_serving:
            screen.serving(_to_try(run.url, provider_url))
            await _interrupted()
    return result


class _Run:
    """One demo, with everything up."""

    def __init__(
        self,
        options: DemoOptions,
        board: Scoreboard,
        screen: People | Lines,
        url: str,
        http: aiohttp.ClientSession,
    ) -> None:
        self.url = url
        self._options = options
        self._conversations = options.conversations or _CONVERSATIONS
        self._board = board
        self._screen = screen
        self._http = http
        self._began = time.monotonic()

    async def through(self) -> dict[str, Any]:
        """From the first customer to the last reward."""
        endpoints = await self._create_session()
        self._screen.begin(self._board, self.url, self._options.feedback)
        users = self._users(endpoints)
        if self._options.conversations is None:
            asyncio.get_running_loop().call_later(_CLOSING_SECONDS, users.close)
        watching = asyncio.create_task(self._watch())
        try:
            tally = await users.run(self._conversations, self._board.visited)
            await self._settled(tally.feedback)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        await self._look()
        self._screen.progress(self._board, time.monotonic() - self._began)
        return self._finish(tally)

    def _finish(self, tally: Tally) -> dict[str, Any]:
        if len(tally.failures) > len(tally.visits):
            raise DemoFailed(f"most calls failed, the first by {tally.failures[0]}")
        result = self._board.result(self._options.seed, tally.feedback)
        self._screen.end(self._board, result)
        return result

    def _users(self, endpoints: Endpoints) -> Users:
        options = self._options
        world = self._board.provider.world
        return Users(world, options.seed, endpoints, shuffle=options.feedback == "shuffled")

    async def _create_session(self) -> Endpoints:
        gepa = {
            "mode": "online",
            "online_proposer_min_rollouts": 20,
            "proposer_model": REFLECTION,
        }
        prompt = {"messages": [{"role": "system", "pattern": BASELINE}]}
        config = {"algorithm": "gepa", "initial_prompt": prompt, "gepa": gepa}
        body = {"session_id": _SESSION, "config_body": {"prompt_learning": config}}
        async with self._http.post(self.url + _SESSIONS, json=body) as response:
            if response.status >= 300:
                raise DemoFailed(f"no session: {response.status} {await response.text()}")
            session = await response.json()
        chat = (session["chat_completions_url"], f"{self.url}/v1/chat/completions")
        return Endpoints(chat, f"{self.url}/feedback")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            await self._look()
            self._screen.progress(self._board, time.monotonic() - self._began)

    async def _look(self) -> None:
        try:
            async with self._http.get(f"{self.url}{_SESSIONS}/{_SESSION}") as response:
                status = await response.json()
        except (aiohttp.ClientError, ValueError):
            return
        if isinstance(status, dict):
            for one in self._board.told(status):
                self._screen.happened(one)

    async def _settled(self, feedback: int) -> None:
        """Wait until every thumb has become a reward, or it is clear that some will not."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < deadline:
            await self._look()
            if int(self._board.status.get("reward_count", 0)) >= feedback:
                return
            await asyncio.sleep(0.2)


def _settings(provider_url: str, folder: Path) -> Settings:
    return Settings(
        server=Server(port=0),
        provider=Provider(base_url=provider_url),
        store=StoreSettings(path=folder / "sidecar.db"),
        feedback=FeedbackSettings(batch_seconds=0.1),  # a day of traffic passes in seconds
        engine=Engine(proposer_model=REFLECTION, proposals_per_day=1000),
        log=Logging(level="error"),
        routes=(Route(session=_SESSION, model=f"{POLICY}*"),),
    )


def _to_try(url: str, provider_url: str) -> list[str]:
    return [
        "",
        f"Still serving. Sidecar: {url}   provider: {provider_url}   (Ctrl-C ends it)",
        f"Session: {url}{_SESSIONS}/{_SESSION}",
        f"curl -i {url}/v1/chat/completions -H 'content-type: application/json' \\",
        f'  -d \'{{"model": "{POLICY}", "messages": [',
        '       {"role": "user", "content": "My parcel is late. Where is it?"}]}\'',
        f"curl {url}/feedback -H 'content-type: application/json' \\",
        '  -d \'{"rollout_id": "<x-gepa-rollout-id of the answer>", "thumbs": "down",',
        '       "comment": "You never asked for my order number."}\'',
    ]


async def _interrupted() -> None:
    """Returns on Ctrl-C or SIGTERM, so that leaving is an ordinary end."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    await asked.wait()
