"""Kinds of input, without a model: hashed bags of words and online k-means.

On line an input is seen once, so GEPA's Pareto front over examples becomes one over clusters. A
caller that knows its task can name the cluster itself (`seed` or `task_key` in the reward).
"""

import hashlib
import math
import re
from dataclasses import dataclass, field

DIMENSIONS = 64
MAX_CLUSTERS = 16
_NEW_BELOW = 0.35
"""Cosine similarity to the nearest centre under which an input begins a new cluster."""
_WORDS = 200
_WORD = re.compile(r"[^\W\d_]{3,}")
_MEMORY = 500.0
"""Members after which a centre stops slowing down: topics drift."""


def sketch(text: str) -> list[int]:
    """Which of the 64 word buckets an input touches, in order: what clustering needs of a text,
    and from which the text cannot be read back."""
    words = _WORD.findall(text.lower())[:_WORDS]
    return sorted(
        {hashlib.blake2b(w.encode(), digest_size=1).digest()[0] % DIMENSIONS for w in words}
    )


@dataclass(slots=True)
class Clusters:
    """Online spherical k-means over sketches."""

    centres: list[list[float]] = field(default_factory=list)
    members: list[float] = field(default_factory=list)

    def assign(self, touched: list[int]) -> str:
        """The cluster of an input, which moves a little towards it."""
        if not touched:
            return "none"
        unit = 1 / math.sqrt(len(touched))
        likeness = [
            unit * sum(c[i] for i in touched) / (math.sqrt(sum(x * x for x in c)) or 1.0)
            for c in self.centres
        ]
        nearest = max(range(len(likeness)), key=likeness.__getitem__, default=-1)
        if nearest < 0 or (likeness[nearest] < _NEW_BELOW and len(self.centres) < MAX_CLUSTERS):
            self.centres.append([0.0] * DIMENSIONS)
            self.members.append(0.0)
            nearest = len(self.centres) - 1
        self._pull(nearest, touched, unit)
        return f"k{nearest}"

    def _pull(self, index: int, touched: list[int], unit: float) -> None:
        self.members[index] = min(self.members[index] + 1, _MEMORY)
        step = 1 / self.members[index]
        centre = [x * (1 - step) for x in self.centres[index]]
        for i in touched:
            centre[i] += step * unit
        self.centres[index] = centre
