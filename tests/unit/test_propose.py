"""The reflection model is asked without a call having to wait for it."""

import threading

import pytest
from support.provider import FakeProvider

from sidecar.engine import propose
from sidecar.engine.config import Proposer
from sidecar.engine.propose import Reflection


@pytest.fixture
def made(monkeypatch):
    """The threads that clients were made in."""
    threads = []

    def noted(*arguments, make=propose._made):
        threads.append(threading.current_thread())
        return make(*arguments)

    monkeypatch.setattr(propose, "_made", noted)
    return threads


async def test_a_client_is_made_once_and_not_where_calls_are_served(made):
    async with FakeProvider() as provider:
        ours = Reflection(model="m", base_url=provider.base_url, api_key="k", timeout=5.0)
        for _ in range(2):
            assert "reply" in await ours.ask("hi", Proposer())
        await ours.close()
    (thread,) = made
    assert thread is not threading.main_thread()
