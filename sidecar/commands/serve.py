"""`sidecar serve`: run until told to stop."""

import argparse
import asyncio
import sys
from typing import TextIO

from sidecar.commands.limits import allow_open_files
from sidecar.commands.settings import settings_of
from sidecar.loading import Loaded
from sidecar.telemetry import logs


def serve(arguments: argparse.Namespace, out: TextIO) -> int:
    """Serve; warnings about doubtful settings come first, where a person looks. 1 when calls had
    to be cut off at the end."""
    loaded = settings_of(arguments)
    logs.configure(loaded.settings.log.level, loaded.settings.log.format)
    sys.stderr.writelines(f"sidecar: warning: {warning}\n" for warning in loaded.warnings)
    allow_open_files(loaded.settings.provider.max_connections)
    return 0 if asyncio.run(_run(loaded, out)) else 1


async def _run(loaded: Loaded, out: TextIO) -> bool:
    from sidecar.app import Sidecar  # noqa: PLC0415  # wrong settings are told without loading it

    sidecar = Sidecar(loaded.settings)

    def started() -> None:
        out.write(f"sidecar: listening on {sidecar.url}\n")
        out.flush()

    return await sidecar.serve_forever(started)
