"""An operation as a line for a shell."""

import json
import shlex
from urllib.parse import urlencode

from sidecar.api.openapi.model import JSON, Json

_LONG = 60
"""Characters of a body that stay on one line."""


def curl(method: str, path: str, said: Json) -> str:
    """A call with the examples of the document."""
    parameters = [one for one in said.get("parameters", []) if "example" in one]
    for one in parameters:
        path = path.replace("{" + one["name"] + "}", one["example"])
    query = urlencode({one["name"]: one["example"] for one in parameters if one["in"] == "query"})
    url = f"$SIDECAR_URL{path}?{query}" if query else f"$SIDECAR_URL{path}"
    implied = "POST" if "requestBody" in said else "GET"
    verb = "" if method == implied else f"-X {method} "
    lines = [f'curl {verb}"{url}"']
    if said["security"] and {} not in said["security"]:
        lines.append('-H "Authorization: Bearer $SIDECAR_KEY"')
    if "requestBody" in said:
        lines.append(
            f"--json {shlex.quote(_json(said['requestBody']['content'][JSON]['example']))}"
        )
    return " \\\n  ".join(lines)


def _json(example: Json) -> str:
    short = json.dumps(example)
    return short if len(short) <= _LONG else json.dumps(example, indent=2).replace("\n", "\n  ")
