"""Errors in the dialect of the route.

Model routes speak OpenAI's shape, so that its SDKs raise the right class; the session and job API
speaks what the published SDK reads (`detail`, with `error` beside it); everything else is problem
details (RFC 9457). What was not foreseen is logged once, with its traceback, and shown to nobody.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from aiohttp import web

from sidecar.api.middleware import REQUEST_ID_HEADER, request_id
from sidecar.errors import InvalidSignature, SidecarError, Unauthorised, Unavailable
from sidecar.gateway.call import ANSWER_HEADERS
from sidecar.gateway.upstream import RetrySpent

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_MODEL_ROUTE = re.compile(r"/v1(/|$)|/api/(gepa|mipro|interceptor)/v1(/|$)")

_JSON = "application/json"
_PROBLEM = "application/problem+json"

_CODES = {
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "payload_too_large",
}

_TYPES = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.CONFLICT: "conflict_error",
    HTTPStatus.BAD_GATEWAY: "upstream_error",
    HTTPStatus.GATEWAY_TIMEOUT: "upstream_error",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One error, before it is put into words of a dialect."""

    status: int
    code: str
    detail: str
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(error: SidecarError) -> "Problem":
        """An error of ours, with what the caller's software should do about it."""
        headers = {}
        if isinstance(error, RetrySpent):
            headers["x-should-retry"] = "false"
        elif isinstance(error, Unavailable):
            headers["Retry-After"] = "1"
        elif isinstance(error, Unauthorised):
            headers["WWW-Authenticate"] = "Bearer"
        elif isinstance(error, InvalidSignature):
            headers["WWW-Authenticate"] = error.challenge
        return Problem(error.status, error.code, str(error), error.param, headers)

    @staticmethod
    def of_http(error: web.HTTPException) -> "Problem":
        """An error that the router or the server raised."""
        status = HTTPStatus(error.status)
        code = _CODES.get(status, status.phrase.lower().replace(" ", "_"))
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return Problem(error.status, code, f"{status.phrase}: {status.description}", None, headers)


_UNFORESEEN = Problem(500, "internal_error", "Something went wrong on our side; it was logged.")


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Show whatever is raised as an error of this route."""
    try:
        return await handler(request)
    except SidecarError as error:
        return render(request, Problem.of(error))
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return render(request, Problem.of_http(error))
    except Exception:
        # The last resort: the caller must get an answer, and nothing of what went wrong in it.
        log.exception("unhandled_error", method=request.method, request_id=request_id(request))
        return render(request, _UNFORESEEN)


def render(request: web.Request, problem: Problem) -> web.Response:
    """The error as a response, in the dialect of the request's route."""
    path = request.path
    if _MODEL_ROUTE.match(path):
        body, content_type = _openai(problem), _JSON
    elif path.startswith(("/api/", "/eval/")):
        body, content_type = _detail(problem), _JSON
    else:
        body, content_type = _problem_details(request, problem), _PROBLEM
    response = web.Response(
        status=problem.status, body=orjson.dumps(body), content_type=content_type
    )
    for name, value in (*problem.headers.items(), *request.get(ANSWER_HEADERS, ())):
        response.headers[name] = value
    response.headers[REQUEST_ID_HEADER] = request_id(request)
    return response


def _openai(problem: Problem) -> dict[str, Any]:
    kind = _TYPES.get(HTTPStatus(problem.status))
    default = "api_error" if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR else None
    error = {
        "message": problem.detail,
        "type": kind or default or "invalid_request_error",
        "param": problem.param,
        "code": problem.code,
    }
    return {"error": error, "detail": problem.detail}


def _detail(problem: Problem) -> dict[str, Any]:
    """The published clients read the text alone, so it names the field that was wrong."""
    text, param = problem.detail, problem.param or ""
    if problem.status == HTTPStatus.BAD_REQUEST and param.rpartition(".")[2] not in text:
        text = f"{param}: {text}"
    error = {"message": text, "code": problem.code}
    if problem.param is not None:
        error["param"] = problem.param
    return {"detail": text, "error": error}


def _problem_details(request: web.Request, problem: Problem) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": request.path,
        "code": problem.code,
        "request_id": request_id(request),
    }
