"""The document as one page of plain HTML: no script, nothing from elsewhere."""

import base64
from collections.abc import Iterator
from hashlib import sha256
from html import escape

from sidecar.api.openapi.model import Json
from sidecar.api.openapi.page_operation import Operation, article, badge
from sidecar.api.openapi.page_schema import kind, table
from sidecar.api.openapi.page_style import STYLE
from sidecar.api.openapi.page_text import paragraphs, prose


def content_security_policy() -> str:
    """What a browser may do with the page: show it, with its own style."""
    digest = base64.b64encode(sha256(STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def page(document: Json) -> str:
    """The whole page."""
    info = document["info"]
    title = f"{info['title']} {info['version']}"
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}: API</title><style>{STYLE}</style></head><body>"
        f"<nav>{_contents(document)}</nav><main><header><h1>{escape(title)}</h1>"
        f"{paragraphs(info['description'])}<p>The same for programs: "
        f'<a href="openapi.json">openapi.json</a>. The examples expect the sidecar\'s address in '
        f"<code>SIDECAR_URL</code> and a key in <code>SIDECAR_KEY</code>.</p></header>"
        f"{''.join(_groups(document))}{_schemas(document)}</main></body></html>\n"
    )


def _operations(document: Json, group: str) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if group in operation["tags"]:
                yield method.upper(), path, operation


def _contents(document: Json) -> str:
    parts = []
    for group in document["tags"]:
        items = "".join(
            f'<li><a href="#{escape(operation["operationId"])}">{badge(method)}'
            f"<span>{prose(operation['summary'])}</span></a></li>"
            for method, _, operation in _operations(document, group["name"])
        )
        parts.append(f"<h2>{escape(group['name'])}</h2><ul>{items}</ul>")
    return "".join(parts) + '<h2><a href="#schemas">Schemas</a></h2>'


def _groups(document: Json) -> Iterator[str]:
    components = document["components"]["schemas"]
    for group in document["tags"]:
        yield f'<section class="group"><h2>{escape(group["name"])}</h2>'
        yield paragraphs(group["description"])
        for operation in _operations(document, group["name"]):
            yield article(operation, components)
        yield "</section>"


def _schemas(document: Json) -> str:
    parts = [
        f'<article id="schema-{escape(name)}"><h3>{escape(name)}</h3>'
        f"<p>{prose(schema.get('description', ''))} {_made_of(schema)}</p>{table(schema, {})}"
        "</article>"
        for name, schema in sorted(document["components"]["schemas"].items())
    ]
    return f'<section class="group" id="schemas"><h2>Schemas</h2>{"".join(parts)}</section>'


def _made_of(schema: Json) -> str:
    """The type of what is no object, and the parts of one that has parts."""
    if parts := [kind(part) for part in schema.get("allOf", ()) if "$ref" in part]:
        return f"All of {' and '.join(parts)}" + (", and:" if "properties" in schema else ".")
    return "" if "properties" in schema else f'<span class="kind">Type: {kind(schema)}.</span>'
