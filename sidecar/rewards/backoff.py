"""When to deliver again, and in what company. Pure."""

BASE_SECONDS = 0.5
CAP_SECONDS = 60.0


def delay(attempts: int) -> float:
    """Seconds to wait after this many failed deliveries (1 for the first): doubling, capped.

    No jitter: one reporter delivers a session's rewards, so there is no herd to spread.
    """
    return min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(attempts - 1, 30))


def company(attempts: int, batch_size: int, max_attempts: int) -> int:
    """How many rewards may share a delivery after this many failures.

    It halves with every failure and is one on the last try: when one reward makes every batch it is
    in fail, the others part from it before anybody is given up.
    """
    if attempts >= max_attempts - 1:
        return 1
    return max(1, batch_size >> attempts)
