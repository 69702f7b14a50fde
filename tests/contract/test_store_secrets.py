"""What `store/base.py` promises of secrets, asked of every store (see `test_stores.py`)."""

import sqlite3
from contextlib import closing

from support.stores import assigned

from sidecar.store import _sql
from sidecar.store.base import Secret
from sidecar.store.sqlite import SqliteStore

VALUE = bytes(range(256))


async def test_the_first_of_a_name_is_kept(place):
    first = await place.store.keep_secret(Secret("box", VALUE, 1.5))
    assert first == Secret("box", VALUE, 1.5)
    store = await place.written()
    assert await store.keep_secret(Secret("box", b"other", 2.0)) == first
    assert await store.secret("box") == first


async def test_the_last_of_a_name_replaces_the_others(place):
    await place.store.put_secret(Secret("token", b"old", 1.0))
    await place.store.put_secret(Secret("token", b"new", 2.5))
    await place.store.put_secret(Secret("other", b"", 0.0))
    store = await place.written()
    assert await store.secret("token") == Secret("token", b"new", 2.5)
    assert await store.secret("other") == Secret("other", b"", 0.0)


async def test_a_name_that_nobody_used_has_no_secret(place):
    assert await place.store.secret("nothing") is None


def test_a_secret_does_not_show():
    assert "hush" not in repr(Secret("token", b"hush", 1.0))


async def test_a_file_of_the_first_schema_gains_secrets_and_keeps_the_rest(tmp_path):
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(f"{_sql.MIGRATIONS[0]} PRAGMA user_version = 1;")
        old.execute(_sql.INSERT_ASSIGNMENTS, (_sql.dump([assigned("r1")]),))
        old.commit()
    store = SqliteStore(path)
    await store.open()
    await store.put_secret(Secret("token", b"new", 2.5))
    assert await store.secret("token") == Secret("token", b"new", 2.5)
    assert await store.assignment("s", "r1") == assigned("r1")
    await store.close()
