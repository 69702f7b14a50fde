"""The command line: parses and dispatches. What a command does, and imports, is in `commands/`,
loaded when it is called, so that `sidecar version` and `--help` answer at once.

Exit codes: 0 done, 1 it did not work, 2 wrong usage or wrong settings.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TextIO

from sidecar import __version__

Command = Callable[[argparse.Namespace, TextIO], int]

_COMMANDS = {
    "serve": "sidecar.commands.serve",
    "check": "sidecar.commands.settings",
    "demo": "sidecar.commands.demo",
    "sessions": "sidecar.commands.sessions",
    "jobs": "sidecar.commands.jobs",
    "feedback": "sidecar.commands.feedback",
    "sign": "sidecar.commands.sign",
    "tunnel": "sidecar.commands.tunnel",
}
_STEERING = {
    "pause": "stop proposing and shifting traffic; the shares stay as they are",
    "resume": "go on after a pause",
    "cancel": "end the session for good; everyone gets the baseline again",
    "unpin": "end a pin",
    "rollback": "go back to the baseline; what served must prove itself anew",
    "release": "count the feedback of newcomers that is held back",
}
_JUDGING = {
    "pin": "serve one candidate to everyone",
    "approve": "let a proven candidate that waits for it serve by default (safety.promotion)",
    "retire": "have done with one candidate",
}
_JOB_STEERING = {
    "cancel": "end the job for good",
    "pause": "start no more rollouts",
    "resume": "go on after a pause",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as stop:  # argparse has said what was wrong, or shown the help
        return int(stop.code or 0)
    if arguments.command == "version":
        print(__version__)
        return 0
    try:
        return _carry_out(arguments)
    except KeyboardInterrupt:
        return 1
    except BrokenPipeError:  # the reader has seen enough (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _carry_out(arguments: argparse.Namespace) -> int:
    from sidecar.errors import SidecarError  # noqa: PLC0415
    from sidecar.loading import SettingsError  # noqa: PLC0415

    try:
        command: Command = getattr(import_module(_COMMANDS[arguments.command]), arguments.command)
        return command(arguments, sys.stdout)
    except SettingsError as error:
        print(f"sidecar: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise
    except (SidecarError, OSError) as error:
        print(f"sidecar: {' '.join(str(error).split())}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sidecar",
        description="Makes an application's prompts better from what its users say.",
        epilog="Settings: flag > environment (SIDECAR_SERVER__PORT) > sidecar.toml > default.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _serve(commands.add_parser("serve", help="run the sidecar"))
    _demo(commands.add_parser("demo", help="watch a prompt get better; no key, no network"))
    _check(commands.add_parser("check", help="show the effective settings, or all that is wrong"))
    _sessions(commands.add_parser("sessions", help="look at and steer a running sidecar"))
    _jobs(commands.add_parser("jobs", help="look at and steer offline jobs and evals"))
    _feedback(commands.add_parser("feedback", help="see what a webhook would become"))
    _sign(commands.add_parser("sign", help="make a signed test call to a feedback source"))
    _tunnel(commands.add_parser("tunnel", help="a public address for a server on this machine"))
    commands.add_parser("version", help="print the version")
    return parser


def _serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="settings file (default: sidecar.toml)")
    flag = parser.add_argument
    flag("--host", dest="server.host", metavar="HOST", help="address to listen on")
    flag("--port", dest="server.port", metavar="PORT", help="port to listen on; 0 picks one")
    flag(
        "--allow-open",
        dest="server.allow_open",
        action="store_true",
        default=None,
        help="listen beyond this machine without any key",
    )
    flag("--base-url", dest="provider.base_url", metavar="URL", help="provider that is called")
    flag("--store-path", dest="store.path", metavar="FILE", help="database file")
    flag("--log-level", dest="log.level", metavar="LEVEL", help="debug, info, warning or error")


def _check(parser: argparse.ArgumentParser) -> None:
    _serve(parser)
    _json(parser)


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=1, help="same seed, same run (default: 1)")
    parser.add_argument(
        "--feedback",
        choices=("true", "shuffled"),
        default="true",
        help="shuffled: the users' thumbs say nothing, so nothing may be promoted",
    )
    parser.add_argument(
        "--conversations", type=int, metavar="N", help="how many conversations are held"
    )
    parser.add_argument(
        "--keep-serving", action="store_true", help="stay up afterwards, to look around"
    )
    _json(parser)


def _sessions(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _remote(actions.add_parser("list", help="all sessions"))
    _create(actions.add_parser("create", help="a session from a file, or from a job's winner"))
    _remote(_one(actions.add_parser("show", help="candidates, evidence, recent events")))
    for action, words in _JUDGING.items():
        judging = _one(actions.add_parser(action, help=words))
        judging.add_argument("candidate", metavar="CANDIDATE")
        _remote(judging)
    for action, words in _STEERING.items():
        _remote(_one(actions.add_parser(action, help=words)))
    export = _one(actions.add_parser("export", help="write a prompt to standard output"))
    export.add_argument("--candidate", metavar="ID", help="which one (default: the best proven)")
    export.add_argument("--format", choices=("text", "messages", "json"), default="text")
    _remote(export)


def _create(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    flag("--from-job", metavar="JOB", help="begin with what this job found")
    flag("--config", dest="file", metavar="FILE", help="the session's configuration, TOML or JSON")
    flag("--id", metavar="ID", help="the session's id (default: a new one)")
    flag("--algorithm", choices=("gepa", "mipro"), help="default: the file's, else the job's")
    _address(parser)
    _json(parser)


def _jobs(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="the newest jobs")
    listed.add_argument("--limit", type=int, default=100, metavar="N", help="default: 100")
    _remote(listed)
    _remote(_job(actions.add_parser("show", help="how a job stands")))
    _remote(_job(actions.add_parser("results", help="its best prompt, or an eval's seeds")))
    events = _job(actions.add_parser("events", help="what happened"))
    events.add_argument("--since", type=int, default=0, metavar="SEQ", help="only after this one")
    events.add_argument("--limit", type=int, default=1000, metavar="N", help="default: 1000")
    _remote(events)
    for action, words in _JOB_STEERING.items():
        steering = _job(actions.add_parser(action, help=words))
        steering.add_argument("--reason", metavar="TEXT", help="kept with the job")
        _remote(steering)


def _job(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("job", metavar="JOB")
    return parser


def _feedback(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    tried = actions.add_parser("try", help="read one payload; nothing is sent or stored")
    flag = tried.add_argument
    flag("file", metavar="FILE", help="the body as it would come; - reads standard input")
    flag("--source", required=True, metavar="SOURCE", help="a configured source, or a kind")
    flag("--config", metavar="FILE", help="settings file (default: sidecar.toml)")
    options = tried.add_mutually_exclusive_group()
    options.add_argument("--options", metavar="FILE", help="the source's options, TOML")
    options.add_argument(
        "--option", action="append", metavar="K=V", help="one option: id_kind=rollout_id"
    )
    flag("--header", action="append", metavar="'K: V'", help="a header of the request")
    _json(tried)


def _sign(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    flag(
        "file", metavar="FILE", help="the body, as the product would send it; - for standard input"
    )
    flag("--source", metavar="NAME", required=True, help="which of the configured sources")
    flag("--send", action="store_true", help="send it, and show the answer")
    flag("--header", action="append", metavar="'NAME: VALUE'", help="one more header")
    flag("--id", metavar="ID", help="of the delivery, where it has one (default: a new one)")
    flag("--url", metavar="URL", help="the running sidecar (default: SIDECAR_URL, else settings)")
    flag("--config", metavar="FILE", help="settings file (default: sidecar.toml)")
    _json(parser)


def _tunnel(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("port", type=int, metavar="PORT", help="where the server listens")


def _one(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("session", metavar="SESSION")
    return parser


def _remote(parser: argparse.ArgumentParser) -> None:
    _address(parser)
    parser.add_argument("--config", metavar="FILE", help="settings file (default: sidecar.toml)")
    _json(parser)


def _address(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    flag("--url", metavar="URL", help="the running sidecar (default: SIDECAR_URL, else settings)")
    flag("--key", metavar="KEY", help="its key; SIDECAR_KEY keeps it out of the process list")


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="write JSON")
