"""Sessions as tables. Reads answers leniently: a field that is not there is shown as a dash."""

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from sidecar.commands.output import moment, number, percent, table

_EVENTS = 10
"""Recent events that are shown; `--json` has all that the sidecar tells."""

_CANDIDATE = (
    "candidate", "role", "share", "rewards", "mean", "expected", "95 % interval", "certainty",
)  # fmt: skip
"""`mean` is the plain average; `expected` and its interval allow for when and whom it served."""


def show_list(out: TextIO, sessions: Sequence[Mapping[str, Any]]) -> None:
    """One line a session."""
    if not sessions:
        out.write("No sessions yet. Configure one in sidecar.toml, or create one over the API.\n")
        return
    head = ("session", "status", "rollouts", "rewards", "candidates", "incumbent", "best")
    table(out, head, [_line(session) for session in sessions])


def show_status(out: TextIO, status: Mapping[str, Any]) -> None:
    """Who competes with which evidence, and what happened lately."""
    out.write(
        f"session {_word(status.get('session_id'))}: {_word(status.get('status'))}, "
        f"{number(status.get('rollout_count'))} rollouts, "
        f"{number(status.get('reward_count'))} rewards\n"
    )
    safety = status.get("safety") or {}
    if safety.get("pinned"):
        out.write(f"pinned: {safety['pinned']}\n")
    rows = [_candidate(candidate) for candidate in _list(status.get("candidates"))]
    if rows:
        out.write("\n")
        table(out, _CANDIDATE, rows)
    for waiting in _list(safety.get("awaiting")):
        out.write(f"\n{_word(waiting.get('candidate_id'))} waits for approval:\n")
        out.write(f"{_word(waiting.get('diff'))}\n")
    events = _list(safety.get("events"))[-_EVENTS:]
    if events:
        out.write("\n")
        table(out, ("time (UTC)", "event", "candidate", "detail"), [_event(e) for e in events])


def _line(session: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        _word(session.get("session_id")),
        _word(session.get("status")),
        number(session.get("rollout_count")),
        number(session.get("reward_count")),
        number(session.get("candidate_count")),
        _word(session.get("incumbent_id")),
        _word(session.get("best_candidate_id")),
    )


def _candidate(candidate: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        _word(candidate.get("candidate_id")),
        _word(candidate.get("role")),
        percent(candidate.get("share")),
        number(candidate.get("reward_count")),
        number(candidate.get("avg_reward")),
        number(candidate.get("expected_reward")),
        _interval(candidate.get("interval")),
        _word(candidate.get("certainty")),
    )


def _interval(value: Any) -> str:
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004  # two ends
        return "-"
    return f"{number(value[0])} to {number(value[1])}"


def _event(event: Mapping[str, Any]) -> tuple[str, ...]:
    detail = event.get("detail")
    if isinstance(detail, Mapping):
        detail = ", ".join(f"{name} {value}" for name, value in detail.items() if value != "")
    return (
        moment(event.get("at")),
        _word(event.get("kind")),
        _word(event.get("candidate_id")),
        str(detail or ""),
    )


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _word(value: Any) -> str:
    return str(value) if value else "-"
