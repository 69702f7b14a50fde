"""One row for each cell, as a Markdown table."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.faults.calls import Seen, summary
from bench.faults.cells import REDIS, Cell
from bench.faults.promises import Measured


@dataclass(frozen=True)
class Aside:
    """What became of the way back while Redis was broken, and of what was recorded then."""

    feedback: str
    """The status of a thumb, and how long it took."""
    kept: str
    """How many of the cell's conversations are known afterwards."""


@dataclass(frozen=True)
class Row:
    """One cell, measured."""

    cell: Cell
    measured: Measured
    back: float | None
    """Seconds after which calls were served as usual again; None: never."""
    aside: Aside | None = None

    @property
    def broken(self) -> str:
        """Why the promise was not kept; empty if it was."""
        return self.cell.promise.broken(self.measured) or ("not back" if self.back is None else "")

    @property
    def values(self) -> list[str]:
        """Its columns."""
        measured = self.measured
        whole, streamed = (summary(_kind(measured.calls, streamed=s)) for s in (False, True))
        then = measured.added(measured.then)
        return [
            self.cell.fault,
            whole,
            "the same" if streamed == whole else streamed,
            ms(measured.added(measured.first)[-1]),
            ms(statistics.median(then)),
            ms(then[-1]),
            *([self.aside.feedback, self.aside.kept] if self.aside else []),
            "never" if self.back is None else f"{self.back:.1f} s",
            self.cell.promise.words,
            self.broken or "yes",
        ]


def _kind(calls: Sequence[Seen], *, streamed: bool) -> list[Seen]:
    return [one for one in calls if one.streamed == streamed]


def ms(seconds: float) -> str:
    """A duration, for people."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def table(rows: Sequence[Row]) -> str:
    """The rows of one dependency."""
    head = ["fault", "client sees", "streamed", "first +", "p50 +", "max +"]
    head += ["feedback", "kept"] if rows[0].cell.where == REDIS else []
    head += ["back after", "promise", "held"]
    lines = [head, [], *(row.values for row in rows)]
    widths = [max(map(len, column)) for column in zip(head, *lines[2:], strict=True)]
    lines[1] = ["-" * width for width in widths]
    return "\n".join(f"| {' | '.join(map(str.ljust, values, widths))} |" for values in lines)
