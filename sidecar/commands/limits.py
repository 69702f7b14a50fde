"""Open files: each call under way needs two, the client's connection and the provider's."""

import resource

import structlog

_OTHERS = 1000
"""Clients' idle connections, the store, logs."""

log = structlog.get_logger()


def allow_open_files(calls: int) -> None:
    """Raise this process's limit as far as so many calls need, or as far as it may be raised; the
    usual soft limit of 1024 ends at 500 calls. Says so where that is not enough."""
    needed = 2 * calls + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        log.warning("too few open files allowed", allowed=allowed, needed=needed)
