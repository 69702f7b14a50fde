"""The published file list, which is always empty here: sessions need no uploaded files."""

from aiohttp import web

from sidecar.api.guard import guarded
from sidecar.api.query import whole_number
from sidecar.errors import NotFound
from sidecar.settings import Settings

_LISTED = 20
_MOST_LISTED = 1000
_ALL = "/api/files"
_ONE = _ALL + "/{file_id}"


def routes(settings: Settings) -> list[web.RouteDef]:
    """The routes of this module; all of them need a key."""
    listed, refused = guarded(_list, settings), guarded(_refuse, settings)
    return [
        web.get(_ALL, listed),
        web.post(_ALL, refused),
        web.get(_ONE, refused),
        web.delete(_ONE, refused),
        web.get(_ONE + "/jobs", refused),
    ]


async def _list(request: web.Request) -> web.Response:
    whole_number(request, "limit", _LISTED, least=1, most=_MOST_LISTED)
    return web.json_response({"object": "list", "data": [], "has_more": False})


async def _refuse(_request: web.Request) -> web.Response:
    raise NotFound("this sidecar keeps no files, so there is nothing to upload or to look at")
