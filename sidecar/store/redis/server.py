"""What every part of the store shares: the server, its life cycle, and the ways to ask it."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sidecar.store.base import StoreUnusable
from sidecar.store.redis.keys import Keys
from sidecar.store.redis.link import Link
from sidecar.store.redis.recorder import Recorder
from sidecar.store.redis.scripts import Command

T = TypeVar("T")

SCHEMA = 1
"""The version of what the keys are and hold."""
PAGE = 500
"""Most that is asked for in one round trip."""
_DAY = 86_400


class RedisServer:
    """The server, and the ways to ask it."""

    shared = True

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "sidecar",
        budget_ms: float = 150.0,
        retention_days: float = 30.0,
        remember: int = 100_000,
        queue_limit: int = 50_000,
    ) -> None:
        """`budget_ms`: when the future of a record says that it is not stored. `retention_days`:
        how long what expires is kept after its last write. `remember`: how many of a session's
        newest assignments and chains are listed. `queue_limit`: how many records may wait."""
        self._keys = Keys(prefix)
        self._kept = max(1, round(retention_days * _DAY))
        self._listed = remember
        self._link = Link(url)
        self._recorder = Recorder(self._link, budget=budget_ms / 1000, limit=queue_limit)

    @property
    def durable(self) -> bool:
        """Whether the server's append-only file is on."""
        return self._link.health.durable

    @property
    def trouble(self) -> str:
        """Why it does not answer, since it is known."""
        return self._link.trouble

    async def open(self) -> None:
        """Make ready. Raises `StoreError`; `StoreUnusable` when a newer sidecar has been at the
        data."""
        await self._link.open()
        try:
            await self._check_schema()
        except BaseException:
            await self._link.close()
            raise
        self._recorder.start()

    async def close(self) -> None:
        """Finish queued writes, if the server takes them in time, and let go."""
        await self._recorder.stop()
        await self._link.close()

    async def ask(self, *command: Any) -> Any:
        """The answer to one command."""
        return await self._link.ask(command)

    async def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to all of them, a page in one round trip."""
        answers = []
        for page in pages(commands):
            answers += await self._link.ask_all(page)
        return answers

    async def write(self, command: Command) -> Any:
        """The answer to one command, done after all that was recorded before."""
        await self._recorder.caught_up()
        return await self._link.ask(command)

    async def _check_schema(self) -> None:
        await self.ask("SET", self._keys.schema, SCHEMA, "NX")
        found = int(await self.ask("GET", self._keys.schema))
        if found > SCHEMA:
            raise StoreUnusable(
                f"The store at {self._link.address} has schema version {found}, this sidecar knows "
                f"only {SCHEMA}: run the newer sidecar that wrote it"
            )


def pages(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items in portions of a round trip."""
    for start in range(0, len(items), PAGE):
        yield items[start : start + PAGE]


def text(value: bytes) -> str:
    """What was sent as text; half a surrogate pair comes back, too."""
    return value.decode("utf-8", "surrogatepass")
