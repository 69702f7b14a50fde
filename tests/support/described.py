"""What the OpenAPI document describes, for tests that hold it against the sidecar."""

import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from support.backends import SYSTEM

_MESSAGES = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "hi"}]

Route = tuple[str, str]
"""Method and path, as OpenAPI writes it."""


def described(document: dict[str, Any]) -> Iterator[Route]:
    """Every operation; where a parameter has few values, one for each."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for written in _written_out(path, operation.get("parameters", [])):
                yield method.upper(), written


def _written_out(path: str, parameters: list[dict[str, Any]]) -> list[str]:
    paths = [path]
    for one in parameters:
        if one["in"] == "path" and "enum" in one["schema"]:
            name = "{" + one["name"] + "}"
            paths = [p.replace(name, value) for p in paths for value in one["schema"]["enum"]]
    return paths


def routed(app: web.Application) -> Iterator[Route]:
    """Every route, in the same writing. GET stands for the HEAD that comes with it."""
    for route in app.router.routes():
        if route.method == "HEAD":
            continue
        info = route.resource.get_info() if route.resource else {}
        for path in _alternatives(info.get("formatter") or info["path"], info.get("pattern")):
            yield route.method, path


def _alternatives(formatter: str, pattern: re.Pattern[str] | None) -> list[str]:
    paths = [formatter]
    for name, words in re.findall(
        r"\(\?P<(\w+)>(\w+(?:\|\w+)*)\)", pattern.pattern if pattern else ""
    ):
        paths = [p.replace("{" + name + "}", word) for p in paths for word in words.split("|")]
    return paths


def populate(url: str, headers: dict[str, str], algorithm: str, session: str, turn: str) -> None:
    """A session with one conversation."""
    prompt = {"messages": [{"role": "system", "pattern": SYSTEM}]}
    section = {"algorithm": algorithm, "initial_prompt": prompt, algorithm: {"mode": "online"}}
    body = {"session_id": session, "config_body": {"prompt_learning": section}}
    path = f"/api/prompt-learning/online/{algorithm}/sessions"
    created = _post(url + path, body, headers)
    _post(f"{created['online_url']}/{turn}/chat/completions", {"messages": _MESSAGES}, {})


def _post(url: str, body: Any, headers: dict[str, str]) -> dict[str, Any]:
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)
