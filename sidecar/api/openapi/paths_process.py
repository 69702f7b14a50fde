"""The process itself: probes, metrics, and this description."""

from sidecar.api.openapi.model import JSON, TEXT, Group, Json, Key, Operation, Reply, ref, text
from sidecar.api.openapi.parameters import query
from sidecar.api.openapi.replies import REQUEST_ID

DOCUMENT = "/openapi.json"
PAGE = "/docs"

_WORD = text("`ok`, `starting` or `draining`.")
_ETAG: dict[str, Json] = {
    "ETag": {"description": "Send it as `If-None-Match`.", "schema": text(), "required": True}
}


def _probe(
    path: str, name: str, summary: str, *, may_fail: bool, schema: str = "Health"
) -> Operation:
    content = {TEXT: _WORD, JSON: ref(schema)}
    replies: dict[int | str, Reply] = {200: Reply("Yes.", content, REQUEST_ID)}
    if may_fail:
        replies[503] = Reply("Not now.", content, REQUEST_ID)
    return Operation(
        "GET",
        path,
        name,
        summary,
        replies,
        "Text, or JSON for who accepts it.",
        (query("verbose", "With the parts.", text()),) if schema == "HealthParts" else (),
        key=Key.NONE,
    )


def _published(path: str, name: str) -> Operation:
    return Operation(
        "GET",
        path,
        name,
        "The published probe: 200 while we serve at all",
        {200: Reply("Yes.", {JSON: ref("Health")}, REQUEST_ID)},
        key=Key.NONE,
    )


def _described(path: str, name: str, summary: str, content: dict[str, Json]) -> Operation:
    replies: dict[int | str, Reply] = {
        200: Reply("As of this version.", content, REQUEST_ID | _ETAG),
        304: Reply("Not changed.", {}, REQUEST_ID | _ETAG),
    }
    return Operation("GET", path, name, summary, replies, key=Key.NONE)


_OPERATIONS = (
    _probe("/livez", "live", "Whether the process turns", may_fail=False),
    _probe("/healthz", "healthz", "The same as `/livez`", may_fail=False),
    _probe("/startupz", "started", "Whether it has started", may_fail=True),
    _probe(
        "/readyz", "ready", "Whether calls should come here", may_fail=True, schema="HealthParts"
    ),
    _published("/health", "health"),
    _published("/api/health", "api_health"),
    Operation(
        "GET",
        "/metrics",
        "metrics",
        "Prometheus metrics",
        {
            200: Reply(
                "In the format that `Accept` asks for.",
                {TEXT: text(), "application/openmetrics-text": text()},
                REQUEST_ID,
            )
        },
        key=Key.NONE,
    ),
    _described(DOCUMENT, "openapi", "This description", {JSON: {"type": "object"}}),
    _described(PAGE, "docs", "This description as a page", {"text/html": text()}),
)

GROUP = Group(
    "Process", "Probes, metrics and this description; none of them needs a key.", _OPERATIONS
)
