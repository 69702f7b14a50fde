"""Leases, measured by the server's clock. They wait for no records: a renewal must not be late."""

from sidecar.store.redis import scripts
from sidecar.store.redis.server import RedisServer


class RedisLeases(RedisServer):
    """See `base.Leases`."""

    async def lease(self, name: str, holder: str, seconds: float) -> int | None:
        """See `base.Leases`."""
        keys = [self._keys.lease(name, what) for what in ("holder", "token")]
        milliseconds = max(1, round(seconds * 1000))
        token: int | None = await self.ask(*scripts.GRANT_LEASE.call(keys, holder, milliseconds))
        return token

    async def release(self, name: str, holder: str) -> None:
        """See `base.Leases`."""
        keys = [self._keys.lease(name, "holder")]
        await self.ask(*scripts.RELEASE_LEASE.call(keys, holder))
