"""A task app of your own: an aiohttp application with the routes that a sidecar, or another server
of the published API, calls during a job (wire contract, section 7).

    async def rollout(request: RolloutRequest) -> RolloutResponse: …

    app = create_local_api(LocalAPIConfig(app_id="my-task", …, rollout=rollout))
    run_local_api(app, port=8001)

Whatever the functions do, the caller gets an answer: what they raise, or return wrongly, is a 500
that says so, and is logged here with its traceback.
"""

import asyncio
import hmac
import inspect
import json
import logging
import os
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from aiohttp import hdrs, web

from sidecar.client.model_call import ChatReply, chat_url
from sidecar.client.rollout import (
    InvalidRollout,
    RolloutMetrics,
    RolloutRequest,
    RolloutResponse,
    TaskInfo,
    read_rollout,
)

__all__ = [
    "ChatReply",
    "LocalAPIConfig",
    "RolloutMetrics",
    "RolloutRequest",
    "RolloutResponse",
    "TaskInfo",
    "chat_url",
    "create_local_api",
    "run_local_api",
]

KEY_VARIABLE = "ENVIRONMENT_API_KEY"
_MAX_BODY = 32 * 1024 * 1024
_PREFIX = 6
"""Characters of the key that `/health` shows to those who have it."""
_SAID = 500
"""Characters of an exception's text that the caller is told."""
_OURS = 500
"""Statuses from here on are the task app's fault."""

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalAPIConfig:
    """A task app. Its functions may be async, or plain: those run in threads."""

    app_id: str
    name: str
    description: str
    provide_taskset_description: Callable[[], Any]
    """What the whole set is: a mapping, such as `{"splits": ["train", "test"]}`."""
    provide_task_instances: Callable[[Sequence[int]], Any]
    """A `TaskInfo` (or a mapping like one) for each of these seeds."""
    rollout: Callable[..., Any]
    """Takes a `RolloutRequest`, and the HTTP request if it has a second parameter; returns a
    `RolloutResponse` or a mapping like one."""
    base_task_info: TaskInfo | None = None
    """What `/info` says; made from `app_id` and `name` if not given."""
    rubrics: Mapping[str, Any] | None = None
    """`outcome` and `events`, for verifiers."""
    api_key: str | None = field(default=None, repr=False)
    """What callers must send; `ENVIRONMENT_API_KEY` if not given."""
    require_api_key: bool = True
    threads: int = 32
    """How many plain functions run at the same time."""


def create_local_api(config: LocalAPIConfig) -> web.Application:
    """The application; to be run by `run_local_api`, or mounted in one of yours."""
    api = _LocalApi(config)
    app = web.Application(middlewares=[_answered], client_max_size=_MAX_BODY)
    app.add_routes(
        [
            web.get("/", api.root),
            web.get("/health", api.keyed(api.health)),
            web.get("/info", api.keyed(api.info)),
            web.get("/task_info", api.keyed(api.task_info)),
            web.post("/rollout", api.keyed(api.rollout)),
            web.post("/done", api.keyed(api.done)),
        ]
    )
    app.cleanup_ctx.append(api.running)
    return app


def run_local_api(app: web.Application, port: int = 8001, host: str = "127.0.0.1") -> None:
    """Serve until a signal comes. A caller that leaves ends its async rollouts."""
    web.run_app(app, host=host, port=port, access_log=None, handler_cancellation=True)


class _Refused(Exception):
    """An answer other than a good one."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def response(self, allow: str | None = None) -> web.Response:
        detail = {"error": {"code": self.code, "message": str(self)}}
        headers = {hdrs.ALLOW: allow} if allow else None
        return web.json_response({"detail": detail}, status=self.status, headers=headers)


@web.middleware
async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer in the contract's shape whatever went wrong."""
    try:
        return await handler(request)
    except _Refused as refused:
        if refused.status >= _OURS:
            log.error("%s", refused, exc_info=refused.__cause__)  # noqa: TRY400  # only its cause
        return refused.response()
    except web.HTTPError as error:
        code = error.reason.lower().replace(" ", "_")
        problem = _Refused(error.status, code, error.text or error.reason)
        return problem.response(error.headers.get(hdrs.ALLOW))
    except Exception:
        # The last resort: a user's function may raise anything, and the caller must get an answer.
        log.exception("%s %s failed", request.method, request.path)
        return _Refused(500, "internal_error", "the task app failed; its log says why").response()


class _LocalApi:
    def __init__(self, config: LocalAPIConfig) -> None:
        self._config = config
        self._info = config.base_task_info or TaskInfo(
            task={"id": config.app_id, "name": config.name, "description": config.description},
            dataset={"id": config.app_id},
        )
        self._wants_http = _takes_two(config.rollout)
        self._threads: ThreadPoolExecutor | None = None

    async def running(self, _app: web.Application) -> AsyncIterator[None]:
        """Threads, as long as the application runs."""
        if self._config.require_api_key and not self._key():
            log.warning("%s is not set: every call will be answered with 503", KEY_VARIABLE)
        self._threads = ThreadPoolExecutor(self._config.threads, thread_name_prefix="rollout")
        yield
        self._threads.shutdown(wait=False, cancel_futures=True)

    def keyed(self, handler: Handler) -> Handler:
        """The handler, for those who have the key."""

        async def asked(request: web.Request) -> web.StreamResponse:
            self._check_key(request)
            return await handler(request)

        return asked

    async def root(self, _request: web.Request) -> web.Response:
        """That somebody is there."""
        return web.json_response({"status": "ok", "service": self._config.app_id})

    async def health(self, _request: web.Request) -> web.Response:
        """That the key is right."""
        key = self._key()
        auth = {
            "required": self._config.require_api_key,
            "expected_prefix": f"{key[:_PREFIX]}..." if key else "<unset>",
        }
        return web.json_response({"healthy": True, "auth": auth})

    async def done(self, _request: web.Request) -> web.Response:
        """Acknowledge the end of a job."""
        return web.json_response({"ok": True, "service": self._config.app_id})

    async def info(self, _request: web.Request) -> web.Response:
        """What the task app is."""
        info = asdict(self._info)
        service = {"task": info["task"], "version": info["task"].get("version")}
        rubrics = {"rubrics": self._config.rubrics} if self._config.rubrics else {}
        parts = {name: info[name] for name in ("dataset", "inference", "limits")}
        return _json({"service": service, **parts, **rubrics}, "base_task_info")

    async def task_info(self, request: web.Request) -> web.Response:
        """What the whole set is; with seeds in the query, what those instances are."""
        asked = [value for name, value in request.query.items() if name in {"seed", "seeds"}]
        seeds = [_seed(text) for text in asked]
        if not seeds:
            name = "provide_taskset_description"
            taskset = await self._result(name, self._config.provide_taskset_description)
            return _json({"taskset": taskset}, name)
        name = "provide_task_instances"
        provide = self._config.provide_task_instances
        found = await self._result(name, lambda: _listed(provide(seeds)))
        rows = [asdict(row) if isinstance(row, TaskInfo) else row for row in found or ()]
        if len(rows) != len(seeds):
            raise _broken(name, f"it gave {len(rows)} instances for {len(seeds)} seeds")
        return _json(rows[0] if len(rows) == 1 else rows, name)

    async def rollout(self, request: web.Request) -> web.Response:
        """Run one."""
        try:
            asked = read_rollout(json.loads(await request.read()))
        except InvalidRollout as error:
            raise _Refused(422, "invalid_request", str(error)) from None
        except (ValueError, RecursionError):
            raise _Refused(422, "invalid_request", "the body is not JSON") from None
        args = (asked, request) if self._wants_http else (asked,)
        seconds = asked.safety.max_time_s
        try:
            async with asyncio.timeout(seconds):
                result = await self._result("rollout", self._config.rollout, *args)
        except TimeoutError:
            raise _broken("rollout", f"it took longer than {seconds:g} seconds") from None
        return _json(_answer(asked, result), "rollout")

    async def _result(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """What the function returns. Raises `_Refused` for what it raises."""
        try:
            if inspect.iscoroutinefunction(function):
                return await function(*args)
            result = await self._in_thread(function, args)
            return await result if inspect.isawaitable(result) else result
        except (Exception, SystemExit) as error:
            raise _broken(name, f"{type(error).__name__}: {error}") from error

    async def _in_thread(self, function: Callable[..., Any], args: Sequence[Any]) -> Any:
        loop = asyncio.get_running_loop()
        result, error = await loop.run_in_executor(self._threads, _outcome, function, args)
        if error is not None:
            raise error
        return result

    def _key(self) -> str:
        return (self._config.api_key or os.environ.get(KEY_VARIABLE) or "").strip()

    def _check_key(self, request: web.Request) -> None:
        if not self._config.require_api_key:
            return
        key = self._key().encode()
        if not key:
            raise _Refused(503, "missing_environment_api_key", f"{KEY_VARIABLE} is not configured")
        given = (text.encode("utf-8", "surrogateescape") for text in _keys(request))
        if not any(hmac.compare_digest(one, key) for one in given):
            raise _Refused(400, "unauthorised", "API key missing or invalid")


def _keys(request: web.Request) -> Iterator[str]:
    """The keys of a request, wherever they may stand."""
    headers = request.headers
    for value in headers.getall("X-API-Key", ()):
        yield value.strip()
    for value in headers.getall("X-API-Keys", ()):
        yield from (part.strip() for part in value.split(","))
    for value in headers.getall(hdrs.AUTHORIZATION, ()):
        scheme, _, token = value.partition(" ")
        if scheme.lower() == "bearer":
            yield token.strip()


def _outcome(function: Callable[..., Any], args: Sequence[Any]) -> tuple[Any, BaseException | None]:
    """What a plain function returned or raised: a future cannot carry a `StopIteration`, and who
    waits for it would wait for ever."""
    try:
        return function(*args), None
    except BaseException as error:  # noqa: BLE001  # raised again by who waits
        return None, error


def _takes_two(function: Callable[..., Any]) -> bool:
    """Whether a rollout function wants the HTTP request, too."""
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return False
    return True


def _listed(found: Any) -> Any:
    """As a list, made in the thread that may take long over it; an awaitable is left alone."""
    return found if inspect.isawaitable(found) else list(found)


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _Refused(422, "invalid_request", "a seed must be a whole number") from None


def _answer(asked: RolloutRequest, result: Any) -> dict[str, Any]:
    if isinstance(result, Mapping):
        return {"trace_correlation_id": asked.trace_correlation_id, **result}
    if not isinstance(result, RolloutResponse):
        kind = type(result).__name__
        raise _broken("rollout", f"it returned a {kind}, not a RolloutResponse or a mapping")
    try:
        return result.dump()
    except (TypeError, ValueError) as error:
        raise _broken("rollout", str(error)) from None


def _json(value: Any, name: str) -> web.Response:
    """`value` as the answer; `name` is whose it is."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise _broken(name, f"what it returned is not JSON: {error}") from None
    return web.Response(text=text, content_type="application/json")


def _broken(name: str, why: str) -> _Refused:
    message = f"{name} failed: {' '.join(why.split())[:_SAID]}"
    return _Refused(500, f"{name}_failed", message)
