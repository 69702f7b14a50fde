"""`sidecar sessions …`: look at and steer the sessions of a running sidecar."""

import argparse
import asyncio
import os
from typing import Any, TextIO

from sidecar.client import ApiError, SidecarClient
from sidecar.commands.output import dump
from sidecar.commands.session_view import show_list, show_status
from sidecar.commands.settings import settings_of
from sidecar.loading import Problem, SettingsError
from sidecar.loading.environment import secret_from
from sidecar.settings import Server


def sessions(arguments: argparse.Namespace, out: TextIO) -> int:
    """Carry out one `sidecar sessions` command."""
    url, key = _where(arguments)
    asyncio.run(_carry_out(arguments, url, key, out))
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
                extra = {"candidate_id": arguments.candidate} if action == "pin" else {}
                status = await client.command(arguments.session, action, **extra)
                _confirm(out, arguments, status)


def _where(arguments: argparse.Namespace) -> tuple[str, str | None]:
    """The sidecar to talk to and its key. The settings' own key goes to the settings' own address
    only: a key must not leave for wherever `--url` points."""
    try:
        key = arguments.key or secret_from(os.environ, "SIDECAR_KEY")
    except ValueError as error:
        raise SettingsError([Problem("SIDECAR_KEY", str(error), "environment")]) from None
    url = arguments.url or os.environ.get("SIDECAR_URL")
    if url:
        return url, key
    server = settings_of(arguments).settings.server
    if key is None and server.api_keys:
        key = server.api_keys[0].get_secret_value()
    return _address(server), key


def _address(server: Server) -> str:
    everywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # named to be replaced
    host = everywhere.get(server.host, server.host)
    return f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}"


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
    pinned = f"{getattr(arguments, 'candidate', '')} pinned"
    done = {"pin": pinned, "unpin": "unpinned", "rollback": "rolled back"}
    what = done.get(arguments.action, str(status.get("status", arguments.action)))
    out.write(f"{arguments.session}: {what}\n")
