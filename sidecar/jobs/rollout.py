"""One rollout on the wire: what the task app is asked, and what its answer was worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from sidecar.core.job import JobKind, JobRecord
from sidecar.jobs.base import Prompt
from sidecar.jobs.spec import RolloutSpec

_FEEDBACK = 4000
"""Characters of what the task app says about a rollout that are kept."""
_SLACK = 1e-6
"""How far sums of floats may leave 0..1."""

_REWARDS = (
    ("reward_info", "outcome_reward"),
    ("metrics", "outcome_reward"),
    ("reward_info", "outcome_objectives", "reward"),
    ("metrics", "outcome_objectives", "reward"),
    ("metrics", "reward_mean"),
)
"""Where an answer has its reward; the first that is there counts."""


class NoReward(Exception):
    """The answer holds no reward that could be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rollout was worth, in 0..1, and what was said about it."""

    reward: float
    feedback: str


def request_of(
    record: JobRecord,
    spec: RolloutSpec,
    prompt: Prompt | None,
    *,
    seed: int,
    correlation_id: str,
    inference_url: str,
) -> dict[str, Any]:
    """The body of `POST /rollout`. The prompt reaches the task app's calls at `inference_url`; it
    is told of it only when the spec has a template."""
    split = {"split": "train"} if record.kind is JobKind.POLICY else {}
    config = {
        **spec.policy,
        "inference_url": inference_url,
        "api_base": inference_url,
        "base_url": inference_url,
    }
    if prompt is not None and spec.template:
        config["prompt_template"] = {"sections": _sections(spec.template, prompt.text)}
    env = {"seed": seed, "config": {**split, **spec.env_config, "seed": seed}}
    policy = {"config": config}
    return {
        "trace_correlation_id": correlation_id,
        "env": {**env, "env_name": spec.env_name} if spec.env_name else env,
        "policy": {**policy, "policy_name": spec.policy_name} if spec.policy_name else policy,
        "on_done": "reset",
        "safety": {"max_time_s": spec.timeout},
        "training_session_id": record.job_id,
    }


def _sections(template: tuple[tuple[str, str], ...], text: str) -> list[dict[str, Any]]:
    """The initial prompt's messages with the candidate in place of the first system one."""
    sections: list[dict[str, Any]] = []
    replaced = False
    for order, (role, pattern) in enumerate(template):
        is_place = role == "system" and not replaced
        replaced = replaced or is_place
        shown = text if is_place else pattern
        sections.append(
            {"name": role, "role": role, "content": shown, "pattern": shown, "order": order}
        )
    return sections


def verdict_of(answer: Mapping[str, Any]) -> Verdict:
    """What an answer to `POST /rollout` says. Raises `NoReward`."""
    return Verdict(_reward(answer), _feedback(answer))


def _reward(answer: Mapping[str, Any]) -> float:
    for path in _REWARDS:
        value = _at(answer, path)
        if value is not None:
            return _checked(value, ".".join(path))
    detail = answer.get("status_detail") or answer.get("success_status")
    said = f"; it said: {_clean(str(detail)[:200])}" if detail else ""
    raise NoReward(
        "the rollout's answer has no reward: put a number from 0 to 1 into "
        f"reward_info.outcome_reward{said}"
    )


def _at(answer: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = answer
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _checked(value: Any, where: str) -> float:
    if not isinstance(value, int | float):  # which lets true and false through, as 1 and 0
        raise NoReward(f"{where} is {str(value)[:40]!r}, which is not a number from 0 to 1")
    if value != value:  # noqa: PLR0124 - math.isnan() cannot take every whole number
        raise NoReward(f"{where} is NaN: a reward must be a number from 0 to 1")
    if not -_SLACK <= value <= 1 + _SLACK:
        shown = f"{value:g}" if isinstance(value, float) else str(value)[:40]
        raise NoReward(f"{where} is {shown}: a reward must be a number from 0 to 1")
    return min(1.0, max(0.0, float(value)))


def _feedback(answer: Mapping[str, Any]) -> str:
    """The task app's own words: how it went, and the details that come with the reward."""
    parts: list[str] = []
    status = answer.get("success_status")
    if isinstance(status, str) and status != "success":
        parts.append(status)
    if isinstance(answer.get("status_detail"), str):
        parts.append(answer["status_detail"])
    details = _at(answer, ("reward_info", "details"))
    if isinstance(details, Mapping) and details:
        words = details.get("feedback")
        parts.append(words if isinstance(words, str) else _written(details))
    return _clean("\n".join(part for part in parts if part)[:_FEEDBACK])


def _clean(text: str) -> str:
    """Text that can be written down: JSON may hold halves of characters."""
    return text.encode("utf-8", "replace").decode()


def _written(details: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(details).decode()
    except TypeError:  # a whole number beyond 64 bits
        return str(details)
