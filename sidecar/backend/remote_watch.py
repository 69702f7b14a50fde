"""Whether a remote backend is there, asked again and again.

A light question first: only a backend that answers it is asked about its sessions. It counts as
gone after a few questions in a row without an answer; after the first of them the next ones follow
quickly, so that a backend that swallows everything is noticed although no call ever fails.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from sidecar.backend.remote_api import RemoteApi

MISSES = 3
"""Questions in a row without an answer after which the backend counts as gone."""
_AGAIN_SECONDS = 0.25
"""Between two questions, when something is wrong or somebody wants to know."""

log = structlog.get_logger()


class RemoteWatch:
    """Asks, and tells who needs to know."""

    def __init__(
        self,
        api: RemoteApi,
        every: float,
        on_contact: Callable[[bool], None],
        refresh: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        """Asks every `every` seconds. `on_contact` is told whether the backend is there, each
        time that is certain; `refresh` is run each time it is."""
        self._api = api
        self._every = every
        self._on_contact = on_contact
        self._refresh = refresh
        self._misses = 0
        self._hurry = asyncio.Event()
        self._asking: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask once, then in the background."""
        self._api.up = await self._api.alive()
        self._asking = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ask no more."""
        tasks = [task for task in (self._asking, self._refreshing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def hurry(self) -> None:
        """Something that is known turned out to be wrong: ask soon."""
        self._hurry.set()

    async def _run(self) -> None:
        while True:
            self._hurry.clear()
            try:
                await self._ask()
            except Exception:
                # Nobody else watches; whatever it is, the next question may go better.
                log.exception("backend_not_watched")
            await asyncio.sleep(min(_AGAIN_SECONDS, self._every))
            if not 0 < self._misses < MISSES:
                await self._rest()

    async def _ask(self) -> None:
        """Ask once, and spread the answer."""
        if not await self._api.alive():
            self._misses += 1
            if self._misses >= MISSES:
                self._api.up = False
                self._on_contact(False)
            return
        self._misses = 0
        self._api.up = True
        self._on_contact(True)
        if self._refreshing is None or self._refreshing.done():
            # On the side: a session that is slow to answer must not delay the next question.
            self._refreshing = asyncio.create_task(self._refresh())

    async def _rest(self) -> None:
        """Until it is time, or somebody is in a hurry."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._every - _AGAIN_SECONDS)):
                await self._hurry.wait()
