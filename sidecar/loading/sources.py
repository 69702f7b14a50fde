"""Where settings come from: flags, the environment, a file. Gathers; judges nothing but names.

Each source becomes a layer of dotted names (`server.port`), every value with the words that tell a
person where it was written. `sources`, `routes` and `sessions` are lists and come whole.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sidecar.settings import Settings


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, where it was written, and what would be right."""

    name: str
    message: str
    source: str = ""

    def __str__(self) -> str:
        place = f" ({self.source})" if self.source else ""
        return f"{self.name}: {self.message}{place}"


@dataclass(slots=True)
class Layer:
    """What one source says."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def put(self, name: str, value: Any, source: str) -> None:
        """Say a value; an unknown name becomes a problem that suggests the known one."""
        if name in NAMES:
            self.values[name] = value
            self.sources[name] = source
        else:
            message = "there is no such setting" + did_you_mean(name, NAMES)
            self.problems.append(Problem(name, message, source))

    def over(self, lower: "Layer") -> "Layer":
        """Both layers, this one winning."""
        return Layer(
            {**lower.values, **self.values},
            {**lower.sources, **self.sources},
            [*self.problems, *lower.problems],
        )


def _names() -> dict[str, str]:
    """Every dotted name, with its type in words."""
    names: dict[str, str] = {}
    for section, info in Settings.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields = kind.model_fields.items()
            names.update({f"{section}.{name}": str(f.annotation) for name, f in fields})
        else:
            names[section] = str(kind)
    return names


NAMES = _names()
SECRETS = frozenset(name for name, kind in NAMES.items() if "SecretStr" in kind) | {"sources"}
"""What is never quoted, and may come from a file. Feedback sources hold their secrets."""
LISTS = frozenset(name for name, kind in NAMES.items() if kind.startswith("tuple["))


def did_you_mean(name: str, known: Mapping[str, Any]) -> str:
    """`; did you mean …?` when something known is close."""
    by_folded = {other.casefold(): other for other in known}
    close = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.7)
    return f"; did you mean {by_folded[close[0]]}?" if close else ""


def from_flags(overrides: Mapping[str, Any]) -> Layer:
    """From the command line, keyed by dotted name; None stands for a flag not given."""
    layer = Layer()
    for name, value in overrides.items():
        if value is not None:
            layer.put(name, value, f"flag {flag_of(name)}")
    return layer


def flag_of(name: str) -> str:
    """The flag of a setting: `--port`; with its section where the name alone says too little."""
    section, _, field = name.partition(".")
    words = field if section in {"server", "provider"} else f"{section} {field}"
    return "--" + words.replace("_", "-").replace(" ", "-")


def from_file(path: Path) -> Layer:
    """From a TOML file. A relative `baseline_file` is taken from where this file is."""
    layer = Layer()
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        layer.problems.append(Problem(str(path), f"cannot be read: {error.strerror or error}"))
        return layer
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        layer.problems.append(Problem(str(path), f"is not TOML: {error}"))
        return layer
    for section, content in tree.items():
        if section in LISTS:
            layer.put(section, _beside(path, content), f"file {path}")
        elif isinstance(content, dict) and any(n.startswith(f"{section}.") for n in NAMES):
            for name, value in content.items():
                layer.put(f"{section}.{name}", value, f"file {path}")
        else:
            layer.problems.append(_not_a_section(section, content, path))
    return layer


def _not_a_section(section: str, content: Any, path: Path) -> Problem:
    sections = {name.split(".")[0]: "" for name in NAMES}
    if section in sections:
        message = f"must be a table, [{section}]"
    elif not isinstance(content, dict):
        matches = [name for name in NAMES if name.endswith(f".{section}")]
        message = "there is no such setting" + (f"; did you mean {matches[0]}?" if matches else "")
    else:
        message = "there is no such section" + did_you_mean(section, sections)
    return Problem(section, message, f"file {path}")


def _beside(path: Path, content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [
        {**item, "baseline_file": str(path.parent / item["baseline_file"])}
        if isinstance(item, dict) and isinstance(item.get("baseline_file"), str)
        else item
        for item in content
    ]


def as_list(text: str) -> Any:
    """A list from one string: JSON when it looks like it, else comma-separated."""
    if text.lstrip().startswith("["):
        return json.loads(text)
    return [part.strip() for part in text.split(",") if part.strip()]
