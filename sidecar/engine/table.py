"""The allocation table: immutable, swapped by reference, read on the request path.

A draw is a keyed hash of the correlation id and a bisection: no lock, no randomness, no I/O, and
the same conversation draws the same candidate from the same table on any replica. The key (the
session's salt) keeps users from choosing their own candidate.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

from sidecar.core.ids import BASELINE

_SCALE = 2.0**-64


@dataclass(frozen=True, slots=True)
class Table:
    """Candidates and their shares, ready to draw from."""

    version: int
    candidates: tuple[str, ...]
    cumulative: tuple[float, ...]
    shares: tuple[float, ...]

    @staticmethod
    def of(version: int, weights: Mapping[str, float]) -> "Table":
        """The table of these shares (normalised; those of zero are left out)."""
        kept = {c: w for c, w in weights.items() if w > 0} or {BASELINE: 1.0}
        total = sum(kept.values())
        shares = tuple(w / total for w in kept.values())
        return Table(version, tuple(kept), tuple(accumulate(shares)), shares)

    def draw(self, correlation_id: str, key: bytes) -> tuple[str, float]:
        """The candidate for a conversation, and the probability with which it was drawn."""
        digest = hashlib.blake2b(correlation_id.encode(), digest_size=8, key=key).digest()
        point = int.from_bytes(digest, "big") * _SCALE
        index = min(bisect_right(self.cumulative, point), len(self.candidates) - 1)
        return self.candidates[index], self.shares[index]
