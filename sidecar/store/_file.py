"""The SQLite file: opening and closing it, and the two ways to use it.

Writes go through one thread and reads through another, each with its own connection, so that the
event loop never waits for the disk and a read never waits behind a commit. The file belongs to one
process at a time, held by a lock on a file beside it: two engines on one journal would each learn
from half of the evidence.
"""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sidecar.core.rollout import Assignment, Turn
from sidecar.store import _sql
from sidecar.store._cures import cure
from sidecar.store._writer import Operation, Writer, unusable
from sidecar.store.base import StoreError, StoreUnusable

T = TypeVar("T")

BUSY_SECONDS = 2.0
"""How long to wait for somebody else's lock: an operator's `sqlite3` shell, a backup."""


@dataclass(frozen=True, slots=True)
class _Open:
    """What exists while the store is open."""

    writer: Writer
    reader: sqlite3.Connection
    readers: ThreadPoolExecutor
    """One thread, which `reader` belongs to."""
    lock: int
    """The descriptor whose lock keeps other processes out."""
    loop: asyncio.AbstractEventLoop


class SqliteFile:
    """The file: opening, closing, and the two ways to use it."""

    durable = True
    shared = False
    trouble = ""

    def __init__(self, path: Path, *, queue_limit: int = 50_000) -> None:
        """`queue_limit`: how many writes may wait before they are refused."""
        self._path = path
        self._queue_limit = queue_limit
        self._open: _Open | None = None

    async def open(self) -> None:
        """Make ready. Raises `StoreUnusable`, also when another sidecar is using the file."""
        if self._open is not None:
            return
        loop = asyncio.get_running_loop()
        readers = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        try:
            lock, reader, connection = await loop.run_in_executor(readers, self._open_files)
        except BaseException:
            readers.shutdown(wait=False)
            raise
        writer = Writer(connection, loop, self._queue_limit)
        self._open = _Open(writer, reader, readers, lock, loop)

    async def close(self) -> None:
        """Finish queued writes and let go."""
        if self._open is not None:
            held, self._open = self._open, None
            await held.loop.run_in_executor(None, _let_go, held)

    def _open_files(self) -> tuple[int, sqlite3.Connection, sqlite3.Connection]:
        with contextlib.ExitStack() as undo:
            try:
                lock = _lock(self._path)
                undo.callback(os.close, lock)
                # What users wrote is nobody else's business; SQLite gives its side files this mode.
                self._path.touch(mode=0o600)
                writer = undo.enter_context(contextlib.closing(_connect(self._path)))
                _sql.check(writer)
                writer.execute("PRAGMA journal_mode = WAL")
                writer.execute("PRAGMA secure_delete = ON")  # pruned content is gone, not just free
                _sql.migrate(writer)
                reader = undo.enter_context(contextlib.closing(_connect(self._path)))
                reader.execute("PRAGMA query_only = ON")
            except (OSError, sqlite3.Error) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                raise StoreUnusable(
                    f"The store cannot open {self._path}: {reason} ({cure(error)})"
                ) from error
            undo.pop_all()
            return lock, reader, writer

    def enqueue(self, record: Assignment | Turn, stored: asyncio.Future[Any] | None) -> bool:
        """Queue a record of the request path; False when it cannot be taken."""
        return self._open is not None and self._open.writer.put(record, stored)

    async def rows(self, statement: str, *values: object) -> list[Any]:
        """Read on the reader's thread."""
        held = self._held()

        def fetch() -> list[Any]:
            return held.reader.execute(statement, values).fetchall()

        try:
            return await held.loop.run_in_executor(held.readers, fetch)
        except (sqlite3.Error, ValueError) as error:
            raise unusable(error) from error

    async def write(self, run: Operation[T]) -> T:
        """Run on the writer's thread; durable when this returns."""
        held = self._held()
        done: asyncio.Future[T] = held.loop.create_future()
        if not held.writer.put(run, done):
            raise StoreError("The store is behind with its writes; try again later")
        return await done

    def _held(self) -> _Open:
        if self._open is None:
            raise StoreError("The store is not open")
        return self._open


def _lock(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StoreUnusable(f"Another sidecar is using {path}: give each its own file") from None
    return lock


def _connect(path: Path) -> sqlite3.Connection:
    """A connection that begins no transactions of its own and may move to the thread it is for."""
    return sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )


def _let_go(held: _Open) -> None:
    held.writer.stop()
    held.readers.shutdown()
    held.reader.close()
    os.close(held.lock)
