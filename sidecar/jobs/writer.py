"""The reflection model, remembered: an answer that was paid for is an event of the job."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from sidecar.engine.config import Proposer
from sidecar.engine.propose import EmptyAnswer, ProposalFailed, Reflection
from sidecar.jobs.base import Control, JobFailed, JobLog

TRIES = 4
_FIRST_PAUSE = 1.0
_AT_ONCE = 4
_KEPT = 64_000
"""Characters of an answer that are kept."""


class ReflectionWriter:
    """The writer of one job."""

    def __init__(
        self,
        reflection: Reflection,
        proposer: Proposer,
        log: JobLog,
        control: Control,
        *,
        sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
    ) -> None:
        """`sleep` waits between tries."""
        self._reflection = reflection
        self._proposer = proposer
        self._log = log
        self._control = control
        self._sleep = sleep
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def write(self, prompt: str, *, key: str) -> str:
        """Its answer, empty if it had none; the same one again under the same key. Raises
        `JobFailed` when the model cannot be reached after retries, and `JobCancelled`."""
        known = self._log.known(key)
        if known is not None:
            return str(known.data["answer"])
        async with self._at_once:
            answer = await self._ask(prompt)
            await self._log.add(
                "reflection.completed", "The reflection model answered", {"answer": answer}, key=key
            )
        return answer

    async def _ask(self, prompt: str) -> str:
        why = ""
        for turn in range(TRIES):
            if turn:
                await self._sleep(_FIRST_PAUSE * 2 ** (turn - 1))
            await self._control.gate()
            try:
                return (await self._reflection.ask(prompt, self._proposer))[:_KEPT]
            except EmptyAnswer:
                return ""
            except ProposalFailed as error:
                why = str(error)
        raise JobFailed(
            f"the reflection model could not be reached ({why}, tried {TRIES} times); check its "
            "address, its model name and its key, then submit the job again"
        )
