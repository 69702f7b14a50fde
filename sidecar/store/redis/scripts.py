"""The scripts that the server runs: each happens as a whole or not at all.

They are called by the hash of their text; a server that does not know one yet (a new one, or one
that was restarted) is sent the text, and knows it from then on.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

Command = tuple[Any, ...]
"""A command of the protocol: its name and its arguments."""

_BY_HASH, _BY_TEXT = "EVALSHA", "EVAL"


@dataclass(frozen=True, slots=True)
class Script:
    """One of the files in `lua/`."""

    text: str
    sha: str

    def call(self, keys: Sequence[str], *values: object) -> Command:
        """The command that runs it."""
        return (_BY_HASH, self.sha, len(keys), *keys, *values)


def _read(name: str) -> Script:
    text = files(__package__).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


ADD_EVENTS = _read("add_events")
ADD_RECORD = _read("add_record")
APPEND = _read("append")
ASSIGN = _read("assign")
ATTRIBUTE = _read("attribute")
EXPIRE_EVENTS = _read("expire_events")
GRANT_LEASE = _read("grant_lease")
KEEP_ARTIFACT = _read("keep_artifact")
MARK_REPORTED = _read("mark_reported")
PUT_OFF = _read("put_off")
RELEASE_LEASE = _read("release_lease")
REPLAY = _read("replay")
SAVE_SNAPSHOT = _read("save_snapshot")
TURN = _read("turn")

_TEXTS = {script.sha: script.text for script in list(vars().values()) if isinstance(script, Script)}


def with_text(command: Command) -> Command:
    """The same command for a server that does not know the script."""
    if command[0] != _BY_HASH:
        return command
    return (_BY_TEXT, _TEXTS[command[1]], *command[2:])
