"""A blocking library in a thread: its way into the loop, and its end."""

import asyncio
import contextlib
import threading

import pytest

from sidecar.jobs.bridge import Bridge


def threads():
    return [t for t in threading.enumerate() if t.name == "policy-job"]


async def double(number):
    await asyncio.sleep(0)
    return 2 * number


async def fail():
    raise ValueError("no")


async def test_the_thread_gets_what_the_loop_computes():
    bridge = Bridge()
    got = []
    await bridge.run(lambda: got.append(bridge.call(double(4))))
    assert got == [8]
    assert threads() == []


async def test_what_a_coroutine_raises_ends_the_thread_even_if_that_catches_everything():
    bridge = Bridge()
    after = []

    def stubborn():
        for _ in range(3):
            with contextlib.suppress(Exception):
                bridge.call(fail())
            after.append(1)

    with pytest.raises(ValueError, match="no"):
        await bridge.run(stubborn)
    assert after == []


async def test_what_the_work_itself_raises_is_raised():
    def broken():
        raise RuntimeError("bug")

    with pytest.raises(RuntimeError, match="bug"):
        await Bridge().run(broken)


async def test_cancelling_ends_a_thread_that_waits_and_cancels_what_it_waits_for():
    bridge = Bridge()
    waiting = asyncio.Event()
    ended = []

    async def forever():
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("coroutine")

    task = asyncio.create_task(bridge.run(lambda: bridge.call(forever())))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["coroutine"]
    assert threads() == []


async def test_a_thread_that_was_let_go_of_is_refused():
    bridge = Bridge()
    busy, go_on = threading.Event(), threading.Event()

    def work():
        busy.set()
        go_on.wait()
        bridge.call(double(1))
        pytest.fail("it went on")

    task = asyncio.create_task(bridge.run(work))
    await asyncio.to_thread(busy.wait)
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert threads() == []
