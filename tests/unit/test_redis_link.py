"""The address of a Redis server: what is shown of it, and how it is trusted."""

import ssl

import pytest
from redis.asyncio import ConnectionPool

from sidecar.store.base import StoreError
from sidecar.store.redis.link import _options, address
from sidecar.store.redis.store import RedisStore

SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://user:{SECRET}@host:6379/3", "redis://host:6379/3"),
        (f"rediss://:{SECRET}%40@host?ssl_ca_certs={SECRET}", "rediss://host"),
        (f"redis://{SECRET}@[::1]:6379", "redis://[::1]:6379"),
        (f"unix://:{SECRET}@/run/redis.sock?db=1", "unix:///run/redis.sock"),
    ],
)
def test_user_password_and_options_of_an_address_are_not_shown(url, shown):
    assert address(url) == shown


async def test_a_server_that_is_not_there_is_named_without_its_password():
    store = RedisStore(f"redis://user:{SECRET}@127.0.0.1:1/0")
    with pytest.raises(StoreError, match=r"cannot be reached at redis://127\.0\.0\.1:1/0") as error:
        await store.open()
    assert SECRET not in f"{error.value}{error.value.__cause__}"
    with pytest.raises(StoreError, match="not open"):
        await store.sessions()


def test_a_certificate_is_always_verified():
    connection = ConnectionPool.from_url("rediss://host", **_options()).make_connection()
    context = connection.ssl_context
    assert context.cert_reqs is ssl.CERT_REQUIRED
    assert context.check_hostname
