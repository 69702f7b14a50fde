"""Configurations that a create request names instead of sending them.

Only files of one folder can be named, and only as what they are: nothing outside it, nothing that a
symbolic link leads to. Every refusal reads alike, so that nobody learns what else is on the disk.
"""

import asyncio
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sidecar.errors import InvalidRequest

MAX_BYTES = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
_KINDS = {".toml": tomllib.loads, ".json": json.loads}


async def with_config(request: Mapping[str, Any], folder: str) -> Mapping[str, Any]:
    """The create request with the `config_body` that its `config_name` or `config_path` names, if
    a folder for them is configured. Raises `InvalidRequest`."""
    named = [name for name in ("config_name", "config_path") if request.get(name) is not None]
    if not folder or not named or request.get("config_body") is not None:
        return request
    if len(named) > 1:
        raise InvalidRequest("give config_name or config_path, not both", param="config_name")
    [param] = named
    given = request[param]
    if not isinstance(given, str):
        raise InvalidRequest(f"{param} must be text", param=param)
    try:
        body = await asyncio.to_thread(_read, Path(folder), given, by_name=param == "config_name")
    except _Unusable as error:
        raise InvalidRequest(f"{param} {error}", param=param) from None
    return {**request, "config_body": body}


class _Unusable(Exception):
    """Why a named configuration cannot be used."""


def _read(folder: Path, given: str, *, by_name: bool) -> Any:
    path = _by_name(folder, given) if by_name else _by_path(folder, given)
    if path is None:
        raise _Unusable("names no configuration that this sidecar has; send config_body")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise _Unusable(f"names a file of more than {MAX_BYTES} bytes")
        return _KINDS[path.suffix](content.decode())
    except OSError:
        raise _Unusable("names a file that the sidecar cannot read") from None
    except (ValueError, RecursionError) as error:
        raise _Unusable(
            f"names a file that is not valid {path.suffix[1:].upper()}: {error}"
        ) from None


def _by_name(folder: Path, name: str) -> Path | None:
    if not _NAME.fullmatch(name):
        return None
    found = (_by_path(folder, name + suffix) for suffix in _KINDS)
    return next((path for path in found if path is not None), None)


def _by_path(folder: Path, given: str) -> Path | None:
    """The file, if it is a plain one in the folder. A path that is not already what it resolves to
    goes through a link or `..`."""
    try:
        home = folder.resolve(strict=True)
        asked = home / given
        if not asked.is_relative_to(home) and asked.is_relative_to(folder.absolute()):
            asked = home / asked.relative_to(folder.absolute())
        plain = asked.is_relative_to(home) and asked == asked.resolve(strict=True)
        return asked if plain and asked.is_file() and asked.suffix in _KINDS else None
    except (OSError, ValueError, RuntimeError):
        return None
