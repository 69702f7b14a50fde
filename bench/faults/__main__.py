"""What calls go through when something breaks: every fault of every dependency, measured.

    make faults

Starts three sidecars, a Redis server and a provider on loopback, breaks one connection after the
other, and prints one row for each. Exit code 1 when a promise was not kept. Takes a minute and a
half.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.faults.calls import Seen, feedback, many, summary
from bench.faults.cells import BACKEND, REDIS, TOGETHER, Cell
from bench.faults.parts import Parts, parts
from bench.faults.promises import Measured, Usual
from bench.faults.table import Aside, Row, ms, table

USUAL, FIRST, THEN = 100, 4, 36
"""Calls without a fault; calls that meet the fault together; calls after them."""
BACK_SECONDS = 30.0
"""How long a cell may take to be as before."""
KEPT_SECONDS = 5.0
"""How long what was recorded during a fault may take to be written after it."""

LEGEND = """
first +     of 4 calls made at the moment the fault begins, what the slowest took longer than usual
p50, max +  the same of the 36 calls after them
feedback    (Redis) what a thumb given meanwhile was answered, and after how long
kept        (Redis) how many of the 40 conversations served meanwhile are known when it is over
back after  seconds from the end of the fault until calls are served as usual
promise     what a call may take longer; "waited for": slow is not wrong; "told": an error in
            OpenAI's shape, or the provider's own
held        whether it was, give or take the machine's own noise: what the slowest call without a
            fault took longer than their median"""


async def measure(parts: Parts, cell: Cell, usual: Usual) -> Row:
    """Plant the fault, call, take it away, and wait until all is as before."""
    url = parts.edge.url if cell.where == BACKEND else parts.alone.url
    told = ""
    async with cell.plant(parts):
        first = await many(parts.http, url, FIRST, at_once=FIRST)
        then = await many(parts.http, url, THEN, at_once=cell.at_once)
        if cell.where == REDIS:
            status, seconds, _ = await feedback(parts.http, url, "somebody")
            told = f"{status}, {ms(seconds)}"
    measured = Measured(first, then, usual)
    since = await back(parts, url)
    if cell.where != REDIS or since is None:
        return Row(cell, measured, since)
    names = [one.name for one in measured.calls]
    return Row(
        cell, measured, since, Aside(told, f"{await kept(parts, url, names)} of {len(names)}")
    )


async def kept(parts: Parts, url: str, talks: Sequence[str]) -> int:
    """How many of these conversations can be rewarded: what is late is waited for."""
    end = time.monotonic() + KEPT_SECONDS
    while True:
        _, _, became = await feedback(parts.http, url, *talks)
        if became["attributed"] == len(talks) or time.monotonic() > end:
            return became["attributed"]
        await asyncio.sleep(0.2)


async def back(parts: Parts, url: str) -> float | None:
    """Seconds until a few calls in a row, and feedback, are served as usual."""
    began = time.monotonic()
    while (since := time.monotonic() - began) < BACK_SECONDS:
        calls = await many(parts.http, url, 4)
        if all(map(as_usual, calls)) and (await feedback(parts.http, url, "somebody"))[0] == 202:
            return since
        await asyncio.sleep(0.1)
    return None


def as_usual(one: Seen) -> bool:
    """Whether the call was served by the session's prompt."""
    return one.ok and one.what in {"200 baseline", "200 optimized"}


async def series(parts: Parts, cells: Sequence[Cell]) -> list[Row]:
    """The cells, one after the other."""
    url = parts.edge.url if cells[0].where == BACKEND else parts.alone.url
    calls = await many(parts.http, url, USUAL)
    assert all(map(as_usual, calls)), summary(calls)
    usual = Usual.of(calls)
    rows = []
    for cell in cells:
        rows.append(await measure(parts, cell, usual))
        print(f"{cell.where}: {cell.fault}", file=sys.stderr, flush=True)
    return rows


def show(rows: Sequence[Row]) -> None:
    """The tables, one for each dependency."""
    for where in dict.fromkeys(row.cell.where for row in rows):
        own = [row for row in rows if row.cell.where == where]
        usual = ms(own[0].measured.usual.median)
        print(f"\n{where} (a call takes {usual} when nothing is wrong)\n\n{table(own)}")
    print(LEGEND)


async def main() -> int:
    """0 when every promise was kept, and nothing was logged that nobody should see."""
    with tempfile.TemporaryDirectory() as folder:
        async with parts(Path(folder)) as running:
            found = await asyncio.gather(*(series(running, cells) for cells in TOGETHER))
            errors = running.errors()
    rows = [row for of in found for row in of]
    show(rows)
    broken = [f"{row.cell.where}, {row.cell.fault}: {row.broken}" for row in rows if row.broken]
    print("\n" + ("\n".join(broken + errors) or "Every promise was kept."))
    return bool(broken or errors)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
