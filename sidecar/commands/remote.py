"""Which running sidecar a command talks to."""

import argparse
import os

from sidecar.commands.settings import settings_of
from sidecar.loading import Problem, SettingsError
from sidecar.loading.environment import secret_from
from sidecar.settings import Server


def where(arguments: argparse.Namespace) -> tuple[str, str | None]:
    """The sidecar to talk to and its key. The settings' own key goes to the settings' own address
    only: a key must not leave for wherever `--url` points."""
    try:
        key = arguments.key or secret_from(os.environ, "SIDECAR_KEY")
    except ValueError as error:
        raise SettingsError([Problem("SIDECAR_KEY", str(error), "environment")]) from None
    if url := named(arguments):
        return url, key
    server = settings_of(arguments).settings.server
    if key is None and server.api_keys:
        key = server.api_keys[0].get_secret_value()
    return address(server), key


def named(arguments: argparse.Namespace) -> str | None:
    """The address that somebody named, which may be anywhere."""
    return arguments.url or os.environ.get("SIDECAR_URL")


def address(server: Server) -> str:
    """Where the settings say that a sidecar listens, as seen from this machine."""
    everywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # named to be replaced
    host = everywhere.get(server.host, server.host)
    return f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}"
