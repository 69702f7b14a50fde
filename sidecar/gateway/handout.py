"""What a session's answer carries for whoever shows it: a token to send feedback with."""

from collections.abc import Callable, Mapping

from sidecar.core.headers import Headers
from sidecar.gateway.call import Plan

TOKEN_HEADER = "x-feedback-token"  # noqa: S105 - its name, not its value
_EXPOSE = "access-control-expose-headers"

Mint = Callable[[str, str], str | None]
"""Session and rollout to a token, or to None while there can be none."""


class Handout:
    """Adds the token to answers, where pages of these origins can read it."""

    def __init__(self, mint: Mint, origins: frozenset[str]) -> None:
        self._mint = mint
        self._origins = origins

    def headers(self, plan: Plan, asked: Mapping[str, str], answer: Mapping[str, str]) -> Headers:
        """What to add to the answer; `asked` are the headers of the client's request, `answer`
        those of the provider."""
        if plan.selection is None:
            return []
        assignment = plan.selection.assignment
        token = self._mint(assignment.session_id, assignment.rollout_id)
        if token is None:
            return []
        added = [(TOKEN_HEADER, token)]
        if asked.get("origin", "") in self._origins:
            exposed = filter(None, (answer.get(_EXPOSE), TOKEN_HEADER))
            added.append((_EXPOSE, ", ".join(exposed)))
        return added
