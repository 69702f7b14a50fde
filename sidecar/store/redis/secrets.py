"""Named secrets: a value is its time, a newline, and itself."""

from sidecar.store.base import Secret
from sidecar.store.redis.server import RedisServer


class RedisSecrets(RedisServer):
    """See `base.Secrets`."""

    async def keep_secret(self, secret: Secret) -> Secret:
        """See `base.Secrets`."""
        await self.write(("HSETNX", self._keys.secrets, secret.name, _packed(secret)))
        return await self.secret(secret.name) or secret

    async def put_secret(self, secret: Secret) -> None:
        """See `base.Secrets`."""
        await self.write(("HSET", self._keys.secrets, secret.name, _packed(secret)))

    async def secret(self, name: str) -> Secret | None:
        """See `base.Secrets`."""
        packed: bytes | None = await self.ask("HGET", self._keys.secrets, name)
        if packed is None:
            return None
        updated_at, _, value = packed.partition(b"\n")
        return Secret(name, value, float(updated_at))


def _packed(secret: Secret) -> bytes:
    return repr(float(secret.updated_at)).encode() + b"\n" + secret.value
