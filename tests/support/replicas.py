"""Several sidecars on one store, and whoever spreads calls over them."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence

from sidecar.app import Sidecar
from sidecar.settings import Settings
from support.whole import Whole, whole


class Balanced(Whole):
    """A load balancer: each call goes to the next sidecar."""

    def __init__(self, replicas: Sequence[Whole]) -> None:
        self.http = replicas[0].http
        self._next = itertools.cycle(replicas)

    @property
    def sidecar(self) -> Sidecar:  # type: ignore[override]
        return next(self._next).sidecar


@contextlib.asynccontextmanager
async def replicas(settings: Settings, count: int = 3) -> AsyncIterator[list[Whole]]:
    """So many, stopped in order afterwards."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(whole(settings)) for _ in range(count)]


def leader(of: Sequence[Whole]) -> Whole:
    """The one that leads."""
    (found,) = [one for one in of if one.sidecar.leadership.leads]
    return found
