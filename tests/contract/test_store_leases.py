"""What `store/base.py` promises of leases, asked of every store (see `test_stores.py`)."""

import asyncio
import time

from sidecar.store.base import Store

LONG = 600.0


async def taken(store: Store, name: str, holder: str) -> int:
    """The token, once the lease is to be had."""
    end = time.monotonic() + 10
    while (token := await store.lease(name, holder, LONG)) is None:
        assert time.monotonic() < end
        await asyncio.sleep(0.005)
    return token


async def test_a_lease_has_one_holder(place):
    token = await place.store.lease("engine", "a", LONG)
    store = await place.written()
    assert await store.lease("engine", "b", LONG) is None
    assert await store.lease("engine", "a", LONG) == token
    assert await store.lease("engine", "b", LONG) is None


async def test_of_many_who_ask_at_once_one_is_granted_the_lease(place):
    asked = (place.store.lease("engine", f"holder-{n}", LONG) for n in range(20))
    assert sum(token is not None for token in await asyncio.gather(*asked)) == 1


async def test_leases_of_other_names_are_other_leases(place):
    assert await place.store.lease("engine", "a", LONG)
    assert await place.store.lease("jobs", "b", LONG)


async def test_a_lease_that_has_run_out_goes_to_who_asks_next_with_a_higher_token(place):
    began = time.monotonic()
    first = await place.store.lease("engine", "a", 0.2)
    store = await place.written()
    second = await taken(store, "engine", "b")
    assert time.monotonic() - began >= 0.2
    assert second > first
    assert await store.lease("engine", "a", LONG) is None


async def test_a_lease_that_is_renewed_in_time_does_not_run_out(place):
    token = await place.store.lease("engine", "a", 0.5)
    assert await place.store.lease("engine", "a", LONG) == token
    await asyncio.sleep(0.55)  # beyond the end of the first grant
    assert await place.store.lease("engine", "b", LONG) is None


async def test_a_lease_given_back_is_free_and_its_next_grant_has_a_higher_token(place):
    first = await place.store.lease("engine", "a", LONG)
    await place.store.release("engine", "a")
    store = await place.written()
    second = await store.lease("engine", "b", LONG)
    await store.release("engine", "b")
    assert first < second < await store.lease("engine", "a", LONG)


async def test_nobody_gives_back_the_lease_of_another(place):
    await place.store.lease("engine", "a", LONG)
    await place.store.release("engine", "b")
    await place.store.release("unheard-of", "b")
    assert await place.store.lease("engine", "b", LONG) is None
