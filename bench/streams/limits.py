"""As many open files as this process may have."""

import resource


def allow() -> int:
    """Raise the limit as far as it goes, and say how far that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
