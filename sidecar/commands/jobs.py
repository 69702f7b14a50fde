"""`sidecar jobs …`: look at and steer the offline jobs and evals of a running sidecar."""

import argparse
import asyncio
from typing import TextIO

from sidecar.client.job_steering import SidecarJobs
from sidecar.commands.job_view import show_events, show_job, show_jobs, show_results
from sidecar.commands.output import dump
from sidecar.commands.remote import where


def jobs(arguments: argparse.Namespace, out: TextIO) -> int:
    """Carry out one `sidecar jobs` command."""
    url, key = where(arguments)
    asyncio.run(_carry_out(arguments, url, key, out))
    return 0


async def _carry_out(arguments: argparse.Namespace, url: str, key: str | None, out: TextIO) -> None:
    async with SidecarJobs(url, key) as client:
        match arguments.action:
            case "list":
                listed = await client.listed(arguments.limit)
                (dump if arguments.json else show_jobs)(out, listed)
            case "show":
                status = await client.status(arguments.job)
                (dump if arguments.json else show_job)(out, status)
            case "results":
                results = await client.results(arguments.job)
                (dump if arguments.json else show_results)(out, results)
            case "events":
                events = await client.events(arguments.job, arguments.since, arguments.limit)
                (dump if arguments.json else show_events)(out, events)
            case action:
                answer = await client.command(arguments.job, action, arguments.reason)
                if arguments.json:
                    dump(out, answer)
                else:
                    out.write(f"{arguments.job}: {answer.get('message') or action}\n")
