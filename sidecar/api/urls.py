"""Where a session's calls are sent."""

from aiohttp import web

from sidecar.settings import Settings


def session_urls(
    request: web.Request, settings: Settings, session_id: str, correlation_id: str | None = None
) -> dict[str, str]:
    """Absolute, as clients copy them to their users. `online_url` is the name to use; the
    published API calls `proxy_url` deprecated and keeps it."""
    base = settings.server.public_url.rstrip("/") or f"{request.scheme}://{request.host}"
    url = f"{base}/api/gepa/v1/{session_id}"
    if correlation_id is not None:
        url = f"{url}/{correlation_id}"
    return {
        "proxy_url": url,
        "online_url": url,
        "chat_completions_url": f"{url}/chat/completions",
    }
