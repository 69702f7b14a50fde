"""Many streams at once through one sidecar process with a learning session.

    make streams
    make streams ARGS='--streams 500 --chunks 50 --seconds 20'

Provider, sidecar and clients are processes of their own, on loopback. Every answer is compared byte
for byte. Exit code 1 when one of them is not whole.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.process import Process, serving

from bench.common.proc import MIB, cpu, open_files, rss, waited
from bench.streams.clients import PROMPT

AFTER_SECONDS = 5.0
"""Until memory is looked at again when all is over."""
WARM_UP = 50


@dataclass
class Watched:
    """The sidecar, as the system sees it."""

    pid: int
    before: int
    cpu_before: float
    waited_before: float
    peak: int = 0
    files: int = 0
    busy: list[float] = field(default_factory=list)
    """Share of one core, second by second."""

    @staticmethod
    def of(pid: int) -> "Watched":
        """From now on."""
        return Watched(pid, rss(pid), cpu(pid), waited(pid))

    async def run(self) -> None:
        """Look every second."""
        while True:
            before = cpu(self.pid)
            await asyncio.sleep(1.0)
            self.busy.append(cpu(self.pid) - before)
            self.peak = max(self.peak, rss(self.pid))
            self.files = max(self.files, open_files(self.pid))


@contextlib.asynccontextmanager
async def provider(chunks: int, seconds: float) -> AsyncIterator[str]:
    """Its base URL."""
    process = await _python("bench.streams.provider", chunks, seconds)
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


async def clients(url: str, streams: int, chunks: int, ramp: float) -> Any:
    """What they report."""
    process = await _python("bench.streams.clients", url, streams, chunks, ramp)
    told, _ = await process.communicate()
    return json.loads(told)


async def _python(module: str, *arguments: object) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", module, *map(str, arguments))
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)


def settings(base_url: str) -> dict[str, Any]:
    """Those that matter are the defaults."""
    return {
        "provider.base_url": base_url,
        "routes": [{"session": "shop"}],
        "sessions": [{"id": "shop", "baseline": PROMPT}],
        "engine.proposals_per_day": 0,
    }


async def main(given: argparse.Namespace) -> int:
    """0 when every answer was whole."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            provider(given.chunks, given.seconds) as base_url,
            serving(Path(folder), settings(base_url)) as sidecar,
        ):
            return await measured(given, sidecar)


async def measured(given: argparse.Namespace, sidecar: Process) -> int:
    """Once warm, all of them."""
    print(f"{given.streams} streams of {given.chunks} chunks in {given.seconds:.0f} s each")
    await clients(sidecar.url, WARM_UP, given.chunks, 1.0)
    watched = Watched.of(sidecar.pid)
    watching = asyncio.create_task(watched.run())
    told = await clients(sidecar.url, given.streams, given.chunks, given.ramp)
    took = cpu(sidecar.pid) - watched.cpu_before
    watching.cancel()
    await asyncio.sleep(AFTER_SECONDS)
    show(given, watched, told, took)
    return int(told["ended"] != {"whole": given.streams})


def show(given: argparse.Namespace, watched: Watched, told: Any, took: float) -> None:
    """The figures."""
    grown = watched.peak - watched.before
    print(f"ended            {json.dumps(told['ended'])}")
    if first := told["first"]:
        last = first[int(len(first) * 0.99)]
        print(f"first byte       {statistics.median(first):.3f} s median, {last:.3f} s p99")
    after = rss(watched.pid)
    sizes = [f"{size / MIB:.0f} MiB" for size in (watched.before, watched.peak, after)]
    print(f"memory           {sizes[0]} before, {sizes[1]} at peak, {sizes[2]} after")
    print(f"per stream       {grown / given.streams / 1024:.0f} KiB")
    print(f"open files       {watched.files}")
    chunks = given.streams * given.chunks
    print(f"CPU              {took:.1f} s, {took / chunks * 1e6:.0f} us a chunk")
    idle = waited(watched.pid) - watched.waited_before
    print(f"kept from it     {idle:.1f} s, by other processes of this machine")
    print(f"busiest second   {max(watched.busy):.0%} of a core (this machine has {os.cpu_count()})")


if __name__ == "__main__":
    options = argparse.ArgumentParser(prog="streams", description=__doc__)
    options.add_argument("--streams", type=int, default=2000)
    options.add_argument("--chunks", type=int, default=50)
    options.add_argument("--seconds", type=float, default=20.0, help="of one stream")
    options.add_argument("--ramp", type=float, default=5.0, help="seconds in which they begin")
    sys.exit(asyncio.run(main(options.parse_args())))
