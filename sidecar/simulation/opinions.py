"""The way feedback takes from customers to the sidecar: late, and in the control shuffled.

The shuffled control answers "does it only look like learning?": each reward goes to a random other
rollout of the pool, so that nothing can be learned from rewards and the served quality must not
move. Comments are withheld there, because a comment names what is missing whichever rollout it
hangs on: with comments the control would still teach.
"""

import heapq
from dataclasses import dataclass, replace
from random import Random
from typing import Any

POOL = 50
"""Rewards that are shuffled among each other."""


@dataclass(frozen=True, slots=True)
class Thumb:
    """A thumb, and by which id the application knows what it is about."""

    event_id: str
    about: tuple[str, str]
    """Name of the id field and the id."""
    up: bool
    comment: str = ""

    def event(self) -> dict[str, Any]:
        """As `POST /feedback` takes it."""
        name, value = self.about
        event = {"event_id": self.event_id, name: value, "thumbs": "up" if self.up else "down"}
        return event | ({"comment": self.comment} if self.comment else {})


def shuffled(thumbs: list[Thumb], rng: Random) -> list[Thumb]:
    """The same rewards, each given to another's rollout, without comments."""
    order = rng.sample(range(len(thumbs)), len(thumbs))
    givers = dict(zip(order, order[1:] + order[:1], strict=True))
    return [
        replace(thumb, up=thumbs[givers[place]].up, comment="")
        for place, thumb in enumerate(thumbs)
    ]


class Mail:
    """Thumbs on their way. Time is counted in conversations."""

    def __init__(self, seed: int, *, shuffle: bool) -> None:
        self._waiting: list[tuple[int, str, Thumb]] = []
        self._pool: list[Thumb] = []
        self._rng = Random(f"mail|{seed}")
        self._shuffle = shuffle

    def post(self, thumb: Thumb, due: int) -> None:
        """Deliver `thumb` once conversation number `due` begins."""
        heapq.heappush(self._waiting, (due, thumb.event_id, thumb))

    def due(self, now: int) -> list[Thumb]:
        """The thumbs to hand in now."""
        ripe: list[Thumb] = []
        while self._waiting and self._waiting[0][0] <= now:
            ripe.append(heapq.heappop(self._waiting)[2])
        return self._through_pool(ripe, enough=POOL)

    def rest(self) -> list[Thumb]:
        """All that is still on its way, at the end."""
        late = [thumb for _, _, thumb in sorted(self._waiting, key=lambda entry: entry[:2])]
        self._waiting.clear()
        return self._through_pool(late, enough=1)

    def _through_pool(self, thumbs: list[Thumb], enough: int) -> list[Thumb]:
        if not self._shuffle:
            return thumbs
        self._pool += thumbs
        if len(self._pool) < enough:
            return []
        pool, self._pool = self._pool, []
        return shuffled(pool, self._rng)
