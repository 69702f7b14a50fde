"""`GET /openapi.json` and `GET /docs`: made once, the same for everybody."""

from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256

import orjson
from aiohttp import ETag, web

from sidecar.api.openapi.document import document
from sidecar.api.openapi.page import content_security_policy, page
from sidecar.api.openapi.paths_process import DOCUMENT, PAGE


def routes() -> list[web.RouteDef]:
    """The routes of this module. They need no key: they hold no secrets and nobody's content."""
    described, shown = _files()
    return [web.get(DOCUMENT, described.answer), web.get(PAGE, shown.answer)]


@cache
def _files() -> tuple["_File", "_File"]:
    """The document and the page: the same as long as this process runs."""
    described = document()
    headers = {
        "Content-Security-Policy": content_security_policy(),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return (
        _File(orjson.dumps(described), "application/json"),
        _File(page(described).encode(), "text/html", headers),
    )


@dataclass(frozen=True, slots=True)
class _File:
    """Bytes that do not change as long as we run."""

    content: bytes
    content_type: str
    headers: dict[str, str] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.Response:
        """The bytes, or that the client has them already."""
        tag = sha256(self.content).hexdigest()[:32]
        known = {known.value for known in request.if_none_match or ()}
        if known & {tag, "*"}:
            response = web.Response(status=304)
        else:
            response = web.Response(
                body=self.content,
                content_type=self.content_type,
                charset="utf-8",
                headers=self.headers,
            )
        response.etag = ETag(tag)
        response.headers["Cache-Control"] = "no-cache"
        return response
