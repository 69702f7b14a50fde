"""Demonstrations out of what went well: which rollouts to show, and in which sets.

A demonstration is a user's question and the answer that was rewarded. It is somebody's text that
other people's calls will carry: credentials, addresses and numbers are masked, links and role
markers refused, and one kind of input gives one demonstration.
"""

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sidecar.core.prompt import Demo
from sidecar.engine.screen import mask_secrets, refusal

MAX_CHARS = 2000
_PERSONAL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|\+?\d[\d ()./-]{7,}\d")


@dataclass(frozen=True, slots=True)
class Success:
    """A finished rollout that may become a demonstration."""

    rollout_id: str
    value: float
    """Its reward."""
    tick: int
    """When it was assigned."""
    cluster: str
    asked: str
    replied: str


def choose(successes: Iterable[Success], *, threshold: float, mature_at: int) -> list[Demo]:
    """The best rollout of each kind of input, the best first; on a tie the newest.

    Only rewards of at least `threshold` count, and only of assignments made at or before tick
    `mature_at`: a fast thank-you may still be followed by a complaint.
    """
    best: dict[str, tuple[Success, Demo]] = {}
    for success in sorted(successes, key=lambda s: (-s.value, -s.tick, s.rollout_id)):
        if success.value < threshold or success.tick > mature_at or success.cluster in best:
            continue
        demo = _demo(success)
        if demo is not None:
            best[success.cluster] = success, demo
    return [demo for _, demo in best.values()]


def _demo(success: Success) -> Demo | None:
    """The rollout masked, or None when it is empty, too long to show or not plain text."""
    asked, replied = mask(success.asked).strip(), mask(success.replied).strip()
    fit = all(
        len(text) <= MAX_CHARS
        and not refusal(text, baseline="", parent="", placeholders=(), known=(), shown=())
        for text in (asked, replied)
    )
    return Demo(success.rollout_id, asked, replied) if fit else None


def mask(text: str) -> str:
    """A text without credentials, mail addresses, and phone, card or account numbers."""
    plain = "".join(c for c in mask_secrets(text) if c.isprintable() or c == "\n")
    return _PERSONAL.sub("[removed]", plain)


def sets(
    demos: Sequence[Demo],
    *,
    size: int,
    wanted: int,
    known: Iterable[Sequence[Demo]],
    rng: random.Random,
) -> list[tuple[Demo, ...]]:
    """Up to `wanted` new demonstration sets of up to `size`: first the best demonstrations, then
    random ones. A set that is known already, in whatever order, is not new."""
    seen = {frozenset(d.rollout_id for d in demos) for demos in known}
    out: list[tuple[Demo, ...]] = []
    pool, size = list(demos), min(size, len(demos))
    for attempt in range(4 * wanted):
        if size < 1 or len(out) == wanted:
            break
        chosen = tuple(pool[:size] if attempt == 0 else rng.sample(pool, rng.randint(1, size)))
        key = frozenset(d.rollout_id for d in chosen)
        if key not in seen:
            seen.add(key)
            out.append(chosen)
    return out
