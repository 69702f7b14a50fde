"""The stores that must keep the contract."""

import pytest
from support.stores import memory, sqlite, sqlite_reopened


@pytest.fixture(params=[memory, sqlite, sqlite_reopened], ids=lambda make: make.__name__)
async def place(request, tmp_path):
    place = request.param(tmp_path)
    await place.store.open()
    yield place
    await place.store.close()
