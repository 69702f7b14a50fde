"""What comes of a job, typed. Reads answers leniently: what a server does not say is None."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

_SCORES = ("best_score", "best_reward", "best_train_score", "best_train_reward")
_CANDIDATES = ("optimized_candidates", "frontier", "candidates", "archive")


class JobStatus(StrEnum):
    """How a policy job stands."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing can change any more."""
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}

    @property
    def is_success(self) -> bool:
        """Whether it reached its end."""
        return self is JobStatus.SUCCEEDED


class EvalStatus(StrEnum):
    """How an eval job stands."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing can change any more."""
        return self in {EvalStatus.COMPLETED, EvalStatus.FAILED, EvalStatus.CANCELLED}

    @property
    def is_success(self) -> bool:
        """Whether it reached its end."""
        return self is EvalStatus.COMPLETED


_WORDS = {
    "success": "succeeded", "completed": "succeeded", "complete": "succeeded",
    "failure": "failed", "error": "failed", "canceled": "cancelled", "cancel": "cancelled",
    "in_progress": "running",
}  # fmt: skip
"""Other words for the same, as servers use them."""


def job_status(value: Any) -> JobStatus:
    """By a server's word; what is unknown is pending."""
    word = str(value or "").strip().lower().replace(" ", "_")
    word = _WORDS.get(word, word)
    return JobStatus(word) if word in set(JobStatus) else JobStatus.PENDING


def eval_status(value: Any) -> EvalStatus:
    """By a server's word; what is unknown is pending."""
    word = job_status(value).value
    word = "completed" if word == JobStatus.SUCCEEDED else word
    return EvalStatus(word) if word in set(EvalStatus) else EvalStatus.PENDING


@dataclass(frozen=True, slots=True)
class PolicyOptimizationResult:
    """How a policy job stands, and the best prompt so far; the winner once it has succeeded."""

    job_id: str
    status: JobStatus
    algorithm: str | None = None
    best_score: float | None = None
    """From 0 to 1."""
    best_prompt: str | Mapping[str, Any] | None = None
    """`{"messages": [{"role", "pattern"}]}`, as an `initial_prompt`."""
    error: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The whole answer."""

    @classmethod
    def of(cls, job_id: str, data: Mapping[str, Any]) -> "PolicyOptimizationResult":
        """From a status answer."""
        prompt = data.get("best_prompt") or data.get("best_candidate")
        return cls(
            job_id=job_id,
            status=job_status(data.get("status")),
            algorithm=data.get("algorithm"),
            best_score=first_number(data, *_SCORES),
            best_prompt=prompt if isinstance(prompt, str | Mapping) else None,
            error=data.get("error"),
            raw=data,
        )

    @property
    def succeeded(self) -> bool:
        """Whether it reached its end."""
        return self.status.is_success

    @property
    def failed(self) -> bool:
        """Whether it could not; `error` says why."""
        return self.status is JobStatus.FAILED

    @property
    def is_terminal(self) -> bool:
        """Whether nothing can change any more."""
        return self.status.is_terminal

    def get_system_prompt(self) -> str | None:
        """The system text of the best prompt, with its placeholders."""
        return system_text(self.best_prompt) or next(iter(self.candidate_texts()), None)

    def candidate_texts(self) -> list[str]:
        """The system texts of the finalists, the best first."""
        rows = next((self.raw[name] for name in _CANDIDATES if self.raw.get(name)), None)
        found = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
        found.sort(key=lambda row: first_number(row, "rank") or 0.0)
        texts = [row.get("full_text") or system_text(row.get("pattern")) for row in found]
        return [text for text in texts if isinstance(text, str)]


@dataclass(frozen=True, slots=True)
class EvalResult:
    """How an eval job stands, and what the seeds were worth."""

    job_id: str
    status: EvalStatus
    mean_reward: float | None = None
    """From 0 to 1; a failed rollout counts as 0."""
    total_tokens: int | None = None
    total_cost_usd: float | None = None
    num_completed: int = 0
    num_total: int = 0
    seed_results: list[dict[str, Any]] = field(default_factory=list)
    """`{seed, score, tokens, cost_usd, latency_ms, error}` each."""
    error: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The whole answer."""

    @classmethod
    def of(cls, job_id: str, data: Mapping[str, Any]) -> "EvalResult":
        """From a status answer or a results answer."""
        results = data.get("results")
        inner = results if isinstance(results, Mapping) else {}
        rows = inner.get("items") if inner else results
        seeds = [dict(row) for row in rows] if isinstance(rows, list) else []
        sources = [_mapping(data.get("summary")), inner, data]
        tokens = _first(sources, "total_tokens")
        completed, total = _first(sources, "completed"), _first(sources, "total", "num_seeds")
        return cls(
            job_id=job_id,
            status=eval_status(data.get("status")),
            mean_reward=_first(sources, "mean_reward"),
            total_tokens=None if tokens is None else int(tokens),
            total_cost_usd=_first(sources, "total_cost_usd"),
            num_completed=len(seeds) if completed is None else int(completed),
            num_total=len(seeds) if total is None else int(total),
            seed_results=seeds,
            error=data.get("error"),
            raw=data,
        )

    @property
    def succeeded(self) -> bool:
        """Whether it reached its end."""
        return self.status.is_success

    @property
    def failed(self) -> bool:
        """Whether it could not; `error` says why."""
        return self.status is EvalStatus.FAILED

    @property
    def is_terminal(self) -> bool:
        """Whether nothing can change any more."""
        return self.status.is_terminal


def system_text(prompt: Any) -> str | None:
    """The system text of a prompt in any of its published forms; None if there is none."""
    if isinstance(prompt, str):
        return prompt or None
    given = _mapping(prompt)
    parts = (*_list(given.get("messages")), *_list(given.get("sections")))
    for part in parts:
        text = part.get("pattern") or part.get("content")
        if part.get("role") in {"system", "developer"} and isinstance(text, str):
            return text
    return None


def first_number(data: Mapping[str, Any], *names: str) -> float | None:
    """The first of these fields that holds a number."""
    values = (data.get(name) for name in names)
    return next((v for v in values if isinstance(v, int | float) and not isinstance(v, bool)), None)


def _first(sources: Iterable[Mapping[str, Any]], *names: str) -> float | None:
    found = (first_number(source, *names) for source in sources)
    return next((value for value in found if value is not None), None)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
