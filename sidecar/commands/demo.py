"""`sidecar demo`: the whole loop against a simulated provider and simulated users."""

import argparse
import asyncio
from typing import TextIO

from sidecar.errors import SidecarError
from sidecar.simulation.demo import DemoFailed, DemoOptions, run_demo
from sidecar.telemetry import logs


def demo(arguments: argparse.Namespace, out: TextIO) -> int:
    """Run it; needs no key and no network."""
    logs.configure("error")
    options = DemoOptions(
        seed=arguments.seed,
        feedback=arguments.feedback,
        conversations=arguments.conversations,
        json=arguments.json,
        keep_serving=arguments.keep_serving,
    )

    def say(line: str) -> None:
        out.write(line + "\n")
        out.flush()

    try:
        asyncio.run(run_demo(options, say))
    except DemoFailed as error:
        raise SidecarError(str(error)) from error
    return 0
