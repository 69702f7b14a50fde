"""Several sidecars on one Redis server, whose jobs run the test's program."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from sidecar.core.job import JobKind
from support.job_api import Api
from support.jobs import Steps
from support.redis_server import RedisServer
from support.whole import whole, whole_settings

SLACK_SECONDS = 2.0
"""What a busy machine may add."""


@contextlib.asynccontextmanager
async def replicas(
    url: str,
    programs: list[Steps | None],
    *,
    provider_url: str = "http://127.0.0.1:9",
    **sections: Any,
) -> AsyncIterator[list[Api]]:
    """A sidecar for each of the programs; None for the real one."""
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for program in programs:
            store = {"kind": "redis", "url": url}
            settings = whole_settings(provider_url, store=store, **sections)
            ours = await stack.enter_async_context(whole(settings))
            if program is not None:
                ours.sidecar.jobs.runs.runners = dict.fromkeys(JobKind, program)
            found.append(Api(ours))
        yield found


def run_out(server: RedisServer, job_id: str) -> None:
    """Have a job's lease end as if nobody had renewed it for so long."""
    with server.client() as client:
        assert client.delete(f"sidecar:{{lease:job:{job_id}}}:holder") == 1
