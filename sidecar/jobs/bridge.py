"""A blocking library in a thread of its own, and its way back into the event loop.

The thread belongs to one job. When the job is stopped, the call that the thread waits for is
cancelled, and every later one refused, so that the thread ends at once whatever it was doing.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Halt(BaseException):
    """Ends the thread. Not an `Exception`: the library catches those and goes on."""


class Bridge:
    """Runs one blocking function and the coroutines that it asks for."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._pending: concurrent.futures.Future[Any] | None = None
        self._halted = False
        self._why: BaseException | None = None

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """From the thread: run a coroutine in the loop and wait for it. Whatever it raises ends the
        thread."""
        with self._lock:
            if self._halted or self._why is not None:
                coroutine.close()
                raise Halt
            self._pending = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
            pending: concurrent.futures.Future[T] = self._pending
        try:
            return pending.result()
        except concurrent.futures.CancelledError:
            raise Halt from None
        except BaseException as error:
            self._why = error
            raise Halt from error

    async def run(self, work: Callable[[], None]) -> None:
        """From the loop: run `work` to its end in its thread. Raises what a coroutine of its
        raised, or it raised itself. When cancelled, it waits until the thread has ended."""
        done = asyncio.Event()
        failure: list[BaseException] = []

        def body() -> None:
            try:
                work()
            except Halt:
                pass
            except BaseException as error:  # noqa: BLE001 - handed over to the loop
                failure.append(error)
            finally:
                self._loop.call_soon_threadsafe(done.set)

        thread = threading.Thread(target=body, name="policy-job", daemon=True)
        thread.start()
        try:
            await done.wait()
        finally:
            self._halt()
            await asyncio.shield(asyncio.ensure_future(done.wait()))
            thread.join()  # it has nothing left to do but to end
        if self._why is not None or failure:
            raise self._why or failure[0]

    def _halt(self) -> None:
        with self._lock:
            self._halted = True
            if self._pending is not None:
                self._pending.cancel()
