"""What is known of one candidate: counts and sums, by time and by kind of input."""

from dataclasses import dataclass, field

VARIANCE_FLOOR = 0.01
"""No candidate is ever that certain: a handful of equal rewards proves no zero variance."""


@dataclass(slots=True)
class Arm:
    """Running statistics of a candidate's rewards."""

    candidate_id: str
    parent_id: str | None
    born: int
    """The session's tick when it was admitted."""
    level: float = 0.0
    """Its part of the session's error budget `delta`."""
    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    buckets: dict[int, list[float]] = field(default_factory=dict)
    """Assignment-time bucket → [n, sum]."""
    clusters: dict[str, list[float]] = field(default_factory=dict)
    """Cluster of input → [n, sum]."""
    waiting: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Rollout → (tick, reward) not old enough to be tested."""
    retired: str = ""
    """Why it left; empty while it serves."""

    @property
    def mean(self) -> float:
        """Average reward; one half before the first."""
        return self.total / self.n if self.n else 0.5

    @property
    def variance(self) -> float:
        """Of one reward; that of a fair coin before there are two."""
        if self.n < 2:  # noqa: PLR2004 - no variance of one
            return 0.25
        return max(self.squares / self.n - self.mean**2, VARIANCE_FLOOR)

    def add(self, value: float, bucket: int | None, cluster: str, sign: int = 1) -> None:
        """Count a reward, or with `sign` -1 take back one that was counted. Without a bucket it
        shows in the averages only: it was not assigned at random, so it may not be compared."""
        self.n += sign
        self.total += sign * value
        self.squares += sign * value * value
        cells = [self.clusters.setdefault(cluster, [0, 0.0])]
        if bucket is not None:
            cells.append(self.buckets.setdefault(bucket, [0, 0.0]))
        for cell in cells:
            cell[0] += sign
            cell[1] += sign * value

    def mature(self, before: int) -> list[tuple[int, float]]:
        """Take out the waiting rewards of assignments made at or before a tick, in tick order."""
        ready = sorted((at, v) for at, v in self.waiting.values() if at <= before)
        self.waiting = {r: x for r, x in self.waiting.items() if x[0] > before}
        return ready

    def retire(self, why: str) -> None:
        """Stop serving; what was learnt of it stays, what was waiting does not."""
        self.retired = why
        self.waiting.clear()
