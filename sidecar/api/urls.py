"""Where a session's calls are sent."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sidecar.settings import Settings


def session_urls(
    request: web.Request,
    settings: Settings,
    session: Mapping[str, Any],
    correlation_id: str | None = None,
) -> dict[str, str]:
    """Absolute, as clients copy them to their users, and of the session's own algorithm.
    `online_url` is the name to use; the published API calls `proxy_url` deprecated and keeps it."""
    base = settings.server.public_url.rstrip("/") or f"{request.scheme}://{request.host}"
    url = f"{base}/api/{session['algorithm']}/v1/{session['session_id']}"
    if correlation_id is not None:
        url = f"{url}/{correlation_id}"
    return {
        "proxy_url": url,
        "online_url": url,
        "chat_completions_url": f"{url}/chat/completions",
    }
