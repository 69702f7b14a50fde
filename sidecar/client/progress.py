"""A job's progress for people: one line that changes at a terminal, a line for each change
elsewhere."""

import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from sidecar.client.job_results import first_number

_CLEAR = "\x1b[K"


class Progress:
    """Shows one job."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._began = clock()
        self._first: tuple[float, float] | None = None
        """When the first count was seen, and what it was."""
        self._is_terminal = out.isatty()
        self._shown = ""

    def show(self, status: Mapping[str, Any], word: str) -> None:
        """The newest status answer; `word`: how the job stands."""
        now = self._clock()
        text = " | ".join([word, *self._parts(status, now)])
        minutes, seconds = divmod(int(now - self._began), 60)
        line = f"[{minutes:02d}:{seconds:02d}] {text}"
        if self._is_terminal:
            room = shutil.get_terminal_size().columns - 1
            self._out.write(f"\r{line[:room]}{_CLEAR}")
        elif text != self._shown:
            self._out.write(line + "\n")
        self._shown = text
        self._out.flush()

    def close(self) -> None:
        """Leave the line."""
        if self._is_terminal and self._shown:
            self._out.write("\n")
            self._out.flush()

    def _parts(self, status: Mapping[str, Any], now: float) -> list[str]:
        """What is known: how much of how much, how fast, how good, what it cost."""
        progress, results = _mapping(status, "progress"), _mapping(status, "results")
        parts = []
        done = first_number(progress, "rollouts", "completed")
        done = first_number(results, "completed") if done is None else done
        if done is not None:
            total = first_number({**results, **progress}, "budget", "total")
            noun = "rollouts" if "rollouts" in progress else "seeds"
            parts.append(f"{done:g}" + (f"/{total:g}" if total else "") + f" {noun}")
            parts += self._rate(done, now)
        for name in ("generation", "iteration"):
            if (number := first_number(progress, name)) is not None:
                parts.append(f"{name} {number:g}")
        best = first_number(status, "best_score", "best_reward")
        best = first_number(progress, "best_score") if best is None else best
        mean = first_number({**results, **progress}, "mean_reward")
        parts += [f"best {best:.3f}"] if best is not None else []
        parts += [f"mean {mean:.3f}"] if mean is not None else []
        cost = first_number({**results, **progress}, "cost_usd", "total_cost_usd")
        return [*parts, f"${cost:.4f}"] if cost else parts

    def _rate(self, done: float, now: float) -> list[str]:
        if self._first is None:
            self._first = (now, done)
        at, before = self._first
        return [f"{(done - before) / (now - at):.1f}/s"] if now > at and done > before else []


def _mapping(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = status.get(name)
    return value if isinstance(value, Mapping) else {}
