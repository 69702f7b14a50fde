"""Notices early that a job is going nowhere, before its whole budget has gone there too."""

from sidecar.core.job import JobEvent
from sidecar.core.prompt import Pattern
from sidecar.jobs.base import JobFailed, Prompt
from sidecar.jobs.spec import RolloutSpec
from sidecar.jobs.trials import Heard

ENOUGH = 8
"""Rollouts in a row from the beginning that make a verdict."""

_NO_CALLS = (
    f"None of the first {ENOUGH} rollouts made a model call at the `inference_url` in its "
    "`policy.config`, so no candidate can reach the task app: have it send its chat completions "
    "there."
)
_NO_MATCH = (
    f"The model calls of the first {ENOUGH} rollouts do not hold the job's initial_prompt as their "
    "system message, so no candidate can take its place: give the system message that the task app "
    "sends as the initial_prompt, word by word, with wildcards for what changes."
)


class Watch:
    """Watches a job's first rollouts."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._failed = 0
        self._any_good = False
        self._unreached = 0
        self._any_reached = False

    def see(self, event: JobEvent) -> None:
        """Take a rollout's event in, once. Raises `JobFailed` when it is enough."""
        if (self._any_good and self._any_reached) or event.key in self._seen:
            return
        self._seen.add(event.key)
        data = event.data
        if data["error"]:
            self._failed += 1
            if self._failed >= ENOUGH and not self._any_good:
                raise JobFailed(
                    f"The first {ENOUGH} rollouts all failed, the last one because {data['error']}"
                )
            return
        self._any_good = True
        self._any_reached = self._any_reached or data["reached"]
        self._unreached += 1
        if self._unreached >= ENOUGH and not self._any_reached:
            raise JobFailed(_NO_MATCH if data["calls"] else _NO_CALLS)


def reached(spec: RolloutSpec, prompt: Prompt | None, heard: Heard) -> bool:
    """Whether a prompt came to a rollout's calls, as far as we can see: put there by us, or by the
    task app that was told of it (which may also call models that we do not see)."""
    if spec.baseline is None or prompt is None or heard.matched:
        return True
    if not spec.template:
        return False
    texts = [text for turn in heard.turns for role, text in turn.request if role != "user"]
    literals = Pattern.parse(prompt.text, spec.baseline.holes).literals
    told = any(all(literal.strip() in text for literal in literals) for text in texts)
    return told or not texts
