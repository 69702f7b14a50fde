"""P3: whatever the remote backend does, the call is answered, with the last good prompt, in time.

{refuse, black hole, half open, 500, slow, garbage, reset}, found out by the calls or by the watch.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs
from support.backends import SESSION, SYSTEM, proposing
from support.fault_proxy import NONE, Fault, FaultProxy, answer, dead_end
from support.gateway import ask
from support.provider import FakeProvider
from support.remote import (
    Pair,
    again_and_again,
    back_settings,
    came_directly,
    front_settings,
    on_disk,
    pair,
)
from support.whole import whole

CALLS = 12
STREAK = 5
"""Failures in a row that open the breaker."""
BUDGET = 0.15
"""Seconds that the backend may cost a call, by default (`backend.connect_ms`)."""
MARGIN = 0.85
"""Seconds for a machine that has other things to do."""
NOTICED = 4.5
"""Seconds in which the watch notices a backend that swallows everything: three questions of at most
a second each, the pauses between them, and the one that was under way."""


@dataclass(frozen=True)
class Case:
    """What is wrong with the backend, and what is said of calls while it is."""

    fault: Fault
    reason: str


BY_CALLS = {
    "500": Case(Fault(instead=answer("500 Internal Server Error", b"boom")), "backend_error"),
    "503 in JSON": Case(
        Fault(instead=answer("503 Service Unavailable", b"{}", "application/json")),
        "backend_error",
    ),
    "a web page": Case(
        Fault(instead=answer("200 OK", b"<p>Welcome to nginx!", "text/html")), "backend_garbage"
    ),
    "a redirect": Case(Fault(instead=answer("302 Found")), "backend_garbage"),
    "not HTTP": Case(Fault(instead=b"\0\1\2 EHLO\r\n\r\n"), "backend_garbage"),
    "reset": Case(Fault(reset_after=0), "backend_unreachable"),
    "reset inside the head": Case(Fault(reset_after=20), "backend_unreachable"),
    "closed without an answer": Case(Fault(instead=b""), "backend_unreachable"),
}

SWALLOWED = {"black hole": Fault(black_hole=True), "half open": Fault(half_open=True)}


@pytest.fixture
async def provider():
    async with FakeProvider() as provider:
        proposing(provider)
        yield provider


@contextlib.asynccontextmanager
async def running(provider, **backend):
    """A pair whose session has a pinned prompt of its own, known at the front: that is `.text`."""
    async with pair(provider, backend=backend) as both:
        both.text = await both.pinned()
        await both.front.say("before")
        assert provider.last.system == both.text
        assert not came_directly(provider.last)
        yield both


async def served(both, provider, *, stream=False):
    """A call while something is wrong: the answer's reason, and how long it took."""
    before = len(provider.seen)
    began = time.monotonic()
    asked = {"model": "m", "messages": ask("hi", SYSTEM), "stream": stream}
    url = f"{both.front.sidecar.url}/v1/chat/completions"
    async with both.front.http.post(url, json=asked) as got:
        body = await got.read()
    took = time.monotonic() - began
    assert got.status == 200
    assert b" to hi" in body if not stream else b"[DONE]" in body
    assert got.headers["x-sidecar-mode"] == "failopen"
    assert "x-gepa-candidate-id" not in got.headers
    assert came_directly(provider.last)
    assert provider.last.system == both.text, "the last good prompt"
    return got.headers["x-sidecar-reason"], took, len(provider.seen) - before


async def works_again(both, provider):
    async for _ in again_and_again():
        await both.front.say("after")
        if not came_directly(provider.last):
            break
    await both.breaker("closed", "half_open")


def adds_up(both, *reasons):
    """As many calls were served without the backend as the reasons say."""
    for reason in set(reasons):
        assert both.front.total("sidecar_failopen_total", reason=reason) == reasons.count(reason)
    assert both.front.total("sidecar_requests_total", mode="failopen", outcome="ok") == len(reasons)
    assert both.front.total("sidecar_requests_total", outcome="failed") == 0
    assert both.front.total("sidecar_in_flight_requests") == 0


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", BY_CALLS)
async def test_a_failure_is_met_by_the_provider_and_the_breaker_opens(case, stream, provider):
    fault, reason = BY_CALLS[case].fault, BY_CALLS[case].reason
    async with running(provider, poll_seconds=60) as both:
        both.between.fault = fault
        with capture_logs() as lines:
            calls = [await served(both, provider, stream=stream) for _ in range(CALLS)]
        reasons = [call[0] for call in calls]
        assert reasons == [reason] * STREAK + ["breaker_open"] * (CALLS - STREAK)
        assert max(call[1] for call in calls) < BUDGET + MARGIN
        assert max(call[2] for call in calls) <= 2, "what was sent and not answered, once more"
        assert {call[2] for call in calls[STREAK:]} == {1}
        assert [line["state"] for line in lines if line["event"] == "backend_breaker"] == ["open"]
        adds_up(both, *reasons)


@pytest.mark.parametrize("how", ["refused", "no connection"])
async def test_a_backend_that_cannot_be_connected_to_costs_no_more_than_the_budget(how, provider):
    own = {"poll_seconds": 60, "connect_ms": BUDGET * 1000}
    async with running(provider, **own) as both, dead_end() as nowhere:
        if how == "refused":
            await both.between.refuse()
        else:
            session = both.front.sidecar.backend._sessions[SESSION]
            session.base = f"http://{nowhere}/api/gepa/v1/{SESSION}"
        calls = [await served(both, provider) for _ in range(CALLS)]
        reason = {"refused": "backend_unreachable", "no connection": "backend_timeout"}[how]
        reasons = [call[0] for call in calls]
        assert reasons == [reason] * STREAK + ["breaker_open"] * (CALLS - STREAK)
        assert max(call[1] for call in calls) < BUDGET + MARGIN
        assert min(call[1] for call in calls[:STREAK]) >= BUDGET * (how == "no connection")
        assert {call[2] for call in calls} == {1}, "nothing was sent, so nothing was paid twice"
        adds_up(both, *reasons)


@pytest.mark.parametrize("fault", SWALLOWED)
async def test_a_backend_that_swallows_everything_is_noticed_by_the_watch(fault, provider):
    async with running(provider, poll_seconds=0.1) as both:
        both.between.fault = SWALLOWED[fault]
        with capture_logs() as lines:
            calls = await asyncio.gather(*(served(both, provider) for _ in range(CALLS)))
            assert {call[0] for call in calls} == {"backend_gone"}
            assert max(call[1] for call in calls) < NOTICED
            later = [await served(both, provider) for _ in range(CALLS)]
            assert {call[0] for call in later} == {"breaker_open"}
            assert max(call[1] for call in later) < BUDGET + MARGIN
        assert [line["state"] for line in lines if line["event"] == "backend_breaker"] == ["open"]
        adds_up(both, *(call[0] for call in [*calls, *later]))
        both.between.fault = NONE
        await works_again(both, provider)


async def test_a_backend_that_is_back_is_used_again(provider):
    async with running(provider, poll_seconds=0.1) as both:
        await both.between.refuse()
        await both.breaker("open")
        await served(both, provider)
        await both.between.listen()
        await works_again(both, provider)
        for _ in range(3):
            answer_ = await both.front.say("after")
            assert answer_.headers["x-sidecar-mode"] == "optimized"
        await both.breaker("closed")


@pytest.mark.parametrize("fault", [Fault(delay=0.5), Fault(slice=7), Fault(rate=4000)], ids=repr)
async def test_a_slow_answer_is_waited_for_and_not_asked_for_again(fault, provider):
    async with running(provider, poll_seconds=60) as both:
        both.between.fault = fault
        before = len(provider.seen)
        got = await both.front.say("slow")
        assert (got.status, got.headers["x-sidecar-mode"]) == (200, "optimized")
        assert len(provider.seen) == before + 1
        assert both.front.sidecar.reachability.describe() == {"breaker": "closed"}


async def test_after_the_first_byte_nothing_is_asked_for_again(provider):
    async with running(provider, poll_seconds=60) as both:
        before = len(provider.seen)
        both.between.fault = Fault(reset_after=700)  # somewhere after the head
        asked = {"model": "m", "messages": ask("x" * 3000, SYSTEM)}
        url = f"{both.front.sidecar.url}/v1/chat/completions"
        with pytest.raises(Exception, match=r"payload|disconnected|Connection|reset"):  # noqa: PT012
            async with both.front.http.post(url, json=asked) as got:
                assert got.status == 200
                await got.read()
        assert len(provider.seen) == before + 1
        assert both.front.total("sidecar_failopen_total") == 0


async def test_a_client_that_leaves_stops_the_call_behind_the_backend_too(provider):
    async with running(provider, poll_seconds=60) as both:

        async def silent(_request, _body):
            await asyncio.Event().wait()

        provider.script = silent
        provider.arrived.clear()
        call = asyncio.create_task(both.front.say("talk"))
        await provider.arrived.wait()
        call.cancel()
        async with asyncio.timeout(2):
            await provider.last.aborted.wait()
        assert both.front.sidecar.reachability.describe() == {"breaker": "closed"}


async def test_the_last_good_prompt_outlives_a_restart_without_the_backend(provider, tmp_path):
    async with whole(back_settings(provider)) as back, FaultProxy(back.sidecar.url) as between:
        settings = front_settings(between.url, provider, store=on_disk(tmp_path, "front"))
        async with whole(settings) as front:
            both = Pair(front, back, between, provider)
            text = await both.pinned()
            async for _ in again_and_again():
                kept = await front.sidecar.store.secret("remote-sessions")
                if kept is not None and b"Mind point" in kept.value:
                    break
        await between.refuse()
        async with whole(settings) as front:
            got = await front.say("talk")
            assert (got.status, got.headers["x-sidecar-mode"]) == (200, "failopen")
            assert provider.last.system == text
