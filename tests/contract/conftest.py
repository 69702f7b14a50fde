"""The stores that must keep the contract."""

import uuid

import pytest
from support.stores import memory, redis, redis_reopened, sqlite, sqlite_reopened

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
    await place.store.open()
    yield place
    await place.store.close()
