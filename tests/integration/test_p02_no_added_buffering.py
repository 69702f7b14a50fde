"""P2: each write of the provider reaches the client before the provider makes the next one."""

import asyncio

import pytest
from aiohttp import web
from support.gateway import ask, running, settings
from support.provider import FakeProvider, delta


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/other", "/api/gepa/v1/s1/chat/completions"]
)
@pytest.mark.parametrize("content_type", ["text/event-stream", "application/octet-stream"])
async def test_lock_step(path, content_type):
    """The provider writes only after the client has said that it has what came before."""
    received = asyncio.Semaphore(0)

    async def paced(request, _body):
        response = web.StreamResponse(headers={"content-type": content_type})
        await response.prepare(request)
        for i in range(20):
            await received.acquire()
            await response.write(delta(f"word {i}"))
        return response

    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        provider.script = paced
        body = {"model": "m", "messages": ask("hi"), "stream": True}
        async with asyncio.timeout(5), ours.client.post(ours.url + path, json=body) as response:
            for i in range(20):
                received.release()
                chunk = await response.content.readany()
                assert chunk == delta(f"word {i}")
            assert await response.content.read() == b""
        is_session = path != "/v1/other" and content_type == "text/event-stream"
        assert (response.headers.get("x-accel-buffering") == "no") is is_session
        assert "content-encoding" not in response.headers


async def test_a_request_body_is_not_buffered_either():
    pieces: asyncio.Queue[bytes] = asyncio.Queue()

    class Watching(FakeProvider):
        async def _serve(self, request):
            async for chunk in request.content.iter_any():
                pieces.put_nowait(chunk)
            return web.Response(text="done")

    async with Watching() as provider, running(settings(provider.base_url)) as ours:

        async def upload():
            for i in range(10):
                yield b"piece %d" % i
                async with asyncio.timeout(5):
                    assert await pieces.get() == b"piece %d" % i

        async with ours.client.post(ours.url + "/v1/files", data=upload()) as response:
            assert await response.text() == "done"
