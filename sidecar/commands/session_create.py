"""`sidecar sessions create`: an online session from a configuration file, or one that begins with
what an offline job found."""

import argparse
import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from sidecar.client import GepaOnlineSession, MiproOnlineSession, OnlineSession
from sidecar.client.config_file import read_config, read_file
from sidecar.client.job_results import JobStatus, job_status
from sidecar.client.job_steering import SidecarJobs
from sidecar.commands.output import dump
from sidecar.errors import SidecarError
from sidecar.loading import Problem, SettingsError

_CLASSES: dict[str, type[OnlineSession]] = {"gepa": GepaOnlineSession, "mipro": MiproOnlineSession}
_ROOT = "prompt_learning"
_ROOTS = (_ROOT, "policy_optimization")


async def create(arguments: argparse.Namespace, url: str, key: str | None, out: TextIO) -> None:
    """Create it; `--config` gives the configuration, `--from-job` the prompt to begin with."""
    given = await asyncio.to_thread(read_file, Path(arguments.file)) if arguments.file else {}
    section = _section(given)
    winner: dict[str, Any] = {}
    if arguments.from_job:
        async with SidecarJobs(url, key) as jobs:
            winner = _winner(await jobs.results(arguments.from_job), arguments.from_job)
    elif not arguments.file:
        problem = "give --from-job JOB, --config FILE, or both"
        raise SettingsError([Problem("sessions create", problem, "command line")])
    algorithm = arguments.algorithm or section.get("algorithm") or winner.get("algorithm")
    kind = _CLASSES.get(str(algorithm))
    if kind is None:
        raise SidecarError(f"the algorithm must be gepa or mipro, not {algorithm!r}")
    if winner:
        config = _online(section, str(algorithm), winner)
    else:
        config = await asyncio.to_thread(read_config, arguments.file, str(algorithm))
    session = await kind.create_async(
        config_body=config,
        metadata={"from_job": arguments.from_job} if winner else None,
        session_id=arguments.id,
        backend_url=url,
        api_key=key or "",
    )
    _tell(out, arguments, session, winner)


def _section(config: Mapping[str, Any]) -> dict[str, Any]:
    return next((dict(config[root]) for root in _ROOTS if isinstance(config.get(root), dict)), {})


def _winner(results: Mapping[str, Any], job_id: str) -> dict[str, Any]:
    """What the job found, as an `initial_prompt`. Raises `SidecarError` when it found nothing."""
    status = job_status(results.get("status"))
    if status is not JobStatus.SUCCEEDED:
        raise SidecarError(f"job {job_id} is {status}; only one that succeeded has a winner")
    prompt = results.get("best_prompt")
    messages = prompt.get("messages") if isinstance(prompt, Mapping) else None
    if not isinstance(messages, list) or not messages:
        raise SidecarError(f"job {job_id} has no best prompt; is it an eval?")
    config = results.get("config")
    config = config if isinstance(config, Mapping) else {}
    before = config.get("messages")
    return {
        "prompt": {"messages": messages, "wildcards": _wildcards(config)},
        "algorithm": results.get("algorithm"),
        "added": len(messages) - len(before) if isinstance(before, list) else 0,
    }


def _wildcards(config: Mapping[str, Any]) -> dict[str, str]:
    """The placeholders of the job's prompt, in the published form."""
    given = config.get("wildcards") or []
    return {w["name"]: "REQUIRED" if w.get("required") else "OPTIONAL" for w in given}


def _online(
    section: Mapping[str, Any], algorithm: str, winner: Mapping[str, Any]
) -> dict[str, Any]:
    own = section.get(algorithm)
    return {
        _ROOT: {
            **section,
            "algorithm": algorithm,
            "initial_prompt": winner["prompt"],
            algorithm: {**(own if isinstance(own, dict) else {}), "mode": "online"},
        }
    }


def _tell(
    out: TextIO, arguments: argparse.Namespace, session: OnlineSession, winner: Mapping[str, Any]
) -> None:
    if arguments.json:
        names = ("session_id", "online_url", "chat_completions_url")
        dump(out, {name: getattr(session, name) for name in names})
        return
    name = session.session_id
    out.write(f"{name}: created\nbase URL for an OpenAI client: {session.online_url}\n")
    if winner:
        out.write(
            "Your application's system message must be its baseline from now on: "
            f"sidecar sessions export {name} --candidate baseline\n"
        )
    if winner.get("added", 0) > 0:
        out.write(
            "The winner has demonstrations after its system message, which are your application's "
            f"to send: sidecar jobs results {arguments.from_job}\n"
        )
