"""Whether memory stays what it is, once the sidecar is warm."""

import asyncio
import statistics
from collections.abc import Callable

from bench.common.proc import MIB, rss
from bench.soak.ledger import Life

EVERY_SECONDS = 0.5


async def watch(up: Callable[[], list[Life]]) -> None:
    """Look at whoever lives, again and again."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        for life in up():
            life.memory.append((loop.time() - began, rss(life.process.pid)))
        await asyncio.sleep(EVERY_SECONDS)


def grown(life: Life, seconds: float) -> tuple[float, float]:
    """Mean memory in the middle third of the run, and in the last third: MiB."""
    middle = [size for at, size in life.memory if seconds / 3 < at <= 2 * seconds / 3]
    last = [size for at, size in life.memory if 2 * seconds / 3 < at <= seconds]
    return statistics.fmean(middle) / MIB, statistics.fmean(last) / MIB
