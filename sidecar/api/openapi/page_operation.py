"""One operation on the page."""

from html import escape

from sidecar.api.openapi.model import JSON, Json
from sidecar.api.openapi.page_curl import curl
from sidecar.api.openapi.page_schema import Components, kind, table
from sidecar.api.openapi.page_text import prose

Operation = tuple[str, str, Json]
"""Method, path, and what the document says of it."""

_ERRORS = "4", "5"
_PLACES = {"path": "Path", "query": "Query", "header": "Headers"}


def article(operation: Operation, components: Components) -> str:
    """Everything about it."""
    method, path, said = operation
    return (
        f'<article id="{escape(said["operationId"])}"><h3>{badge(method)}'
        f"<span>{_path(path)}</span></h3>"
        f"<p><strong>{prose(said['summary'])}.</strong> {prose(said.get('description', ''))} "
        f"{_key(said['security'])}</p>"
        f"{_parameters(said.get('parameters', []))}{_body(said, components)}"
        f"{_replies(said['responses'], components)}"
        f"<h4>Example</h4><pre>{escape(curl(method, path, said))}</pre></article>"
    )


def badge(method: str) -> str:
    """A method, in its colour."""
    return f'<b class="method {method.lower()}">{method}</b>'


def _path(path: str) -> str:
    """A path that may be broken before its slashes."""
    return escape(path).replace("/", "<wbr>/")


def _key(security: list[Json]) -> str:
    if not security:
        return '<span class="key">No key needed.</span>'
    optional = {} in security
    return f'<span class="key">{"Key only if required." if optional else "Needs a key."}</span>'


def _parameters(parameters: list[Json]) -> str:
    return "".join(
        _placed(words, [one for one in parameters if one["in"] == place])
        for place, words in _PLACES.items()
    )


def _placed(words: str, parameters: list[Json]) -> str:
    """Those of the path are required and all others are not, so that is not repeated."""
    schema = {
        "type": "object",
        "properties": {
            one["name"]: {**one["schema"], "description": one["description"]} for one in parameters
        },
    }
    return f"<h4>{words}</h4>{table(schema, {})}" if parameters else ""


def _body(said: Json, components: Components) -> str:
    if "requestBody" not in said:
        return ""
    schema = said["requestBody"]["content"][JSON]["schema"]
    optional = "" if said["requestBody"]["required"] else ", may be left out"
    return f"<h4>Body: {kind(schema)}{optional}</h4>{table(schema, components)}"


def _replies(replies: Json, components: Components) -> str:
    refused = {status: one for status, one in replies.items() if status.startswith(_ERRORS)}
    good = (
        f"<li>{_words(status, reply)} {_kinds(reply.get('content', {}))}"
        f"{_folded(_fields(reply.get('content', {}), components))}</li>"
        for status, reply in replies.items()
        if status not in refused
    )
    bad = "".join(f"<li>{_words(status, reply)}</li>" for status, reply in refused.items())
    shapes = dict.fromkeys(_kinds(reply.get("content", {})) for reply in refused.values())
    errors = f"<h4>Errors: {' or '.join(shapes)}</h4><ul>{bad}</ul>" if bad else ""
    return f"<h4>Answers</h4><ul>{''.join(good)}</ul>{errors}"


def _words(status: str, reply: Json) -> str:
    return f"<b>{escape(status)}</b> {prose(reply['description'])}"


def _kinds(content: Json) -> str:
    return ", ".join(
        f"{kind(one['schema'])} <small>{escape(media)}</small>" for media, one in content.items()
    )


def _fields(content: Json, components: Components) -> str:
    """Those of the first component that is answered with."""
    schemas = (one["schema"] for one in content.values())
    return next((table(one, components) for one in schemas if "$ref" in one), "")


def _folded(fields: str) -> str:
    return f"<details><summary>Fields</summary>{fields}</details>" if fields else ""
