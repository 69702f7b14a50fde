"""`sidecar sessions …`: look at and steer the sessions of a running sidecar."""

import argparse
import asyncio
from typing import Any, TextIO

from sidecar.client import ApiError, SidecarClient
from sidecar.commands.output import dump
from sidecar.commands.remote import where
from sidecar.commands.session_create import create
from sidecar.commands.session_view import show_list, show_status


def sessions(arguments: argparse.Namespace, out: TextIO) -> int:
    """Carry out one `sidecar sessions` command."""
    url, key = where(arguments)
    carry_out = create if arguments.action == "create" else _carry_out
    asyncio.run(carry_out(arguments, url, key, out))
    return 0


async def _carry_out(arguments: argparse.Namespace, url: str, key: str | None, out: TextIO) -> None:
    async with SidecarClient(url, key) as client:
        match arguments.action:
            case "list":
                listed = await client.sessions()
                (dump if arguments.json else show_list)(out, listed)
            case "show":
                status = await client.status(arguments.session)
                (dump if arguments.json else show_status)(out, status)
            case "export":
                exported = await client.export(arguments.session, arguments.candidate)
                _write_export(out, exported, arguments.format)
            case action:
                named = hasattr(arguments, "candidate")
                extra = {"candidate_id": arguments.candidate} if named else {}
                status = await client.command(arguments.session, action, **extra)
                _confirm(out, arguments, status)


def _write_export(out: TextIO, exported: dict[str, Any], form: str) -> None:
    if form == "json":
        dump(out, exported)
    elif form not in exported:
        raise ApiError(f"the sidecar's export holds no {form!r}; try --format json")
    elif form == "messages":
        dump(out, exported["messages"])
    else:
        out.write(str(exported["text"]).rstrip("\n") + "\n")


def _confirm(out: TextIO, arguments: argparse.Namespace, status: dict[str, Any]) -> None:
    if arguments.json:
        dump(out, status)
        return
    candidate = getattr(arguments, "candidate", "")
    done = {
        "pin": f"{candidate} pinned",
        "unpin": "unpinned",
        "rollback": "rolled back",
        "approve": f"{candidate} serves by default now",
        "retire": f"{candidate} retired",
        "release": "released",
    }
    what = done.get(arguments.action, str(status.get("status", arguments.action)))
    out.write(f"{arguments.session}: {what}\n")
