"""What the system knows of a process (Linux)."""

import os
import resource
from pathlib import Path

MIB = 1024 * 1024


def rss(pid: int) -> int:
    """Memory in use, bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def cpu(pid: int) -> float:
    """Seconds of CPU it has had."""
    after_name = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2]
    user, system = map(int, after_name.split()[11:13])
    return (user + system) / os.sysconf("SC_CLK_TCK")


def waited(pid: int) -> float:
    """Seconds that it was ready to run and other processes had the CPU."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9


def open_files(pid: int) -> int:
    """How many it has."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
