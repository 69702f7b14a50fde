"""A task app on loopback, as a user would write it, and as a bad day would have it.

Each rollout asks the model at the `inference_url` that it was given, with the app's own system
prompt, and is worth 1 if the answer says so. `behave` replaces that for some or all rollouts.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self

import aiohttp
from aiohttp import web

BASELINE = "You name the colour of an item."
MAGIC = "colour word only"
KEY = "env-key-of-the-task-app"

Behaviour = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse | None]]
"""Answers a rollout, or leaves it to the app (None)."""


class FakeTaskApp:
    """`async with FakeTaskApp() as app`; `app.url` is what a job is given."""

    def __init__(self, behave: Behaviour | None = None, *, path: str = "", key: str = KEY) -> None:
        self.behave = behave
        self.key = key
        self.system: str | None = BASELINE
        """What it sends as its system prompt; None: none."""
        self.calls_model = True
        self.model = "gpt-4.1-mini"
        self.model_key = ""
        """Sent to the model when set."""
        self.rollouts: list[dict[str, Any]] = []
        """Bodies of all rollouts it was asked for."""
        self.headers: list[dict[str, str]] = []
        """Of all requests, names in lower case."""
        self.requests: list[str] = []
        """Method and target of all requests."""
        self.at_once = 0
        self.most_at_once = 0
        self.url = ""
        self._path = path
        self._runner: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        await self.listen(0)
        return self

    async def listen(self, port: int) -> None:
        """Open the door."""
        self._http = aiohttp.ClientSession()
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}{self._path}"

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._http is not None:
            await self._http.close()

    @property
    def seeds(self) -> list[int]:
        """Of the rollouts it was asked for."""
        return [rollout["env"]["seed"] for rollout in self.rollouts]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.raw_path}")
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if not self._may_enter(request):
            return _unauthorised(self.key, request.headers.get("X-API-Key", ""))
        route = request.raw_path.partition("?")[0].removeprefix(self._path)
        if route == "/health":
            return web.json_response({"healthy": True})
        if route == "/info":
            return web.json_response({"service": {"task": {"name": "colours"}}, "dataset": {}})
        if route == "/task_info":
            return _task_info([int(seed) for seed in request.query.getall("seed", [])])
        if route == "/rollout":
            return await self._rollout(request)
        return web.json_response({"detail": "Not Found"}, status=404)

    def _may_enter(self, request: web.Request) -> bool:
        given = {request.headers.get("X-API-Key"), request.headers.get("Authorization")}
        return bool(given & {self.key, f"Bearer {self.key}"})

    async def _rollout(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.rollouts.append(body)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            behaved = await self.behave(request, body) if self.behave is not None else None
            if behaved is not None:
                return behaved
            return web.json_response(await self.play(body))
        finally:
            self.at_once -= 1

    async def play(self, body: dict[str, Any]) -> dict[str, Any]:
        """A rollout as it should be."""
        said = await self.ask(body) if self.calls_model else "nothing"
        good = "yes" in said
        return {
            "trace_correlation_id": body["trace_correlation_id"],
            "reward_info": {"outcome_reward": float(good), "details": {"said": said}},
            "trace": {"inference": {"response": said}},
            "success_status": "success",
        }

    async def ask(self, body: dict[str, Any]) -> str:
        """One call of the model, at the address that came with the rollout."""
        assert self._http is not None
        config = body["policy"]["config"]
        told = [{"role": "system", "content": self.system}] if self.system is not None else []
        messages = [*told, {"role": "user", "content": f"item {body['env']['seed']}"}]
        headers = {"Authorization": f"Bearer {self.model_key}"} if self.model_key else {}
        url = config["inference_url"] + "/chat/completions"
        sent = {"model": self.model, "messages": messages}
        async with self._http.post(url, json=sent, headers=headers) as answer:
            answer.raise_for_status()
            return (await answer.json())["choices"][0]["message"]["content"]


def _task_info(seeds: list[int]) -> web.Response:
    if not seeds:
        return web.json_response({"taskset": {"id": "colours"}})
    found = [{"task": {"id": "colours"}, "task_metadata": {"seed": seed}} for seed in seeds]
    return web.json_response(found if len(found) > 1 else found[0])


def _unauthorised(key: str, given: str) -> web.Response:
    """As the published SDK's server says it: with a good part of the keys."""
    error = {
        "code": "unauthorised",
        "message": "API key missing or invalid",
        "allowed_first15": [key[:15]],
        "got_first15": [given[:15]],
    }
    return web.json_response({"detail": {"error": error}}, status=400)


async def reset(request: web.Request) -> web.StreamResponse:
    """The connection breaks."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def stall() -> web.StreamResponse:
    """Nothing comes."""
    await asyncio.Event().wait()
    raise AssertionError


def rewarded(**fields: Any) -> web.Response:
    """An answer with this in it, and nothing else."""
    return web.json_response(fields)
