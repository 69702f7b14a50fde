"""Jobs as tables. Reads answers leniently: a field that is not there is shown as a dash."""

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from sidecar.client.job_results import EvalResult, PolicyOptimizationResult
from sidecar.commands.output import number, table

_SECONDS = 19
"""Characters of an ISO time up to its seconds."""


def show_jobs(out: TextIO, jobs: Sequence[Mapping[str, Any]]) -> None:
    """One line a job."""
    if not jobs:
        out.write("No jobs yet. Submit one with sidecar.client, or over the API.\n")
        return
    head = ("job", "kind", "algorithm", "status", "created (UTC)", "completed (UTC)")
    table(out, head, [_line(job) for job in jobs])


def show_job(out: TextIO, status: Mapping[str, Any]) -> None:
    """How a job stands."""
    named = _word(status.get("algorithm") or "eval")
    out.write(f"job {_word(status.get('job_id'))}: {_word(status.get('status'))}, {named}\n")
    if status.get("error"):
        out.write(f"error: {status['error']}\n")
    moments = ("created", "started", "completed")
    out.writelines(f"{name}: {_time(status.get(f'{name}_at'))}\n" for name in moments)
    figures = {**_mapping(status.get("results")), **_mapping(status.get("progress"))}
    best = status.get("best_score")
    rows = [(name, _figure(value)) for name, value in figures.items() if name != "best_score"]
    if best is not None:
        rows.append(("best_score", number(best)))
    if rows:
        out.write("\n")
        table(out, ("progress", "value"), rows)


def show_events(out: TextIO, events: Sequence[Mapping[str, Any]]) -> None:
    """One line an event."""
    if not events:
        out.write("Nothing happened after that.\n")
        return
    table(out, ("seq", "time (UTC)", "event", "message"), [_event(event) for event in events])


def show_results(out: TextIO, results: Mapping[str, Any]) -> None:
    """A policy job's best prompt and its way there, or an eval's seeds."""
    job_id = _word(results.get("job_id"))
    if "summary" in results:
        _show_eval(out, EvalResult.of(job_id, results))
        return
    found = PolicyOptimizationResult.of(job_id, results)
    out.write(f"job {job_id}: {found.status}, best score {number(found.best_score)}\n")
    history = [row for row in results.get("history") or () if isinstance(row, Mapping)]
    if history:
        out.write("\n")
        rows = [(number(r.get("generation")), number(r.get("best_reward"))) for r in history]
        table(out, ("generation", "best so far"), rows)
    messages = _mapping(found.best_prompt).get("messages")
    if isinstance(messages, list):
        for message in messages:
            text = message.get("pattern") or message.get("content") or ""
            out.write(f"\n--- {_word(message.get('role'))}\n{str(text).rstrip()}\n")


def _show_eval(out: TextIO, found: EvalResult) -> None:
    cost = "-" if found.total_cost_usd is None else f"${found.total_cost_usd:.4f}"
    out.write(
        f"job {found.job_id}: {found.status}, mean reward {number(found.mean_reward)}, "
        f"{number(found.total_tokens)} tokens, {cost}\n"
    )
    if found.seed_results:
        out.write("\n")
        head = ("seed", "score", "tokens", "cost (USD)", "latency (ms)", "error")
        table(out, head, [_seed(row) for row in found.seed_results])


def _seed(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        number(row.get("seed")),
        number(row.get("score", row.get("reward"))),
        number(row.get("tokens")),
        number(row.get("cost_usd"), 4),
        number(row.get("latency_ms"), 0),
        _word(row.get("error")),
    )


def _line(job: Mapping[str, Any]) -> tuple[str, ...]:
    words = (_word(job.get(name)) for name in ("job_id", "kind", "algorithm", "status"))
    return (*words, _time(job.get("created_at")), _time(job.get("completed_at")))


def _event(event: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        number(event.get("seq")),
        _time(event.get("created_at")),
        _word(event.get("type")),
        " ".join(str(event.get("message") or "").split()),
    )


def _figure(value: Any) -> str:
    return number(value) if isinstance(value, int | float) else _word(value)


def _time(value: Any) -> str:
    return value[:_SECONDS].replace("T", " ") if isinstance(value, str) and value else "-"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _word(value: Any) -> str:
    return str(value) if value else "-"
