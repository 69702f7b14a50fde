"""What a policy job tells its owner while it runs (wire contract, section 8.4).

Every event has a key that the program gives it, so a job that runs again tells nothing twice.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sidecar.core.job import JobEvent
from sidecar.core.prompt import SYSTEM_ROLES
from sidecar.jobs.base import JobLog, Prompt
from sidecar.jobs.book import Book, Candidate
from sidecar.jobs.estimate import Estimate
from sidecar.jobs.meter import Meter
from sidecar.jobs.policy import PolicyConfig


class Journal:
    """Writes the events of one job."""

    def __init__(self, config: PolicyConfig, log: JobLog, book: Book, meter: Meter) -> None:
        self._config = config
        self._log = log
        self._book = book
        self._meter = meter
        self._phase = ""
        self._done: dict[str, int] = {}

    async def tell(self, what: str, message: str, data: Mapping[str, Any], *, key: str) -> JobEvent:
        """Any event."""
        return await self._log.add(what, message, data, key=f"{what}:{key}")

    async def phase(self, name: str, message: str) -> None:
        """A part of the job begins."""
        self._phase = name
        await self.tell("phase.started", message, {"phase": name}, key=name)

    async def progress(self, **numbers: float) -> None:
        """How far the job is."""
        self._done |= {name: int(n) for name, n in numbers.items()}
        meter, book = self._meter, self._book
        best = book.estimates().get(book.best_id)
        data: dict[str, Any] = {
            "phase": self._phase,
            "rollouts": meter.rollouts,
            "failed_rollouts": meter.failed,
            "budget": self._config.limits.rollouts,
            "trials": book.trials,
            "cost_usd": round(meter.cost, 6),
            "tokens": meter.tokens,
            **self._done,
        }
        if best is not None:
            data["best_score"] = round(best.mean, 6)
        key = f"{self._phase}:{meter.rollouts}:{book.trials}"
        await self.tell("progress", f"{meter.rollouts} rollouts", data, key=key)

    async def evaluated(self, candidate: Candidate, *, accepted: bool) -> None:
        """A candidate was tried."""
        mean = candidate.search_mean if accepted else candidate.trial
        word = "enters the population" if accepted else "is dropped"
        await self.tell(
            "candidate.evaluated",
            f"{candidate.candidate_id} {word}",
            {
                **self.shown(candidate),
                "accepted": accepted,
                "train_accuracy": mean,
                "outcome_reward": mean,
            },
            key=f"{candidate.candidate_id}:{'full' if accepted else 'trial'}",
        )

    async def new_best(self, candidate: Candidate, value: Estimate, *, final: bool = False) -> None:
        """A candidate looks better than all others."""
        prompt = best_prompt(self._config, candidate.prompt)
        score = round(value.mean, 6)
        key = "final" if final else f"{candidate.candidate_id}:{self._meter.rollouts}"
        await self.tell(
            "candidate.new_best",
            f"{candidate.candidate_id} is the best so far, worth {score:.3f}",
            {
                "candidate_id": candidate.candidate_id,
                "best_prompt": prompt,
                "best_candidate": prompt,
                "best_score": score,
                "outcome_reward": score,
                "uncertainty": round(value.sd, 6),
                "final": final,
            },
            key=key,
        )

    async def frame(self, what: str, name: str, number: int, extra: Mapping[str, Any]) -> None:
        """A generation or an iteration is over."""
        best = self._book.estimates().get(self._book.best_id)
        reward = round(best.mean, 6) if best is not None else 0.0
        data = {name: number, "best_reward": reward, "best_candidate_id": self._book.best_id}
        event = await self.tell(
            what, f"{name} {number} is over", {**data, **extra}, key=f"{number}"
        )
        self._book.close_frame(number, event.at)
        self._book.history.append({"generation": number, "best_reward": reward})
        await self.progress(**{name: number})

    def shown(self, candidate: Candidate) -> dict[str, Any]:
        """A candidate as every event shows it."""
        return {
            "candidate_id": candidate.candidate_id,
            "parent_ids": list(candidate.parents),
            "kind": candidate.kind,
            "generation": candidate.generation,
            "full_text": candidate.prompt.text,
            "pattern": best_prompt(self._config, candidate.prompt),
        }


def best_prompt(config: PolicyConfig, prompt: Prompt) -> dict[str, Any]:
    """A prompt in the form of an `initial_prompt`: the system text, the demonstrations after it,
    and the application's other messages as they are."""
    system: list[dict[str, str]] = []
    if prompt.text:
        system.append({"role": "system", "pattern": prompt.text})
    for demo in prompt.demos:
        system.append({"role": "user", "pattern": demo.user})
        system.append({"role": "assistant", "pattern": demo.assistant})
    return {"messages": [*system, *_others(config.messages)]}


def _others(messages: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """All messages but the first system message, whose place the prompt takes."""
    first = next((i for i, (role, _) in enumerate(messages) if role in SYSTEM_ROLES), None)
    return [{"role": r, "pattern": t} for i, (r, t) in enumerate(messages) if i != first]
