"""A backend that offers what is published and not a route more, and records what it was told."""

from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

_SESSIONS = "/api/prompt-learning/online/gepa/sessions"
TEXT = "You are very helpful."
KEY = "key-of-the-service"


@dataclass
class Hosted:
    """`async with Hosted() as hosted`: one account with one key."""

    created: list[dict[str, Any]] = field(default_factory=list)
    rewards: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    """Path, headers, body."""
    refused: int = 0
    status: str = "started"
    shows_texts: bool = True
    url: str = ""

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._keyed])
        one = _SESSIONS + "/{session}"
        app.add_routes(
            [
                web.post(_SESSIONS, self._create),
                web.get(one, self._show),
                web.get(one + "/prompt", self._urls),
                web.post(one + "/reward", self._reward),
                web.post(one + "/{action:pause|resume|cancel}", self._steer),
                web.post("/api/gepa/v1/{session}/{correlation}/chat/completions", self._chat),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @web.middleware
    async def _keyed(self, request: web.Request, handler: Any) -> web.StreamResponse:
        known = request.headers.get("Authorization") == f"Bearer {KEY}"
        if not known and request.path.startswith("/api"):
            self.refused += 1
            return web.json_response({"detail": "no such key"}, status=401)
        return await handler(request)

    def _places(self, request: web.Request, session: str) -> dict[str, str]:
        url = f"http://{request.host}/api/gepa/v1/{session}"
        return {
            "proxy_url": url,
            "online_url": url,
            "chat_completions_url": f"{url}/chat/completions",
        }

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.created.append(body)
        own = {"session_id": body["session_id"], "job_id": "pl_0123456789abcdef", "mode": "online"}
        return web.json_response(
            {**own, "status": self.status, **self._places(request, body["session_id"])}, status=201
        )

    async def _show(self, request: web.Request) -> web.Response:
        if not self.created:
            return web.json_response({"detail": "unknown session"}, status=404)
        best: dict[str, Any] = {"candidate_id": "cand_7", "avg_reward": 0.9, "rollout_count": 30}
        if self.shows_texts:
            best["stage_payloads"] = {"main": {"instruction_lines": TEXT.split("\n")}}
        baseline = {"candidate_id": "baseline", "avg_reward": 0.4, "is_baseline": True}
        return web.json_response(
            {
                "session_id": request.match_info["session"],
                "status": self.status,
                "rollout_count": 40,
                "reward_count": len(self.rewards),
                "best_candidate_id": "cand_7",
                "best_score": 0.9,
                "candidates": [baseline, best],
            }
        )

    async def _urls(self, request: web.Request) -> web.Response:
        return web.json_response(self._places(request, request.match_info["session"]))

    async def _reward(self, request: web.Request) -> web.Response:
        body = await request.json()
        if not isinstance(body["reward_info"].get("score"), float):
            return web.json_response({"detail": "reward_info needs a number"}, status=422)
        self.rewards.append({**body, "key": request.headers.get("Idempotency-Key")})
        self.status = "completed" if body.get("stop") else self.status
        return web.json_response({"status": self.status, "reward_count": len(self.rewards)})

    async def _steer(self, request: web.Request) -> web.Response:
        action = request.match_info["action"]
        self.status = {"pause": "paused", "resume": "started", "cancel": "cancelled"}[action]
        return web.json_response({"status": self.status})

    async def _chat(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.calls.append((request.path, dict(request.headers), body))
        if self.status in {"cancelled", "completed"}:
            error = {"message": "the session is over"}
            return web.json_response({"error": error}, status=409)
        message = {"role": "assistant", "content": "from the service"}
        answer = {"id": "chatcmpl-h", "choices": [{"index": 0, "message": message}]}
        correlation = request.match_info["correlation"]
        named = {"x-gepa-rollout-id": correlation, "x-gepa-candidate-id": "cand_7"}
        return web.json_response(answer, headers=named)
