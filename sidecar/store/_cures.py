"""What a person can do about a SQLite file that fails, by what SQLite or the system says."""

import errno
import sqlite3

_RESTORE = "it is damaged, or no database of ours: restore a backup, or move it away to begin anew"
_PERMIT = "the sidecar's user must be able to write the file and its folder; or set store.path"
_FREE = "free some space there"
_IN_USE = "something else holds it; end that, then try again"

_BY_NAME = {
    "SQLITE_NOTADB": _RESTORE,
    "SQLITE_CORRUPT": _RESTORE,
    "SQLITE_FULL": _FREE,
    "SQLITE_IOERR_SHMSIZE": _FREE,  # what a full disk is called before anything is written
    "SQLITE_READONLY": _PERMIT,
    "SQLITE_CANTOPEN": _PERMIT,
    "SQLITE_PERM": _PERMIT,
    "SQLITE_BUSY": _IN_USE,
}
_BY_NUMBER = {
    errno.EACCES: _PERMIT,
    errno.EPERM: _PERMIT,
    errno.EROFS: _PERMIT,
    errno.ENOSPC: _FREE,
    errno.EDQUOT: _FREE,
}
_OTHERWISE = "see to the disk, or set store.path to another place"


def cure(error: OSError | sqlite3.Error) -> str:
    """What to do, in a few words."""
    if isinstance(error, OSError):
        return _BY_NUMBER.get(error.errno or 0, _OTHERWISE)
    name = getattr(error, "sqlite_errorname", None) or ""
    # Extended names (SQLITE_READONLY_DIRECTORY) say more than needs a cure of its own.
    return next((text for known, text in _BY_NAME.items() if name.startswith(known)), _OTHERWISE)


def is_damaged(error: Exception) -> bool:
    """Whether the file itself is broken: then no other time is a better one."""
    name = getattr(error, "sqlite_errorname", None) or ""
    return name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT"))
