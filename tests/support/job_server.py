"""A server of the published job API that plays a script and writes down what it is asked."""

import asyncio
import base64
import contextlib
import io
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from nacl.public import PrivateKey, SealedBox

KEY = "sk-very-secret"
POLICY = "/api/policy-optimization/online/jobs"
EVALS = "/api/eval/jobs"
JOB, EVAL = "pl_0123456789abcdef", "eval-0123456789ab"


@dataclass
class JobServer:
    """`answers[path]` are played in turn, the last of them again and again; a number is a
    status."""

    url: str = ""
    answers: dict[str, list[Any]] = field(default_factory=dict)
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    private: PrivateKey = field(default_factory=PrivateKey.generate)
    streams: list[list[bytes | asyncio.Event]] = field(default_factory=list)
    """What each connection to an event stream is sent, and waits for, before it breaks off."""

    def says(self, path: str, *answers: Any) -> None:
        self.answers[path] = list(answers)

    def called(self, method: str = "") -> list[str]:
        """The targets, of this method only if one is named."""
        return [target for verb, target, _ in self.calls if method in {"", verb}]

    def body(self, path: str) -> Any:
        """What was posted there last."""
        return next(body for _, target, body in reversed(self.calls) if target == path)

    def opened(self) -> str:
        """What was in the sealed box."""
        box = base64.b64decode(self.body("/api/v1/env-keys")["ciphertext_b64"])
        return SealedBox(self.private).decrypt(box).decode()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.calls.append((request.method, request.raw_path, json.loads(text) if text else None))
        self.headers.append(dict(request.headers))
        if request.path.endswith("/events/stream") and request.path not in self.answers:
            return await self._stream(request)
        played = self.answers.get(request.path)
        if played is None:
            return web.json_response({"detail": f"nothing at {request.path}"}, status=404)
        answer = played.pop(0) if len(played) > 1 else played[0]
        if isinstance(answer, int):
            return web.json_response({"detail": f"status {answer}"}, status=answer)
        if isinstance(answer, bytes):
            return web.Response(body=answer, content_type="application/zip")
        return web.json_response(answer)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in self.streams.pop(0) if self.streams else []:
            await (piece.wait() if isinstance(piece, asyncio.Event) else response.write(piece))
        if self.streams and request.transport is not None:
            request.transport.close()  # the last one ends in order
        return response


@contextlib.asynccontextmanager
async def job_server() -> AsyncIterator[JobServer]:
    """A server with one job of each kind, and a box for keys."""
    ours = JobServer()
    public = base64.b64encode(bytes(ours.private.public_key)).decode()
    ours.says("/api/v1/crypto/public-key", {"public_key": public, "alg": "libsodium.sealedbox.v1"})
    ours.says("/api/v1/env-keys", {"id": "k1", "name": "ENVIRONMENT_API_KEY"})
    ours.says(POLICY, {"job_id": JOB, "status": "pending"})
    ours.says(EVALS, {"job_id": EVAL, "status": "pending"})
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", ours.handle)
    async with TestServer(app) as server:
        ours.url = str(server.make_url("")).rstrip("/")
        yield ours


def framed(*events: dict[str, Any]) -> bytes:
    """Events as a server sends them."""
    return b"".join(b"id: %d\ndata: %s\n\n" % (e["seq"], json.dumps(e).encode()) for e in events)


def event(seq: int, what: str = "progress", **data: Any) -> dict[str, Any]:
    """An event of a GEPA job."""
    kind = f"learning.policy.gepa.{what}"
    return {"seq": seq, "type": kind, "message": what, "data": data, "created_at": "2026-01-01"}


def archive(**files: str) -> bytes:
    """A ZIP with these JSON files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name, text in files.items():
            target.writestr(f"{name}.json", text)
    return out.getvalue()
