"""Users under random faults for a while; then the books are checked.

    make soak
    make soak ARGS='--seconds 600 --replicas 2 --seed 7'

In the first third sidecars are killed (`kill -9`) too; after it they live on, so that their memory
can be compared. Exit code 1 when something does not add up, a call hangs, memory grows, or a log
has a line that nobody should see.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench.common.proc import MIB
from bench.soak import memory
from bench.soak.books import checked
from bench.soak.chaos import Chaos
from bench.soak.ledger import Ledger
from bench.soak.parts import Parts, parts
from bench.soak.users import Users

SAY_SECONDS = 5.0
ALLOWED_MIB = 8.0
"""What the mean of the last third may be above that of the middle one."""
LEAST_SECONDS = 60.0
"""In a shorter run a sidecar is not yet warm, so its memory is not judged."""
DONE_SECONDS = 60.0
"""How long the last calls and thumbs may take."""


async def say(parts: Parts, ledger: Ledger, chaos: Chaos) -> None:
    """How it goes, now and then."""
    began = time.monotonic()
    while True:
        await asyncio.sleep(SAY_SECONDS)
        calls = sum((life.calls for life in parts.fleet.lives), Counter())
        sizes = [f"{life.memory[-1][1] / MIB:.0f}" for life in parts.fleet.up if life.memory]
        print(
            f"{time.monotonic() - began:5.0f} s  {dict(calls)}  "
            f"thumbs {len(ledger.acknowledged)}/{len(ledger.thumbs)}  "
            f"{' '.join(sizes)} MiB  {chaos.now or 'all is well'}",
            flush=True,
        )


async def soak(given: argparse.Namespace, parts: Parts) -> list[str]:
    """What is wrong."""
    ledger = Ledger()
    users = Users(parts.fleet, ledger, given.seed)
    chaos = Chaos(parts, given.seed)
    aside = [
        asyncio.create_task(memory.watch(lambda: parts.fleet.up)),
        asyncio.create_task(say(parts, ledger, chaos)),
    ]
    crowd = asyncio.create_task(users.run(given.users))
    await chaos.run(given.seconds / 3, kills=True)
    await chaos.run(given.seconds * 2 / 3, kills=False)
    users.closed = True
    async with asyncio.timeout(DONE_SECONDS):
        await crowd
    for task in aside:
        task.cancel()
    print(f"\nbroken           {', '.join(f'{n} {what}' for what, n in chaos.happened.items())}")
    problems = await checked(parts, ledger) + [f"{talk} hangs" for talk in users.hung]
    return problems + flat(parts, given.seconds)


def flat(parts: Parts, seconds: float) -> list[str]:
    """Whether memory grew."""
    problems = []
    for life in parts.fleet.up:
        middle, last = memory.grown(life, seconds)
        print(f"memory           {middle:.1f} MiB in the middle third, {last:.1f} in the last")
        if last - middle > ALLOWED_MIB and seconds >= LEAST_SECONDS:
            problems.append(f"memory grew by {last - middle:.1f} MiB")
    return problems


async def main(given: argparse.Namespace) -> int:
    """0 when everything adds up."""
    with tempfile.TemporaryDirectory() as folder:
        async with parts(Path(folder), given.replicas, given.seed) as running:
            problems = await soak(given, running)
    print("\n" + ("\n".join(problems) or "Everything adds up."))
    return bool(problems)


if __name__ == "__main__":
    options = argparse.ArgumentParser(prog="soak", description=__doc__)
    options.add_argument("--seconds", type=float, default=180.0)
    options.add_argument("--users", type=int, default=16)
    options.add_argument("--replicas", type=int, default=1)
    options.add_argument("--seed", type=int, default=1)
    sys.exit(asyncio.run(main(options.parse_args())))
