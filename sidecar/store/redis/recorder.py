"""The request path's way to the server: a bounded queue, and a task that drains it in batches.

Whoever records waits for nothing: what is queued is sent in order, all that waits in one round
trip, and the future says when it is there. When the server does not answer, futures say so after
the budget, or at once while that is known; what is queued stays queued, and is sent when the server
is back, for a late assignment is better than none.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import structlog

from sidecar.store.base import StoreError
from sidecar.store.redis.link import ANSWER_SECONDS, Link
from sidecar.store.redis.scripts import Command

BATCH = 128
"""Records per round trip: bounds how long the event loop is kept busy with one."""
_Future = asyncio.Future[Any]
_Read = Callable[[Any], Any]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Item:
    """What one record sends, and who wants to know."""

    commands: Sequence[Command]
    stored: _Future | None
    read: _Read | None = None
    """Makes of the last command's answer what the future says."""


class Recorder:
    """The queue and its task."""

    def __init__(self, link: Link, *, budget: float, limit: int) -> None:
        """`budget`: seconds after which a future says that it is not stored. `limit`: how many
        records may wait."""
        self._link = link
        self._budget = budget
        self._limit = limit
        self._queue: deque[_Item] = deque()
        self._filled = asyncio.Event()
        self._refusing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to drain."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Send what is queued, if the server takes it in time, then end."""
        if self._task is None:
            return
        with contextlib.suppress(StoreError):
            await self.caught_up()
        task, self._task = self._task, None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for item in self._queue:
            _settle(item.stored, None)
        self._queue.clear()

    def put(self, commands: Sequence[Command]) -> bool:
        """Queue a record; False when it cannot be taken."""
        return self._put(commands, None)

    def record(self, commands: Sequence[Command], read: _Read) -> _Future:
        """Queue a record; the future says what `read` makes of the last command's answer, or None
        when that was not heard within the budget."""
        loop = asyncio.get_running_loop()
        stored: _Future = loop.create_future()
        if not self._put(commands, stored, read) or not self._link.up.is_set():
            stored.set_result(None)
        else:
            patience = loop.call_later(self._budget, _give_up, stored)
            stored.add_done_callback(lambda _: patience.cancel())
        return stored

    async def caught_up(self) -> None:
        """Wait until all that was recorded before has been sent. Raises `StoreError` when that
        takes too long."""
        if not self._queue:
            return
        sent: _Future = asyncio.get_running_loop().create_future()
        if not self._link.up.is_set() or not self._put((), sent):
            raise StoreError("The store is behind with its writes; try again later")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await sent
        except TimeoutError:
            raise StoreError("The store is behind with its writes; try again later") from None

    def _put(
        self, commands: Sequence[Command], stored: _Future | None, read: _Read | None = None
    ) -> bool:
        if self._task is None or len(self._queue) >= self._limit:
            return False
        self._queue.append(_Item(commands, stored, read))
        self._filled.set()
        return True

    async def _run(self) -> None:
        while True:
            await self._filled.wait()
            await self._link.up.wait()
            batch = list(islice(self._queue, BATCH))
            try:
                answers = await self._send(batch)
            except StoreError as error:
                if not self._link.up.is_set():
                    continue  # it comes back, and is sent the same again
                answers = [[error]] * len(batch)
            except Exception as error:  # noqa: BLE001 - a dead task would hang every caller
                _log.exception("records lost", records=len(batch))
                answers = [[error]] * len(batch)
            for item, of_item in zip(batch, answers, strict=True):
                self._queue.popleft()
                self._settle(item, of_item)
            if not self._queue:
                self._filled.clear()

    async def _send(self, batch: Sequence[_Item]) -> list[list[Any]]:
        """The answers to each record's commands; refusals are exceptions."""
        commands = [command for item in batch for command in item.commands]
        answers = iter(await self._link.send(commands) if commands else [])
        return [list(islice(answers, len(item.commands))) for item in batch]

    def _settle(self, item: _Item, answers: Sequence[Any]) -> None:
        refusals = [answer for answer in answers if isinstance(answer, Exception)]
        if refusals:
            _settle(item.stored, None)
        elif item.read is not None:
            with contextlib.suppress(
                ValueError, TypeError
            ):  # else a newer sidecar's, and unreadable
                _settle(item.stored, item.read(answers[-1]))
            _settle(item.stored, None)
        else:
            _settle(item.stored, True)
        if item.commands:
            self._tell(refusals)

    def _tell(self, refusals: Sequence[Exception]) -> None:
        """One line when the server begins to refuse records, and one when it ends."""
        if bool(refusals) == self._refusing:
            return
        self._refusing = bool(refusals)
        if refusals:
            _log.warning("store refuses records", error=type(refusals[0]).__name__)
        else:
            _log.info("store takes records again")


def _settle(future: _Future | None, result: Any) -> None:
    if future is not None and not future.done():
        future.set_result(result)


def _give_up(future: _Future) -> None:
    _settle(future, None)
