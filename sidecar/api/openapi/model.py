"""The parts an operation is described with, as plain typed data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Json = dict[str, Any]

JSON = "application/json"
PROBLEM = "application/problem+json"
TEXT = "text/plain"


class Key(Enum):
    """Which key an operation asks for."""

    NONE = "none"
    OURS = "ours"
    """One of `server.api_keys`."""
    PROXY = "proxy"
    """One of ours only when `server.require_proxy_key` says so."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value in the path, the query or a header. Those of the path are always required."""

    name: str
    place: str
    """`path`, `query` or `header`."""
    description: str
    schema: Json
    example: Any = None

    def document(self) -> Json:
        """As OpenAPI writes it."""
        written: Json = {"name": self.name, "in": self.place, "description": self.description}
        if self.place == "path":
            written["required"] = True
        written["schema"] = self.schema
        if self.example is not None:
            written["example"] = self.example
        return written


@dataclass(frozen=True, slots=True)
class Body:
    """A JSON request body."""

    schema: Json
    example: Any
    required: bool = True

    def document(self) -> Json:
        """As OpenAPI writes it."""
        content = {JSON: {"schema": self.schema, "example": self.example}}
        return {"required": self.required, "content": content}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: what it means, and its schema by media type."""

    description: str
    content: Mapping[str, Json] = field(default_factory=dict)
    headers: Mapping[str, Json] = field(default_factory=dict)

    def document(self) -> Json:
        """As OpenAPI writes it."""
        written: Json = {"description": self.description}
        if self.headers:
            written["headers"] = dict(self.headers)
        if self.content:
            written["content"] = {kind: {"schema": s} for kind, s in self.content.items()}
        return written


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path. Its path parameters are those of the template."""

    method: str
    path: str
    name: str
    """Unique among all operations; generated clients call their methods so."""
    summary: str
    replies: Mapping[int | str, Reply]
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    key: Key = Key.OURS


@dataclass(frozen=True, slots=True)
class Group:
    """Operations that belong together, and what is to be said about all of them."""

    name: str
    description: str
    operations: tuple[Operation, ...]


# -- schemas in few words ------------------------------------------------------------------------


def text(description: str = "", **rules: Any) -> Json:
    """A string."""
    return _typed("string", description, rules)


def integer(description: str = "", **rules: Any) -> Json:
    """A whole number."""
    return _typed("integer", description, rules)


def number(description: str = "", **rules: Any) -> Json:
    """Any finite number."""
    return _typed("number", description, rules)


def boolean(description: str = "", **rules: Any) -> Json:
    """True or false."""
    return _typed("boolean", description, rules)


def array(items: Json, description: str = "", **rules: Any) -> Json:
    """A list."""
    return _typed("array", description, {"items": items, **rules})


def record(
    properties: Mapping[str, Json], description: str = "", *, require: str = "", **rules: Any
) -> Json:
    """An object; `require` names the fields that are always there. Others than the ones described
    may stand beside them unless `additionalProperties` says otherwise."""
    required = {"required": require.split()} if require else {}
    return _typed("object", description, {"properties": dict(properties), **required, **rules})


def anything(description: str) -> Json:
    """Any value."""
    return {"description": description}


def ref(name: str, description: str = "") -> Json:
    """A component schema."""
    said = {"description": description} if description else {}
    return {"$ref": f"#/components/schemas/{name}", **said}


def nullable(schema: Json) -> Json:
    """The same, or null."""
    if "type" in schema and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    rest = {name: value for name, value in schema.items() if name != "description"}
    said = {"description": schema["description"]} if "description" in schema else {}
    return {"anyOf": [rest, {"type": "null"}], **said}


def or_empty(schema: Json) -> Json:
    """The same, or nothing said: an empty text, as forms and query strings have it."""
    rest = {name: value for name, value in schema.items() if name != "description"}
    said = {"description": schema["description"]} if "description" in schema else {}
    return {"anyOf": [rest, {"enum": [""]}], **said}


def one_given(*names: str) -> Json:
    """A rule for an object: at least one of these fields is there, and not null."""
    given = {"not": {"type": "null"}}
    return {"anyOf": [{"required": [n], "properties": {n: given}} for n in names]}


def _typed(kind: str, description: str, rules: Mapping[str, Any]) -> Json:
    said = {"description": description} if description else {}
    return {"type": kind, **said, **rules}
