"""Which sessions a path is about: each algorithm has paths of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.backend.base import Backend
from sidecar.errors import NotFound

ALGORITHMS = ("gepa", "mipro")


@dataclass(frozen=True, slots=True)
class Scope:
    """The sessions of one algorithm."""

    backend: Backend
    algorithm: str
    paths: Mapping[str, str]
    """Where sessions are asked for, by algorithm: for whoever asks on the wrong path."""

    async def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A new session, or the one that is there. Raises `InvalidRequest`."""
        return await self.backend.create(request, self.algorithm)

    async def sessions(self) -> list[dict[str, Any]]:
        """The sessions, in short."""
        sessions = await self.backend.sessions()
        return [session for session in sessions if session["algorithm"] == self.algorithm]

    async def status(self, session_id: str) -> dict[str, Any]:
        """A session's status. Raises `NotFound`, which says where to ask for a session of another
        algorithm."""
        status = await self.backend.status(session_id)
        actual = status["algorithm"]
        if actual != self.algorithm:
            raise NotFound(
                f"session {session_id!r} is not of {self.algorithm} but of {actual}: "
                f"ask for it at {self.paths[actual]}/{session_id}",
                param="session_id",
            )
        return status
