"""The thread that writes: everything that waits goes into one transaction, in the order it came.

A commit that must survive a power cut costs a round trip to the disk however much is in it, so the
writer takes all that has queued up while the last one was under way. A batch in which somebody
waits for an acknowledgement is committed with `synchronous=FULL`; one of request-path records only
with `NORMAL`, which survives `kill -9` and costs no round trip (and the next `FULL` commit covers
it). Callers are woken after the commit, all of a batch in one call into the event loop.
"""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, TypeVar, cast

import structlog

from sidecar.core.rollout import Assignment, Turn
from sidecar.store._cures import cure, is_damaged
from sidecar.store._records import dump, to_assignment
from sidecar.store._sql import FIND_ASSIGNMENT, INSERT_ASSIGNMENTS, INSERT_TURNS
from sidecar.store.base import StoreError, StoreUnusable

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]
_Record = Assignment | Turn
_Future = asyncio.Future[Any]
_Work = _Record | Operation[Any]

LINGER = 0.002
"""Seconds that request-path records wait for company: fewer transactions compete with the event
loop for the interpreter. Nobody waits for them on a request."""
CHUNK = 256
"""Records per statement: bounds the JSON text that is built at a time."""
_DATA_ERRORS = (sqlite3.Error, ValueError, TypeError, OverflowError)
"""What `sqlite3` and the JSON encoders say about values that they cannot store."""

_log = structlog.get_logger(__name__)


def unusable(error: Exception) -> StoreError:
    """What to tell the caller. The text of foreign errors may quote data, their names do not."""
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    if isinstance(error, sqlite3.Error) and is_damaged(error):
        return StoreUnusable(f"The store's file fails ({name}): {cure(error)}")
    return StoreError(f"The store cannot do this now ({name}); try again later")


class Writer:
    """A connection, a bounded queue and the thread between them."""

    def __init__(
        self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop, limit: int
    ) -> None:
        """`limit`: how many writes may wait."""
        self._connection = connection
        self._loop = loop
        self._limit = limit
        self._queue: SimpleQueue[tuple[_Work, _Future | None] | None] = SimpleQueue()
        self._synchronous = ""
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def put(self, work: _Work, future: _Future | None) -> bool:
        """Queue a write; False when the queue is full. Only the event loop's thread may call."""
        if self._queue.qsize() >= self._limit:
            return False
        self._queue.put((work, future))
        return True

    def stop(self) -> None:
        """Write what is queued, then close the connection. Blocks until that is done."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        running = True
        while running:
            items = self._collect()
            running = items[-1] is not None
            batch = [item for item in items if item is not None]
            results = self._commit([work for work, _ in batch])
            settled = [
                (future, result if callable(work) else _stored(result))
                for (work, future), result in zip(batch, results, strict=True)
                if future is not None
            ]
            # A loop that is closed has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_settle, settled)
        self._connection.close()

    def _collect(self) -> list[tuple[_Work, _Future | None] | None]:
        """All that waits, at least one; None comes last of all, when it is time to stop."""
        first = self._queue.get()
        if first is not None and not callable(first[0]):
            time.sleep(LINGER)
        return [first, *(self._queue.get() for _ in range(self._queue.qsize()))]

    def _commit(self, works: Sequence[_Work]) -> list[Any]:
        """What came of each, in order: a `StoreError` for what could not be written."""
        try:
            self._set_synchronous("FULL" if any(map(callable, works)) else "NORMAL")
            self._connection.execute("BEGIN IMMEDIATE")
            results = self._apply(works)
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - a dead writer would hang every caller for good
            self._roll_back()
            results = [unusable(error) for _ in works]
        failed = [result for result in results if isinstance(result, StoreError)]
        if failed:
            _log.warning("store_write_failed", failed=len(failed), error=str(failed[0]))
        return results

    def _set_synchronous(self, level: str) -> None:
        if level != self._synchronous:
            self._connection.execute(f"PRAGMA synchronous = {level}")
            self._synchronous = level

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _apply(self, works: Sequence[_Work]) -> list[Any]:
        """Records first, in bulk: no operation but `prune` looks at their tables, and that goes by
        time, not by order."""
        results: list[Any] = [None] * len(works)
        for kind, statement in ((Assignment, INSERT_ASSIGNMENTS), (Turn, INSERT_TURNS)):
            places = [place for place, work in enumerate(works) if isinstance(work, kind)]
            for start in range(0, len(places), CHUNK):
                chunk = places[start : start + CHUNK]
                stored = self._insert(statement, [cast(_Record, works[place]) for place in chunk])
                for place, result in zip(chunk, stored, strict=True):
                    results[place] = result
        for place, work in enumerate(works):
            if callable(work):
                results[place] = self._attempt(work)
        return results

    def _insert(self, statement: str, records: Sequence[_Record]) -> list[Any]:
        """All in one statement; one by one when one of them cannot be stored. What is stored of
        each: itself, or the assignment that was there first."""

        def insert(connection: sqlite3.Connection) -> Sequence[_Record]:
            new = connection.execute(statement, (dump(records),)).rowcount
            return records if new == len(records) else [_first(connection, r) for r in records]

        result = self._attempt(insert)
        if not isinstance(result, StoreError):
            return list(result)
        if len(records) == 1:
            return [result]
        return [self._insert(statement, [record])[0] for record in records]

    def _attempt(self, run: Operation[Any]) -> Any:
        """Run under a savepoint, so that what fails takes nothing else with it."""
        self._connection.execute("SAVEPOINT attempt")
        try:
            result = run(self._connection)
        except _DATA_ERRORS as error:
            if not self._connection.in_transaction:
                raise  # the disk is full or broken: SQLite has given up the whole transaction
            self._connection.execute("ROLLBACK TO attempt")
            result = unusable(error)
        self._connection.execute("RELEASE attempt")
        return result


def _first(connection: sqlite3.Connection, record: _Record) -> _Record:
    """The assignment that a rollout got first; for a turn, itself."""
    if isinstance(record, Turn):
        return record
    place = (record.session_id, record.rollout_id)
    ((body,),) = connection.execute(FIND_ASSIGNMENT, place).fetchall()
    return to_assignment(body)


def _stored(result: Any) -> Any:
    """What a record's future says."""
    return None if isinstance(result, StoreError) else result


def _settle(settled: Sequence[tuple[_Future, Any]]) -> None:
    """Wake the callers, but for those who gave up waiting."""
    for future, result in settled:
        if future.done():
            continue
        if isinstance(result, StoreError):
            future.set_exception(result)
        else:
            future.set_result(result)
