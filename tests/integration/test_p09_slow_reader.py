"""P9: a slow reader slows the provider; between the two nothing piles up."""

import asyncio
import resource

import pytest
from aiohttp import web
from support.gateway import RawClient, ask, running, settings
from support.provider import FakeProvider

EVENT = b"data: " + b"x" * (64 * 1024 - 8) + b"\n\n"
TOTAL = 2000


async def stalled(count):
    """Until the count has not moved for a while."""
    before = -1
    async with asyncio.timeout(10):
        while count() != before:
            before = count()
            await asyncio.sleep(0.2)
    return before


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/other"])
async def test_the_provider_stalls_when_the_client_does_not_read(path):
    sent = 0

    async def torrent(request, _body):
        nonlocal sent
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(TOTAL):
            await response.write(EVENT)
            sent += 1
        return response

    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        provider.script = torrent
        async with RawClient(ours.port, receive_buffer=4096) as client:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            await client.chat({"model": "m", "messages": ask("hi"), "stream": True}, path)
            await client.head()
            held = await stalled(lambda: sent)
            assert held < TOTAL / 4
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            assert grown < 32 * 1024  # KiB; the whole answer is 128 MiB
            # It goes on as soon as the client does.
            for _ in range(64):
                await client.reader.read(65536)
            async with asyncio.timeout(5):
                while sent == held:
                    await client.reader.read(65536)


async def test_a_slow_provider_slows_an_upload():
    """The other way round: what the provider does not take, the client cannot send."""
    release = asyncio.Event()

    class Lazy(FakeProvider):
        async def _serve(self, request):
            self.arrived.set()
            await release.wait()
            return web.Response()

    async with Lazy() as provider, running(settings(provider.base_url)) as ours:
        sent = 0
        async with RawClient(ours.port) as client:
            await client.send(
                b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 134217728\r\n\r\n"
            )

            async def upload():
                nonlocal sent
                while True:
                    await client.send(b"x" * 65536)
                    sent += 1

            task = asyncio.create_task(upload())
            held = await stalled(lambda: sent)
            assert held < TOTAL / 4
            task.cancel()
            release.set()
            await asyncio.wait({task})
