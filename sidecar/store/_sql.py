"""The SQLite file: its schema, and how it grows with new versions.

A row is the record as JSON (see `_records.py`) in `body`, and beside it only the columns that
something looks up or changes.
"""

import sqlite3
from collections.abc import Sequence

from sidecar.store._records import dump
from sidecar.store.base import StoreUnusable

MIGRATIONS = (
    """
    CREATE TABLE assignment (
        id INTEGER PRIMARY KEY,
        session_id TEXT NOT NULL,
        rollout_id TEXT NOT NULL,
        body TEXT NOT NULL,
        UNIQUE (session_id, rollout_id)
    );
    CREATE INDEX assignment_by_rollout ON assignment (rollout_id);
    CREATE INDEX assignment_by_age ON assignment (session_id, id);

    CREATE TABLE turn (
        id INTEGER PRIMARY KEY,
        turn_id TEXT NOT NULL UNIQUE,
        session_id TEXT NOT NULL,
        rollout_id TEXT NOT NULL,
        started_at REAL NOT NULL,
        completion_id TEXT,
        chain_key TEXT,
        captured INTEGER NOT NULL,  -- 1 while the body holds the request or the reply
        body TEXT NOT NULL
    );
    CREATE INDEX turn_by_rollout ON turn (session_id, rollout_id);
    CREATE INDEX turn_by_completion ON turn (completion_id) WHERE completion_id IS NOT NULL;
    CREATE INDEX turn_by_chain ON turn (session_id, id, chain_key) WHERE chain_key IS NOT NULL;
    CREATE INDEX turn_by_age ON turn (started_at) WHERE captured = 1;

    CREATE TABLE feedback (
        event_id TEXT PRIMARY KEY,
        received_at REAL NOT NULL,
        park_until REAL,            -- only while waiting
        session_id TEXT,            -- these two only once attributed;
        rollout_id TEXT,            -- an expired event has neither these nor park_until
        body TEXT NOT NULL
    );
    CREATE INDEX feedback_waiting ON feedback (event_id) WHERE park_until IS NOT NULL;
    CREATE INDEX feedback_parked ON feedback (park_until) WHERE park_until IS NOT NULL;
    CREATE INDEX feedback_by_rollout ON feedback (session_id, rollout_id)
        WHERE rollout_id IS NOT NULL;

    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY,
        session_id TEXT NOT NULL,
        rollout_id TEXT NOT NULL,
        revision INTEGER NOT NULL,
        reported INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0,
        since REAL NOT NULL,             -- when it became due: its place in the line
        until REAL NOT NULL DEFAULT 0,   -- not due before; 0 for no reason to wait
        dead INTEGER NOT NULL DEFAULT 0, -- given up, at `since`
        error TEXT NOT NULL DEFAULT '',
        UNIQUE (session_id, rollout_id)
    );
    CREATE INDEX outbox_due ON outbox (since, id) WHERE revision > reported AND dead = 0;
    CREATE INDEX outbox_dead ON outbox (since, id) WHERE dead = 1;

    CREATE TABLE session (
        session_id TEXT PRIMARY KEY,
        created_at REAL NOT NULL,
        body TEXT NOT NULL
    );
    CREATE TABLE snapshot (
        session_id TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        state BLOB NOT NULL
    );
    CREATE TABLE journal (
        session_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        key TEXT NOT NULL,
        subject TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (session_id, seq),
        UNIQUE (session_id, key)
    ) WITHOUT ROWID;
    CREATE INDEX journal_by_subject ON journal (session_id, subject, seq);
    """,
    """
    CREATE TABLE secret (
        name TEXT PRIMARY KEY,
        value BLOB NOT NULL,
        updated_at REAL NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE job (
        job_id TEXT PRIMARY KEY,
        created_at REAL NOT NULL,
        body TEXT NOT NULL
    );
    CREATE TABLE job_event (
        id INTEGER PRIMARY KEY,
        job_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        key TEXT NOT NULL,
        type TEXT NOT NULL,
        body TEXT NOT NULL,
        UNIQUE (job_id, seq),
        UNIQUE (job_id, key)
    );
    CREATE INDEX job_event_by_type ON job_event (job_id, type, seq);
    CREATE TABLE artifact (
        id INTEGER PRIMARY KEY,
        job_id TEXT NOT NULL,
        name TEXT NOT NULL,
        content BLOB NOT NULL,
        UNIQUE (job_id, name)
    );
    """,
    """
    CREATE TABLE lease (
        name TEXT PRIMARY KEY,
        holder TEXT NOT NULL,
        token INTEGER NOT NULL,
        until REAL NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE fence (
        journal TEXT PRIMARY KEY,        -- whose: `session:` or `job:` and the id
        token INTEGER NOT NULL           -- the highest that was used on it
    ) WITHOUT ROWID;
    CREATE INDEX turn_of_chain ON turn (session_id, chain_key, id) WHERE chain_key IS NOT NULL;
    """,
    """
    ALTER TABLE turn ADD COLUMN fingerprint TEXT;
    CREATE INDEX turn_by_fingerprint ON turn (fingerprint, session_id, rollout_id)
        WHERE fingerprint IS NOT NULL;
    """,
)
"""One script per version of the schema; never edit one that was released, add the next."""

INSERT_ASSIGNMENTS = """
    INSERT INTO assignment (session_id, rollout_id, body)
    SELECT value ->> 'session_id', value ->> 'rollout_id', value FROM json_each(?) WHERE true
    ON CONFLICT DO NOTHING
"""
FIND_ASSIGNMENT = "SELECT body FROM assignment WHERE session_id = ? AND rollout_id = ?"
OF_ROLLOUT = "SELECT body FROM assignment WHERE rollout_id = ? ORDER BY id"
OF_COMPLETION = """
    SELECT body FROM assignment WHERE (session_id, rollout_id) IN
    (SELECT session_id, rollout_id FROM turn WHERE completion_id = ?) ORDER BY id
"""
OF_FINGERPRINT = """
    SELECT body FROM
    (SELECT DISTINCT session_id, rollout_id FROM turn WHERE fingerprint = ?)
    JOIN assignment USING (session_id, rollout_id) LIMIT ?
"""
INSERT_TURNS = """
    INSERT INTO turn
        (turn_id, session_id, rollout_id, started_at, completion_id, chain_key, fingerprint,
        captured, body)
    SELECT value ->> 'turn_id', value ->> 'session_id', value ->> 'rollout_id',
        value ->> 'started_at', value ->> 'completion_id', value ->> 'chain_key',
        value ->> 'fingerprint', value ->> 'reply' <> '' OR value ->> 'request' <> '[]', value
    FROM json_each(?) WHERE true
    ON CONFLICT DO NOTHING
"""
"""One statement for many rows. `sqlite3` gives the interpreter lock away in every step of a
statement and must win it back from the event loop, so a step per row would slow both threads."""


def check(connection: sqlite3.Connection) -> None:
    """Raise `StoreUnusable` for a schema that is newer than we are; nothing is written."""
    found, newest = _version(connection), len(MIGRATIONS)
    if found > newest:
        raise StoreUnusable(
            f"The store's file has schema version {found}, this sidecar knows only {newest}: "
            "run the newer sidecar that wrote it"
        )


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema to this version, one transaction per step."""
    for version in range(_version(connection), len(MIGRATIONS)):
        connection.executescript(
            f"BEGIN IMMEDIATE; {MIGRATIONS[version]} PRAGMA user_version = {version + 1}; COMMIT;"
        )


def _version(connection: sqlite3.Connection) -> int:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    return int(found)


def raise_fence(connection: sqlite3.Connection, journal: str, token: int) -> bool:
    """Note the highest token used on a journal; False when this one is behind it."""
    row = connection.execute(
        """INSERT INTO fence (journal, token) VALUES (?, ?)
        ON CONFLICT DO UPDATE SET token = max(token, excluded.token) RETURNING token""",
        (journal, token),
    )
    (highest,) = row.fetchone()
    return bool(highest == token)


def marks(values: Sequence[object]) -> str:
    """Values for `IN (SELECT value FROM json_each(?))`: any number of them in one parameter."""
    return dump(list(values))
