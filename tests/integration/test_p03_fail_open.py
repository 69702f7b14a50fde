"""P3: whatever of ours fails, the call goes to the provider with the last good prompt."""

import asyncio

import pytest
from support.gateway import StaticBackend, TurnLog, ask, running, settings
from support.provider import FakeProvider

from sidecar.core.rollout import Assignment
from sidecar.errors import Conflict, NotFound
from sidecar.store.base import StoreError

STORED = Assignment("s1", "r1", "baseline", 1.0, 1, 0, 0.0)
FAILURES = [RuntimeError("bug"), StoreError("down"), KeyError("x"), NotFound("gone")]


@pytest.mark.parametrize("error", FAILURES)
async def test_before_anything_is_known_the_application_is_served_as_it_asked(error):
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        ours.backend.fail = error
        answer = await ours.chat(ask("hi"))
        assert answer.status == 200
        assert provider.last.system == "You are helpful."
        assert ours.store.turns == []


V1, SESSION = "/v1/chat/completions", "/api/gepa/v1/s1/chat/completions"


@pytest.mark.parametrize(
    ("path", "error"), [(V1, e) for e in FAILURES] + [(SESSION, e) for e in FAILURES[:3]]
)
async def test_afterwards_it_is_served_with_the_last_good_prompt(path, error):
    backend = StaticBackend(candidates={"good": "Be good."})
    async with FakeProvider() as provider, running(settings(provider.base_url), backend) as ours:
        await ours.chat(ask("hi"))
        backend.fail = error
        answer = await ours.chat(ask("ho"), path=path)
        assert answer.status == 200
        assert provider.last.system == "Be good."
        assert answer.headers["x-sidecar-mode"] == "failopen"
        assert "x-gepa-rollout-id" not in answer.headers
        reason = "unknown_session" if isinstance(error, NotFound) else "backend"
        assert ours.value("sidecar_failopen_total", reason=reason) == 1
        kind = "chat" if path.startswith("/v1") else "session"
        assert (await ours.accounted(2))[(kind, "failopen", "ok")] == 1
        assert len(ours.store.turns) == 1


async def test_a_candidate_on_trial_does_not_become_everybodys():
    backend = StaticBackend(candidates={"good": "Be good."})
    async with FakeProvider() as provider, running(settings(provider.base_url), backend) as ours:
        await ours.chat(ask("hi"))
        backend.candidates = {f"trial{i}": "Be odd." for i in range(20)}
        await ours.chat(ask("ho"))
        assert provider.last.system == "Be odd."
        backend.fail = RuntimeError("bug")
        await ours.chat(ask("hu"))
        assert provider.last.system == "Be good."


async def test_a_session_that_is_over_serves_the_applications_own_prompt():
    backend = StaticBackend(candidates={"good": "Be good."})
    async with FakeProvider() as provider, running(settings(provider.base_url), backend) as ours:
        await ours.chat(ask("hi"))
        backend.closed.add("s1")
        answer = await ours.chat(ask("ho"))
        assert provider.last.system == "You are helpful."
        assert answer.headers["x-sidecar-mode"] == "baseline"
        assert ours.value("sidecar_failopen_total", reason="closed") == 1


async def test_on_a_session_url_an_unknown_or_closed_session_is_an_answer():
    async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
        ours.backend.closed.add("s1")
        for session, status, code in (("s1", 409, "conflict"), ("s2", 404, "not_found")):
            answer = await ours.chat(ask("hi"), path=f"/api/gepa/v1/{session}/chat/completions")
            assert answer.status == status
            assert answer.json["error"]["code"] == code
            assert answer.json["detail"] == answer.json["error"]["message"]
        assert provider.seen == []
        assert Conflict.status == 409
        assert await ours.accounted(2) == {("session", "passthrough", "failed"): 2}


@pytest.mark.parametrize("fate", ["never", None, STORED, RuntimeError("disk"), "cancelled"])
async def test_a_store_that_fails_or_hangs_costs_at_most_the_budget(fate):
    futures = []

    def stored():
        future = asyncio.get_running_loop().create_future()
        futures.append(future)
        if fate in {None, STORED}:
            future.set_result(fate)
        elif isinstance(fate, Exception):
            future.set_exception(fate)
        elif fate == "cancelled":
            future.cancel()
        return future

    backend = StaticBackend()
    backend.stored = stored
    config = settings("http://x/v1", gateway={"store_wait_ms": 500})
    async with FakeProvider() as provider:
        config = settings(provider.base_url, gateway={"store_wait_ms": 500})
        async with running(config, backend) as ours:
            began = asyncio.get_running_loop().time()
            answer = await ours.chat(ask("hi"))
            took = asyncio.get_running_loop().time() - began
            assert answer.status == 200
            assert answer.candidate == "baseline"
            assert (0.5 <= took < 5) if fate == "never" else took < 0.5
            slow = ours.value("sidecar_failopen_total", reason="store_slow")
            failed = ours.value("sidecar_failopen_total", reason="store")
            assert (slow, failed) == (float(fate == "never"), float(fate not in {"never", STORED}))
            assert not (fate == "never" and futures[0].cancelled())


async def test_the_answer_waits_for_the_assignment_to_be_durable():
    future: asyncio.Future[Assignment | None] = asyncio.get_running_loop().create_future()
    backend = StaticBackend()
    backend.stored = lambda: future
    async with FakeProvider() as provider:
        config = settings(provider.base_url, gateway={"store_wait_ms": 10_000})
        async with running(config, backend) as ours:
            call = asyncio.create_task(ours.chat(ask("hi")))
            await provider.arrived.wait()
            await asyncio.wait({call}, timeout=0.05)
            assert not call.done()
            future.set_result(STORED)
            assert (await call).status == 200


@pytest.mark.parametrize("store", [TurnLog(fail=RuntimeError("disk")), TurnLog(accepts=False)])
async def test_a_turn_that_cannot_be_kept_is_lost_and_counted(store):
    async with (
        FakeProvider() as provider,
        running(settings(provider.base_url), store=store) as ours,
    ):
        assert (await ours.chat(ask("hi"))).status == 200
        assert await ours.accounted(1) == {("chat", "baseline", "ok"): 1}
        reason = "error" if store.fail else "queue"
        assert ours.value("sidecar_capture_dropped_total", reason=reason) == 1


async def test_a_provider_that_is_not_there_is_named_as_such():
    async with FakeProvider() as provider:
        gone = provider.base_url
    async with running(settings(gone)) as ours:
        for path in ("/v1/models", "/v1/chat/completions", "/api/gepa/v1/s1/chat/completions"):
            answer = await ours.chat(ask("hi"), path=path)
            assert answer.status == 502
            assert answer.json["error"]["code"] == "upstream_unreachable"
            assert answer.json["error"]["type"] == "upstream_error"
            assert "127.0.0.1" not in answer.json["detail"]
        assert answer.headers["x-correlation-id"].startswith("trace_")
        assert [t.outcome for t in ours.store.turns] == ["failed", "failed"]
        assert sum((await ours.accounted(3)).values()) == 3


async def test_a_provider_that_says_nothing_times_out():
    async def silent(_request, _body):
        await asyncio.Event().wait()

    async with FakeProvider() as provider:
        config = settings(provider.base_url, provider={"read_timeout": 0.05})
        async with running(config) as ours:
            provider.script = silent
            answer = await ours.chat(ask("hi"))
            assert answer.status == 504
            assert answer.json["error"]["code"] == "upstream_timeout"
