"""Settings from everywhere, judged at once: every mistake is named, with its place and its cure.

A value of the wrong type does not hide the others: it is taken out, the rest is judged with the
default in its place, and rules that would have looked at it stay silent.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from sidecar.loading.complaint import Complaint
from sidecar.loading.environment import add_source_secrets, from_environment
from sidecar.loading.rules import doubtful, wrong
from sidecar.loading.sources import NAMES, SECRETS, Layer, Problem, from_file, from_flags
from sidecar.loading.words import expectation
from sidecar.settings import Settings
from sidecar.telemetry.redaction import names_secret, redact

DEFAULT_FILE = Path("sidecar.toml")
MASK = "********"
_REPAIRS = 4
"""Rounds of taking wrong values out; each round can only uncover a missing one below it."""


class SettingsError(Exception):
    """The settings are wrong; `problems` names every mistake."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        count = len(problems)
        head = "1 setting is wrong" if count == 1 else f"{count} settings are wrong"
        super().__init__("\n".join([f"{head}:", *(f"  {problem}" for problem in problems)]))


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, where each came from (defaults are absent), and what is doubtful about them."""

    settings: Settings
    sources: Mapping[str, str]
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One effective setting, as it may be shown."""

    name: str
    value: Any
    source: str


def load(
    argv_overrides: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None
) -> Settings:
    """The settings. Raises `SettingsError`."""
    return read(argv_overrides, environ, file).settings


def read(
    argv_overrides: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None
) -> Loaded:
    """The settings and all about them. `file`, else the one `SIDECAR_CONFIG` names, must exist;
    `sidecar.toml` in the working directory is read if it does. Raises `SettingsError`."""
    layer = from_flags(argv_overrides).over(from_environment(environ)).over(_file(environ, file))
    add_source_secrets(layer, environ)
    settings, errors = _validate(_tree(layer.values))
    problems = list(layer.problems)
    problems += [_problem(error, layer) for error in errors]
    judged = [_name(error) for error in errors]
    judged += [problem.name for problem in problems if problem.name in NAMES]
    problems += [
        _placed(complaint, layer)
        for complaint in wrong(settings)
        if not any(_touches(name, complaint) for name in judged)
    ]
    if problems:
        raise SettingsError(problems)
    warnings = tuple(_placed(complaint, layer) for complaint in doubtful(settings))
    return Loaded(settings, layer.sources, warnings)


def describe(settings: Settings, sources: Mapping[str, str]) -> list[Row]:
    """Every effective setting, secrets masked."""
    return [
        Row(name, value, _source(name, sources) or "default")
        for name, value in _leaves(settings, "")
    ]


def _file(environ: Mapping[str, str], file: Path | None) -> Layer:
    named = file or (Path(environ["SIDECAR_CONFIG"]) if environ.get("SIDECAR_CONFIG") else None)
    if named is None and not DEFAULT_FILE.exists():
        return Layer()
    return from_file(named or DEFAULT_FILE)


def _tree(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in values.items():
        section, _, field = name.partition(".")
        if field:
            tree.setdefault(section, {})[field] = value
        else:
            tree[section] = value
    return tree


def _validate(tree: dict[str, Any]) -> tuple[Settings, list[ErrorDetails]]:
    """Settings in which every wrong value is the default, and the errors that were."""
    errors: list[ErrorDetails] = []
    for _ in range(_REPAIRS):
        try:
            return Settings.model_validate(tree), errors
        except ValidationError as error:
            found = error.errors(include_url=False)
        known = [_name(error) for error in errors]
        errors += [e for e in found if not any(_within(_name(e), name) for name in known)]
        tree = deepcopy(tree)
        for wrong_value in reversed(found):  # from the end, so that places in lists stay true
            _take_out(tree, wrong_value["loc"])
    return Settings(), errors


def _take_out(tree: dict[str, Any], loc: tuple[int | str, ...]) -> None:
    node: Any = tree
    *path, last = loc
    for step in path:
        node = node[step]
    if isinstance(node, dict) and last not in node:
        node[last] = f"missing-{'-'.join(map(str, path))}"  # only ids can be missing
    elif isinstance(node, list) and not path[1:]:
        node[int(last)] = {}  # a whole route or session: it keeps its place
    else:
        del node[last]


def _problem(error: ErrorDetails, layer: Layer) -> Problem:
    name = _name(error)
    source = _source(name, layer.sources)
    needs = expectation(error["loc"])
    if error["type"] == "missing":
        return Problem(name, f"is missing; needs {needs}", source)
    if error["type"] == "extra_forbidden":
        return Problem(name, f"there is no such setting{needs}", source)
    if names_secret(name) or any(_within(name, secret) for secret in SECRETS):
        return Problem(name, f"needs {needs}", source)
    return Problem(name, f"got {_short(redact(error['input']))}, needs {needs}", source)


def _name(error: ErrorDetails) -> str:
    return ".".join(map(str, error["loc"]))


def _within(name: str, outer: str) -> bool:
    return f"{name}.".startswith(f"{outer}.")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004  # one line on a terminal


def _placed(complaint: Complaint, layer: Layer) -> Problem:
    return Problem(complaint.name, complaint.message, _source(complaint.name, layer.sources))


def _source(name: str, sources: Mapping[str, str]) -> str:
    parts = name.split(".")
    prefixes = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((sources[prefix] for prefix in prefixes if prefix in sources), "")


def _touches(name: str, complaint: Complaint) -> bool:
    related = (complaint.name, *complaint.judged_by)
    return any(_within(name, other) or _within(other, name) for other in related)


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, BaseModel):
        for field in type(value).model_fields:
            yield from _leaves(getattr(value, field), f"{name}.{field}" if name else field)
    elif isinstance(value, tuple) and any(isinstance(item, BaseModel) for item in value):
        for i, item in enumerate(value):
            yield from _leaves(item, f"{name}.{i}")
    else:
        yield name, _shown(value)


def _shown(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, tuple):
        return [_shown(item) for item in value]
    return str(value) if isinstance(value, Path) else redact(value)
