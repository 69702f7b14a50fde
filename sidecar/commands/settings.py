"""The settings as flags, environment and file make them; `sidecar check`."""

import argparse
import os
from pathlib import Path
from typing import TextIO

from sidecar.commands.output import dump, table
from sidecar.loading import Loaded, Problem, SettingsError, describe, read

_SHOWN = 60
"""Characters of a value in the table; `--json` shows all."""


def settings_of(arguments: argparse.Namespace) -> Loaded:
    """The settings of this command line. Raises `SettingsError`."""
    given = {name: value for name, value in vars(arguments).items() if "." in name}
    config = getattr(arguments, "config", None)
    return read(given, os.environ, Path(config) if config else None)


def check(arguments: argparse.Namespace, out: TextIO) -> int:
    """Show what a start with these settings would do; 2 when it would refuse."""
    try:
        loaded = settings_of(arguments)
    except SettingsError as error:
        if not arguments.json:
            raise
        dump(out, {"ok": False, "problems": [_plain(problem) for problem in error.problems]})
        return 2
    rows = describe(loaded.settings, loaded.sources)
    if arguments.json:
        dump(
            out,
            {
                "ok": True,
                "problems": [],
                "warnings": [_plain(warning) for warning in loaded.warnings],
                "settings": [
                    {"name": row.name, "value": row.value, "source": row.source} for row in rows
                ],
            },
        )
        return 0
    cells = [(row.name, _short(row.value), row.source) for row in rows]
    table(out, ("setting", "value", "source"), cells)
    out.writelines(f"warning: {warning}\n" for warning in loaded.warnings)
    out.write("The settings are right.\n")
    return 0


def _plain(problem: Problem) -> dict[str, str]:
    return {"name": problem.name, "source": problem.source, "message": problem.message}


def _short(value: object) -> str:
    text = "(not set)" if value is None else str(value)
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
