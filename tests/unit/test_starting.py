"""A start that waits for its store: what is tried again, what is not, and what is undone."""

import asyncio

import pytest
import structlog
from support.feedback_loop import until

from sidecar import starting
from sidecar.errors import InvalidRequest
from sidecar.starting import Learning
from sidecar.store.base import StoreError, StoreUnusable
from sidecar.store.memory import MemoryStore


class Store(MemoryStore):
    """Opens as it is told, and writes down what happens to it."""

    def __init__(self, *fates):
        super().__init__()
        self.fates = list(fates)
        """What each opening comes to: an error, an event to wait for; with none left, it opens."""
        self.story = []

    async def open(self):
        self.story.append("open")
        fate = self.fates.pop(0) if self.fates else None
        if isinstance(fate, Exception):
            raise fate
        if fate is not None:
            await fate.wait()

    async def close(self):
        self.story.append("close")


class Steps:
    """Starts a worker and then a job, unless told to fail between the two."""

    def __init__(self, story, *fates):
        self.story = story
        self.fates = list(fates)

    async def __call__(self, stack):
        self.story.append("worker")
        stack.callback(self.story.append, "no worker")
        fate = self.fates.pop(0) if self.fates else None
        if isinstance(fate, Exception):
            raise fate
        if fate is not None:
            await fate.wait()
        self.story.append("job")
        stack.callback(self.story.append, "no job")


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch):
    monkeypatch.setattr(starting, "AGAIN_SECONDS", 0.001)


WHOLE = ["open", "worker", "job"]
UNDONE = ["no job", "no worker", "close"]
AWAY = StoreError("The store is away")


def learning(store, *fates, waits=True):
    return Learning(store, Steps(store.story, *fates), waits=waits)


async def test_with_a_store_that_is_there_all_has_started_when_start_returns():
    store = Store()
    ours = learning(store)
    with structlog.testing.capture_logs() as lines:
        await ours.start()
        await ours.up()
        assert (store.story, ours.trouble) == (WHOLE, "")
        await ours.stop()
    assert store.story == WHOLE + UNDONE
    assert lines == []


async def test_a_store_that_is_away_is_waited_for_and_its_start_and_end_are_said_once():
    store = Store(AWAY, AWAY, AWAY)
    ours = learning(store)
    with structlog.testing.capture_logs() as lines:
        await ours.start()
        assert ours.trouble == "The store is away"
        with pytest.raises(StoreError, match="Try again later"):
            await ours.up()
        await until(lambda: not ours.trouble)
        await ours.up()
    assert store.story == ["open"] * 3 + WHOLE
    assert [line["log_level"] for line in lines] == ["warning", "info"]
    assert lines[0]["reason"] == "The store is away"
    await ours.stop()


async def test_a_store_that_says_nothing_is_not_waited_for_for_long(monkeypatch):
    monkeypatch.setattr(starting, "PATIENCE_SECONDS", 0.01)
    answers = asyncio.Event()
    store = Store(answers)
    ours = learning(store)
    await ours.start()
    assert "does not answer" in ours.trouble
    answers.set()
    await until(lambda: not ours.trouble)
    assert store.story == WHOLE
    await ours.stop()


async def test_a_store_that_is_open_is_given_the_time_it_needs(monkeypatch):
    monkeypatch.setattr(starting, "PATIENCE_SECONDS", 0.01)
    loaded = asyncio.Event()
    ours = learning(Store(), loaded)
    start = asyncio.create_task(ours.start())
    held = asyncio.create_task(ours.known())
    await asyncio.sleep(0.05)
    assert not start.done()
    assert not held.done()  # a call that came in: it is served as it would be a moment later
    loaded.set()
    await start
    await held
    assert ours.trouble == ""
    await ours.stop()


async def test_what_an_attempt_began_is_undone_before_the_next_one():
    store = Store()
    ours = learning(store, AWAY)
    await ours.start()
    await until(lambda: not ours.trouble)
    assert store.story == ["open", "worker", "no worker", "close", *WHOLE]
    await ours.stop()


@pytest.mark.parametrize("error", [StoreUnusable("newer"), InvalidRequest("config"), KeyError("x")])
async def test_what_waiting_does_not_cure_ends_the_start(error):
    store = Store()
    ours = learning(store, error)
    with pytest.raises(type(error)):
        await ours.start()
    assert store.story == ["open", "worker", "no worker", "close"]
    await ours.known()  # nobody is kept waiting
    await ours.stop()


async def test_a_file_that_fails_ends_the_start():
    ours = learning(Store(AWAY), waits=False)
    with pytest.raises(StoreError):
        await ours.start()


async def test_once_traffic_is_served_nothing_ends_it():
    store = Store(AWAY, StoreUnusable("newer"))
    bug = KeyError("x")
    ours = learning(store, bug, bug)
    with structlog.testing.capture_logs() as lines:
        await ours.start()
        await until(lambda: "newer" in ours.trouble or not ours.trouble)
        await until(lambda: not ours.trouble)
    assert store.story[-3:] == WHOLE
    assert [line["event"] for line in lines].count("start_failed") == 1
    await ours.stop()


async def test_stopping_while_it_waits_leaves_nothing():
    store = Store(AWAY, asyncio.Event())
    ours = learning(store)
    await ours.start()
    await until(lambda: len(store.story) == 2)
    await ours.stop()
    assert store.story == ["open", "open"]


async def test_stopping_amid_an_attempt_undoes_it():
    store = Store(AWAY)
    ours = learning(store, asyncio.Event())
    await ours.start()
    await until(lambda: store.story[-1] == "worker")
    await ours.stop()
    assert store.story == ["open", "open", "worker", "no worker", "close"]


async def test_a_store_that_takes_nothing_at_the_end_is_said_once_and_all_is_stopped():
    store = Store()
    ours = learning(store)
    await ours.start()

    async def refused():
        store.story.append("refused")
        raise AWAY

    for _ in range(2):
        ours._undo.push_async_callback(refused)
    with structlog.testing.capture_logs() as lines:
        await ours.stop()
    assert store.story == [*WHOLE, "refused", "refused", *UNDONE]
    assert [(line["log_level"], line["reason"]) for line in lines] == [("warning", str(AWAY))]
