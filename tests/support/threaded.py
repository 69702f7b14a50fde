"""The whole sidecar and a provider for it, in a thread of their own: for clients that block."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future

from sidecar.settings import Settings
from support.provider import FakeProvider
from support.whole import Whole, whole


async def _as_it_is(running: Whole) -> None:
    del running


@contextlib.contextmanager
def threaded(
    settings: Callable[[str], Settings], prepare: Callable[[Whole], Awaitable[None]] = _as_it_is
) -> Iterator[Whole]:
    """Serve with what `settings` says about the provider's address; stopped afterwards. `prepare`
    is run in that thread first."""
    started: Future[tuple[Whole, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        try:
            async with FakeProvider() as provider, whole(settings(provider.base_url)) as running:
                await prepare(running)
                stop = asyncio.Event()
                started.set_result((running, asyncio.get_running_loop(), stop))
                await stop.wait()
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        running, loop, stop = started.result()
        try:
            yield running
        finally:
            loop.call_soon_threadsafe(stop.set)
    finally:
        thread.join()
