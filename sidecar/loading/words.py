"""What a setting would have to be, in words made from its own declaration."""

from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel

from sidecar.loading.sources import did_you_mean
from sidecar.settings import Settings

_KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "a table",
    "string": "text",
}


def expectation(loc: Sequence[int | str]) -> str:
    """What belongs at this place of the tree: `a whole number from 0 to 65535`; for a name that
    does not exist, the suggestion of one that does."""
    model: type[BaseModel] = Settings
    schema: dict[str, Any] = {}
    for step in loc:
        if isinstance(step, int):
            schema = schema.get("items", {})
            continue
        info = model.model_fields.get(step)
        if info is None:
            inner = schema.get("additionalProperties")
            return (
                _say(inner) if isinstance(inner, dict) else did_you_mean(step, model.model_fields)
            )
        schema = model.model_json_schema()["properties"][step]
        model = _model_of(info.annotation) or model
    return _say(schema)


def _model_of(kind: Any) -> type[BaseModel] | None:
    options = [kind, *get_args(kind)]
    models = (o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    return next(models, None)


def _say(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        schema = next(option for option in schema["anyOf"] if option.get("type") != "null")
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return repr(schema["const"])
    words = _KINDS.get(schema.get("type", ""), "a table")
    if words == "a list" and "$ref" in schema.get("items", {}):
        return "a list of tables"
    return " ".join([words, *_range(schema)])


def _range(schema: dict[str, Any]) -> list[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return [f"from {low:g} to {high:g}"]
    if low is not None:
        return [f"of at least {low:g}"]
    if "exclusiveMinimum" in schema:
        return [f"above {schema['exclusiveMinimum']:g}"]
    return []
