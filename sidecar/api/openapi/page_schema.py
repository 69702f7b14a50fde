"""Schemas as tables: one row a field, nested objects indented, components as links."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import orjson

from sidecar.api.openapi.model import Json
from sidecar.api.openapi.page_text import prose

Components = Mapping[str, Json]

_REF = "#/components/schemas/"
_LIMITS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "{} or more characters",
    "maxLength": "{} or fewer characters",
    "minItems": "{} or more items",
    "maxItems": "{} or fewer items",
    "pattern": "like {}",
    "format": "{}",
    "contentEncoding": "{}",
    "default": "default {}",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object."""

    path: str
    """Its name, after those of the fields that it stands in."""
    depth: int
    name: str
    schema: Json
    required: bool


def table(schema: Json, components: Components) -> str:
    """The fields of a schema as a table; nothing if it has none. Those of the parts that it is
    made of are among them, as far as `components` holds those parts."""
    shown: dict[str, str] = {}
    for row in _fields(schema, components, 0):
        shown.setdefault(row.path, _row(row))
    return f'<table class="fields">{"".join(shown.values())}</table>' if shown else ""


def kind(schema: Json) -> str:
    """The type of a value in a few words, with links to components."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REF)
        return f'<a href="#schema-{escape(name)}">{escape(name)}</a>'
    if "enum" in schema:
        return " | ".join(_code(value) for value in schema["enum"])
    if "anyOf" in schema and "properties" not in schema:
        return " or ".join(dict.fromkeys(kind(option) for option in schema["anyOf"]))
    types = schema.get("type", "any")
    names = types if isinstance(types, list) else [types]
    return " or ".join(_named(name, schema) for name in names)


def _named(name: str, schema: Json) -> str:
    if name == "array":
        return f"array of {kind(schema['items'])}"
    values = schema.get("additionalProperties")
    if name == "object" and isinstance(values, dict) and not schema.get("properties"):
        return f"object of {kind(values)}"
    return escape(name)


def _row(field: Field) -> str:
    said = prose(field.schema.get("description", ""))
    limits = ", ".join(_limit(name, field.schema[name]) for name in _LIMITS if name in field.schema)
    need = ' <b class="need">required</b>' if field.required else ""
    return (
        f'<tr class="d{field.depth}"><th scope="row"><code>{escape(field.name)}</code>{need}</th>'
        f'<td class="kind">{kind(field.schema)}</td><td>{said} <small>{limits}</small></td></tr>'
    )


def _limit(name: str, value: Any) -> str:
    said = value if isinstance(value, int) and not isinstance(value, bool) else None
    return _LIMITS[name].format(_code(value) if said is None else f"{said:,}")


def _fields(schema: Json, components: Components, depth: int, within: str = "") -> Iterator[Field]:
    """The fields of an object; of a choice, those of its first alternative."""
    whole = _resolved(schema, components)
    for part in whole.get("allOf", ()):
        yield from _fields(part, components, depth, within)
    if "properties" not in whole:
        for option in whole.get("anyOf", ())[:1]:
            yield from _fields(option, components, depth, within)
    elif "type" in whole:  # else it is a rule about fields that are described elsewhere
        for name, own in whole["properties"].items():
            path = f"{within}.{name}"
            yield Field(path, depth, name, own, name in whole.get("required", ()))
            yield from _nested(own, components, depth + 1, path)
    others = whole.get("additionalProperties")
    if isinstance(others, dict) and others.get("description"):
        yield Field(f"{within}.…", depth, "…", others, required=False)


def _nested(schema: Json, components: Components, depth: int, within: str) -> Iterator[Field]:
    """The fields of an object that has no name of its own."""
    if "properties" in schema:
        yield from _fields(schema, components, depth, within)
    for option in schema.get("anyOf", ()):
        yield from _nested(option, components, depth, within)
    if "items" in schema:
        yield from _nested(schema["items"], components, depth, within)


def _resolved(schema: Json, components: Components) -> Json:
    name = schema.get("$ref", "").removeprefix(_REF)
    return components.get(name, {}) if name else schema


def _code(value: Any) -> str:
    text = value if isinstance(value, str) and value else orjson.dumps(value).decode()
    return f"<code>{escape(text)}</code>"
