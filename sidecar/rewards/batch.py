"""Which due rewards leave together. Pure."""

from collections.abc import Iterable, Iterator

from sidecar.rewards.backoff import company
from sidecar.store.base import DueReward


def batches(
    due: Iterable[DueReward], batch_size: int, max_attempts: int
) -> Iterator[tuple[DueReward, ...]]:
    """Due rewards in deliveries: of one session, with equally many failures, small enough."""
    groups: dict[tuple[str, int], list[DueReward]] = {}
    for reward in due:
        groups.setdefault((reward.session_id, reward.attempts), []).append(reward)
    for (_, attempts), group in groups.items():
        size = company(attempts, batch_size, max_attempts)
        for start in range(0, len(group), size):
            yield tuple(group[start : start + size])
