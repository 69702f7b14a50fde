"""A Redis server of one test's own, to be hurt."""

import pytest
from support.redis_faults import opened
from support.redis_server import running


@pytest.fixture
def server(tmp_path):
    with running(tmp_path, "--appendfsync", "always") as server:
        yield server


@pytest.fixture
async def redis_store(server):
    store = await opened(server.url)
    yield store
    await store.close()
