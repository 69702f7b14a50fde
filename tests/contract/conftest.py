"""The stores that must keep the contract."""

import contextlib
import uuid

import pytest
from support.stores import memory, redis, redis_reopened, sqlite, sqlite_reopened

from sidecar.store.base import StoreError

FILES = [memory, sqlite, sqlite_reopened]
STORES = [*FILES, redis, redis_reopened, "redis_cluster"]


@pytest.fixture(params=STORES, ids=lambda make: getattr(make, "__name__", make))
async def place(request, tmp_path):
    if request.param in FILES:
        place = request.param(tmp_path)
    elif request.param == "redis_cluster":
        place = redis(request.getfixturevalue("redis_cluster_url"), uuid.uuid4().hex)
    else:
        place = request.param(*map(request.getfixturevalue, ("redis_url", "redis_prefix")))
    await opened(place.store)
    yield place
    await place.store.close()


async def opened(store):
    """Open a store as an operator would whose machine is busy with starting three nodes."""
    for _ in range(4):
        with contextlib.suppress(StoreError):
            await store.open()
            return
    await store.open()
