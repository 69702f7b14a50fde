"""Where as many calls are under way as may be, one more is told so at once."""

import asyncio
import resource

import pytest
from aiohttp import web
from structlog.testing import capture_logs
from support.gateway import ask, running, settings
from support.provider import FakeProvider, delta

from sidecar.commands.limits import allow_open_files

LIMIT = 3


class Held:
    """Answers that begin, and end when they may."""

    def __init__(self, provider):
        self.begun = 0
        self.release = asyncio.Event()
        provider.script = self._answer

    async def _answer(self, request, _body):
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(delta("first"))
        self.begun += 1
        await self.release.wait()
        await response.write(b"data: [DONE]\n\n")
        return response

    async def all_begun(self):
        async with asyncio.timeout(5):
            while self.begun < LIMIT:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/other"])
async def test_a_call_beyond_the_bound_is_refused_at_once_and_may_come_again(path):
    async with FakeProvider() as provider:
        config = settings(provider.base_url, provider={"max_connections": LIMIT})
        async with running(config) as ours:
            held = Held(provider)
            calls = [asyncio.create_task(ours.chat(ask("hi"), path=path)) for _ in range(LIMIT)]
            await held.all_begun()
            async with asyncio.timeout(1):
                refused = await ours.chat(ask("hi"), path=path)
            assert refused.status == 503
            assert refused.headers["retry-after"] == "1"
            assert refused.json["error"]["code"] == "too_many_calls"
            assert len(provider.seen) == LIMIT
            held.release.set()
            assert {call.status for call in await asyncio.gather(*calls)} == {200}
            assert (await ours.chat(ask("hi"), path=path)).status == 200
            outcomes = {outcome: n for (*_, outcome), n in (await ours.accounted(5)).items()}
            assert outcomes == {"ok": LIMIT + 1, "failed": 1}


@pytest.fixture
def limits(monkeypatch):
    """The limits of a process that are set here and nowhere else."""
    limits = {resource.RLIMIT_NOFILE: (1024, 20_000)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
    return limits


@pytest.mark.parametrize(
    ("calls", "allowed"), [(1, 1024), (1000, 3000), (9500, 20_000), (10_000, 20_000)]
)
def test_as_many_files_may_be_open_as_calls_need_if_the_system_lets_us(calls, allowed, limits):
    with capture_logs() as lines:
        allow_open_files(calls)
    assert limits[resource.RLIMIT_NOFILE] == (allowed, 20_000)
    assert len(lines) == (calls == 10_000)
