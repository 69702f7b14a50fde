"""How the demo looks: a line a second, a line per event, a summary; 100 columns, colour on request.

`People` writes for a terminal, `Lines` writes one JSON object per line for programs.
"""

import difflib
import json
from collections.abc import Callable, Iterator
from typing import Any

from sidecar.simulation.scoreboard import Happening, Scoreboard
from sidecar.simulation.world import BASELINE, IDEAL

Out = Callable[[str], None]
_WIDTH = 100
_BAR = 24
_EVIDENCE = {
    "why": "{}",
    "e_value": "e-value {:,.0f}",
    "threshold": "of {:,.0f}",
    "rewards": "from {} rewards",
    "proven_lead": "lead {:.0%}",
    "": "{}",
}
"""What is shown of an event's detail, in this order."""
_MARKS = {"proposed": "+", "certified": "=", "promoted": "*", "rolled_back": "!"}
"""What people are told of; the others only fill the screen."""
_COLOURS = {"promoted": "32", "rolled_back": "31", "certified": "36", "+": "32", "-": "31"}


class People:
    """For reading."""

    def __init__(self, out: Out, *, colour: bool) -> None:
        self._out = out
        self._colour = colour

    def begin(self, board: Scoreboard, url: str, feedback: str) -> None:
        """Say what is going to happen."""
        ideal = board.provider.world.success_rate(IDEAL)
        self._out(f"A simulated shop talks through the sidecar at {url} (feedback: {feedback}).")
        self._out(
            f"Its prompt satisfies {board.baseline:.1%} of customers; the best there is would "
            f"satisfy {ideal:.1%}."
        )
        self._out("Truth is the simulation's and for measuring only; the sidecar sees thumbs.\n")

    def progress(self, board: Scoreboard, seconds: float) -> None:
        """One line."""
        now = board.now()
        filled = round(_BAR * now)
        bar = "█" * filled + "░" * (_BAR - filled)
        gain = 100 * (now - board.baseline)
        self._out(
            f"{seconds:5.0f} s {len(board.served):7,} talks  {bar} {now:6.1%} served now "
            f"{gain:+6.1f} pp {int(board.status.get('reward_count', 0)):7,} rewards"
        )

    def happened(self, one: Happening) -> None:
        """One line for one event."""
        if one.kind not in _MARKS:
            return
        truth = "" if one.truth is None else f"true {one.truth:.1%}"
        shown = [_worded(form, one.detail[k]) for k, form in _EVIDENCE.items() if k in one.detail]
        detail = one.change or " ".join(shown)
        mark = _MARKS[one.kind]
        kind = one.kind.replace("_", " ")
        line = f"      {mark} {kind:<11} {one.candidate_id[:13]:<13} {truth:<10} {detail}"
        self._out(self._painted(line[:_WIDTH].rstrip(), one.kind))

    def end(self, board: Scoreboard, result: dict[str, Any]) -> None:
        """What was learned and what it took, then the result."""
        identity, text = board.best()
        truth = board.truth_of(identity)
        self._out("")
        self._out(f"What was learned: {identity}" + (f", true {truth:.1%}" if truth else ""))
        for line in _difference(text):
            self._out(self._painted(line, line[0]))
        self._out("")
        self._out(
            f"What it took: {result['rollouts']:,} conversations, {result['feedback']:,} thumbs, "
            f"{result['rewards']:,} rewards, {result['proposed']} candidates, "
            f"{result['promoted']} promotions."
        )
        if result["served_last_fifth"] is not None:
            self._out(
                f"Satisfied customers: {result['baseline']:.1%} before, "
                f"{result['served_last_fifth']:.1%} over the last fifth.\n"
            )
        self._out(json.dumps(result))

    def serving(self, lines: list[str]) -> None:
        """What to try now."""
        for line in lines:
            self._out(line)

    def _painted(self, line: str, kind: str) -> str:
        code = _COLOURS.get(kind)
        return f"\x1b[{code}m{line}\x1b[0m" if self._colour and code else line


class Lines:
    """For programs."""

    def __init__(self, out: Out) -> None:
        self._out = out

    def begin(self, board: Scoreboard, url: str, feedback: str) -> None:
        """The set-up."""
        self._tell(type="begin", url=url, feedback=feedback, baseline=round(board.baseline, 4))

    def progress(self, board: Scoreboard, seconds: float) -> None:
        """Where it stands."""
        self._tell(
            type="progress",
            seconds=round(seconds, 1),
            conversations=len(board.served),
            served=round(board.now(), 4),
            rewards=int(board.status.get("reward_count", 0)),
        )

    def happened(self, one: Happening) -> None:
        """An event of the session."""
        self._tell(
            type="event",
            kind=one.kind,
            candidate_id=one.candidate_id,
            truth=one.truth,
            change=one.change,
            detail=dict(one.detail),
        )

    def end(self, board: Scoreboard, result: dict[str, Any]) -> None:
        """The winner, then the result."""
        identity, text = board.best()
        self._tell(type="best", candidate_id=identity, text=text)
        self._out(json.dumps(result))

    def serving(self, lines: list[str]) -> None:
        """What to try now."""
        self._tell(type="serving", text="\n".join(lines))

    def _tell(self, **fields: Any) -> None:
        self._out(json.dumps(fields))


def _worded(form: str, value: Any) -> str:
    return form.format(value) if isinstance(value, float | int) or form == "{}" else str(value)


def _difference(text: str) -> Iterator[str]:
    lines = difflib.unified_diff(
        BASELINE.splitlines(), text.splitlines(), "baseline", "best", lineterm=""
    )
    yield from list(lines) or ["(nothing better than the baseline was found)"]
