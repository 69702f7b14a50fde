"""Plain text for people, JSON for programs. No colour, so that it looks the same everywhere."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TextIO


def table(out: TextIO, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need to be; numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    numeric = [
        bool(rows) and all(_is_number(cell) for cell in column)
        for column in zip(*rows, strict=True)
    ] or [False] * len(head)
    for row in (head, *rows):
        cells = zip(row, widths, numeric, strict=True)
        line = "  ".join(cell.rjust(w) if right else cell.ljust(w) for cell, w, right in cells)
        out.write(line.rstrip() + "\n")


def dump(out: TextIO, value: Any) -> None:
    """One JSON document."""
    json.dump(value, out, indent=2, ensure_ascii=False, default=str)
    out.write("\n")


def number(value: Any, digits: int = 3) -> str:
    """A figure of an answer, or a dash when there is none yet."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.{digits}f}"


def percent(value: Any) -> str:
    """A share."""
    return f"{value:.1%}" if isinstance(value, int | float) else "-"


def moment(value: Any) -> str:
    """Unix seconds as a time in UTC."""
    if not isinstance(value, int | float):
        return "-"
    return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.rstrip("%").replace(".", "", 1).removeprefix("-").isdigit()
