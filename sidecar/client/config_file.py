"""A session's configuration in a file of the caller's, read here: the server cannot see it."""

import json
import tomllib
from os import PathLike
from pathlib import Path
from typing import Any

from sidecar.client.errors import ConfigError

_ROOTS = ("prompt_learning", "policy_optimization")
_KINDS = {".toml": tomllib.loads, ".json": json.loads}


def read_config(file: str | PathLike[str], algorithm: str) -> dict[str, Any]:
    """The `config_body` in a TOML or JSON file for an online session of `algorithm`. Raises
    `ConfigError` when the file is missing or malformed (with the line), or lacks what every
    session needs; the rest of it is the server's to judge."""
    path = Path(file)
    body = read_file(path)
    root = next((name for name in _ROOTS if isinstance(body.get(name), dict)), None)
    if root is None:
        found = ", ".join(body) or "nothing"
        raise ConfigError(f"{path} has no [{_ROOTS[0]}] section (nor [{_ROOTS[1]}]), but {found}")
    section = body[root]
    if section.get("algorithm") != algorithm:
        raise ConfigError(
            f"{path}: {root}.algorithm must be {algorithm!r} for this class, "
            f"not {section.get('algorithm')!r}"
        )
    prompt = section.get("initial_prompt")
    messages = prompt.get("messages") if isinstance(prompt, dict) else None
    if not isinstance(messages, list) or not messages:
        raise ConfigError(
            f"{path}: {root}.initial_prompt.messages must hold the prompt that you use today"
        )
    return body


def read_file(path: Path) -> dict[str, Any]:
    """The object in a TOML or JSON file. Raises `ConfigError` when there is none, with the line of
    the mistake."""
    parse = _KINDS.get(path.suffix.lower())
    if parse is None:
        raise ConfigError(f"{path} must be a .toml or a .json file")
    try:
        body = parse(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            f"the configuration {path.absolute()} cannot be read: {error.strerror or error}"
        ) from error
    except (ValueError, RecursionError) as error:
        kind = path.suffix[1:].upper()
        raise ConfigError(f"{path} is not valid {kind}: {error}") from error
    if not isinstance(body, dict):
        raise ConfigError(f"{path} must hold an object")
    return body
