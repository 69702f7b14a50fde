"""An OpenAI-compatible provider on loopback that plays the policy and the reflection model.

It is a real server: whoever talks to it goes through a socket. It keeps, for measuring, which
system prompt each completion was made under.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from hashlib import blake2b
from typing import Any

from aiohttp import web

from sidecar.simulation import wire
from sidecar.simulation.policy_model import PolicyModel, system_prompt, text_of
from sidecar.simulation.reflection_model import ReflectionModel
from sidecar.simulation.world import World

POLICY = "sim-policy"
REFLECTION = "sim-reflect"
_REMEMBERED = 200_000
"""Completions whose system prompt can be asked for."""


class SimulatedProvider:
    """Start it, call it, stop it."""

    def __init__(self, world: World, seed: int, *, latency: float = 0.0) -> None:
        self.world = world
        self.calls: Counter[str] = Counter()
        """Completions by `policy` and `reflection`."""
        self._latency = latency
        self._seed = seed
        self._policy = PolicyModel(seed)
        self._reflection = ReflectionModel(seed)
        self._prompts: OrderedDict[str, str] = OrderedDict()
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> str:
        """Listen on loopback; answers the base URL for an OpenAI client."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._models)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        host, bound = self._runner.addresses[0][:2]
        return f"http://{host}:{bound}/v1"

    async def stop(self) -> None:
        """Close every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def prompt_of(self, completion_id: str) -> str | None:
        """The system prompt that a completion was made under: the truth about what was served."""
        return self._prompts.get(completion_id)

    async def _models(self, _request: web.Request) -> web.Response:
        models = [
            {"id": name, "object": "model", "created": 0, "owned_by": "simulation"}
            for name in (POLICY, REFLECTION)
        ]
        return web.json_response({"object": "list", "data": models})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        try:
            body = wire.checked(await request.read())
            identity, reply = self._answer(body)
        except wire.BadRequest as error:
            return web.json_response(error.body, status=error.status)
        if self._latency:
            await asyncio.sleep(self._latency)
        used = wire.usage(body["messages"], reply)
        created = int(time.time())
        if not body.get("stream"):
            whole = wire.completion(identity, body["model"], reply, used, created)
            return web.json_response(whole)
        wants_usage = (body.get("stream_options") or {}).get("include_usage")
        events = wire.chunks(identity, body["model"], reply, used if wants_usage else None, created)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            await response.write(event)
        await response.write_eof()
        return response

    def _answer(self, body: dict[str, Any]) -> tuple[str, str]:
        model: str = body["model"]
        if "reflect" in model:
            self.calls["reflection"] += 1
            said = "\n".join(text_of(message) for message in body["messages"])
            return self._identity(), self._reflection.reply(said, self.calls["reflection"])
        if not model.startswith(POLICY):
            raise wire.BadRequest(
                f"The model `{model}` does not exist.", code="model_not_found", status=404
            )
        self.calls["policy"] += 1
        identity = self._identity()
        self._remember(identity, body["messages"])
        return identity, self._policy.reply(body["messages"])

    def _identity(self) -> str:
        """Unique in a run, and the same in the next one of this seed."""
        call = f"{self._seed}|{self.calls.total()}".encode()
        return f"chatcmpl-{blake2b(call, digest_size=12).hexdigest()}"

    def _remember(self, identity: str, messages: list[dict[str, Any]]) -> None:
        self._prompts[identity] = system_prompt((m["role"], text_of(m)) for m in messages)
        while len(self._prompts) > _REMEMBERED:
            self._prompts.popitem(last=False)
