"""Reading candidates by themselves (wire contract, section 4.9, "pattern B")."""

import contextlib
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sidecar.api.guard import guarded
from sidecar.api.query import whole_number
from sidecar.api.systems import RETIRED
from sidecar.backend.base import Backend
from sidecar.errors import Conflict, InvalidRequest, NotFound
from sidecar.settings import Settings

_LISTED = 50
_MOST_LISTED = 500
_STATUSES = {"active", "archived"}


def routes(backend: Backend, settings: Settings) -> list[web.RouteDef]:
    """The routes of this module; all of them need a key."""
    api = _CandidateApi(backend)
    return [
        web.get("/api/v1/systems/{system_id}/candidates", guarded(api.listed, settings)),
        web.get("/api/v1/candidates/{candidate_id}", guarded(api.one, settings)),
    ]


class _CandidateApi:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def listed(self, request: web.Request) -> web.Response:
        """A system's candidates, oldest first; `next_cursor` asks for those after the last one."""
        limit = whole_number(request, "limit", _LISTED, least=1, most=_MOST_LISTED)
        wanted = _wanted(request)
        status = await self._backend.status(request.match_info["system_id"])
        candidates = [_shown(status, candidate) for candidate in status["candidates"]]
        after = _after(candidates, request.query.get("cursor"))
        found = [c for c in after if wanted.items() <= c.items()]
        more = len(found) > limit
        page = found[:limit]
        cursor = page[-1]["candidate_id"] if more else None
        return web.json_response({"items": page, "next_cursor": cursor})

    async def one(self, request: web.Request) -> web.Response:
        """A candidate with its text and lineage, whichever session it is of. `baseline` is of all
        of them, so `system_id` must say which."""
        candidate_id = request.match_info["candidate_id"]
        named = request.query.get("system_id")
        found = []
        for session in [named] if named else await self._sessions():
            with contextlib.suppress(NotFound):
                found.append(await self._backend.export(session, candidate_id))
        if not found:
            raise NotFound(f"there is no candidate {candidate_id!r}", param="candidate_id")
        if len(found) > 1:
            raise Conflict(
                f"{len(found)} systems have a candidate {candidate_id!r}: say which, ?system_id=…",
                param="system_id",
            )
        [candidate] = found
        return web.json_response({**_named(candidate), "system_id": candidate["session_id"]})

    async def _sessions(self) -> list[str]:
        return [session["session_id"] for session in await self._backend.sessions()]


def _wanted(request: web.Request) -> dict[str, str]:
    """What a candidate must be like. All of a candidate is always included, whatever `include`
    says; an order that we do not have is refused."""
    query = request.query
    if query.get("status", "active") not in _STATUSES:
        raise InvalidRequest(
            f"status must be one of {', '.join(sorted(_STATUSES))}", param="status"
        )
    if query.get("sort"):
        raise InvalidRequest("candidates come oldest first; leave sort out", param="sort")
    names = ("status", "job_id", "algorithm", "mode")
    return {name: query[name] for name in names if query.get(name)}


def _after(candidates: list[dict[str, Any]], cursor: str | None) -> list[dict[str, Any]]:
    if not cursor:
        return candidates
    ids = [candidate["candidate_id"] for candidate in candidates]
    if cursor not in ids:
        raise InvalidRequest("cursor is not one that an answer gave", param="cursor")
    return candidates[ids.index(cursor) + 1 :]


def _shown(status: Mapping[str, Any], candidate: Mapping[str, Any]) -> dict[str, Any]:
    of = {name: status[name] for name in ("job_id", "algorithm", "mode")}
    return {**_named(candidate), **of, "system_id": status["session_id"]}


def _named(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """A candidate with the names that these routes give its id and its state."""
    status = "archived" if candidate["role"] == RETIRED else "active"
    return {**candidate, "id": candidate["candidate_id"], "status": status}
