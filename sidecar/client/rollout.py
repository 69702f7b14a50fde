"""A rollout on the wire, typed: what a task app is asked, and what it answers (wire contract,
sections 7.3 and 7.4)."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sidecar.client.http import Connections, send
from sidecar.client.model_call import TIMEOUT, ChatReply, chat_request, reply_of
from sidecar.client.wire import Request

_MAX_TIME_S = 3600.0
_URLS = ("inference_url", "api_base", "base_url")
_PASSED_ON = ("model", "temperature", "max_completion_tokens")
"""Parts of the policy that go into the model's calls as they are."""


class InvalidRollout(ValueError):
    """The request is not one for a rollout; the text names the field."""


@dataclass(frozen=True, slots=True)
class RolloutEnvSpec:
    """Which instance of the task."""

    env_id: str | None = None
    env_name: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    """The job's `env_config`, `split` and `seed` among it."""
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class RolloutPolicySpec:
    """What plays it."""

    policy_id: str | None = None
    policy_name: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    """`model`, `inference_url` and the like."""
    output_mode: str = "tool_calls"
    structured_config: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RolloutSafetyConfig:
    """Limits of a rollout."""

    max_time_s: float = _MAX_TIME_S
    """Seconds; the rollout is given up after them."""


@dataclass(frozen=True, slots=True)
class RolloutMetrics:
    """What a rollout was worth."""

    outcome_reward: float
    """A sidecar takes 0 to 1."""
    event_rewards: Sequence[float] | None = None
    outcome_objectives: Mapping[str, float] | None = None
    event_objectives: Sequence[Mapping[str, float]] | None = None
    instance_objectives: Sequence[Mapping[str, float]] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    """Not scored. A sidecar shows `feedback` in it to whoever writes new prompts."""


@dataclass(frozen=True, slots=True)
class RolloutResponse:
    """What a task app answers."""

    trace_correlation_id: str
    """As in the request."""
    reward_info: RolloutMetrics
    trace: Mapping[str, Any] | None = None
    inference_url: str | None = None
    artifact: Sequence[Mapping[str, Any]] | None = None
    success_status: str | None = None
    """How the machinery did, whatever the reward: `success`, `timeout`, `runtime_error` …"""
    status_detail: str | None = None
    override_application_results: Sequence[Mapping[str, Any]] | None = None

    def dump(self) -> dict[str, Any]:
        """As plain data, without what is None. Raises `ValueError` for a reward that is no
        number."""
        reward = float(self.reward_info.outcome_reward)
        if not math.isfinite(reward):
            raise ValueError(f"the rollout's outcome_reward is {reward}, not a number")
        data = _filled(asdict(self))
        data["reward_info"] = _filled(data["reward_info"]) | {"outcome_reward": reward}
        return data


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """What an instance of the task is; every part may hold more than is named here."""

    task: Mapping[str, Any]
    """`id` and `name`; `description`, `version`."""
    dataset: Mapping[str, Any] = field(default_factory=dict)
    """`id`, `split`, `index` …"""
    inference: Mapping[str, Any] = field(default_factory=dict)
    """`model` …"""
    limits: Mapping[str, Any] = field(default_factory=dict)
    """`max_turns` …"""
    task_metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RolloutRequest:
    """What a task app is asked."""

    trace_correlation_id: str
    env: RolloutEnvSpec
    policy: RolloutPolicySpec
    on_done: str = "reset"
    safety: RolloutSafetyConfig = RolloutSafetyConfig()
    training_session_id: str | None = None
    synth_base_url: str | None = None
    context_overrides: Sequence[Mapping[str, Any]] | None = None
    override_bundle_id: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The body as it came."""

    @property
    def seed(self) -> int:
        """Which instance. Raises `InvalidRollout` when the request names none."""
        seed = self.env.seed if self.env.seed is not None else self.env.config.get("seed")
        if not isinstance(seed, int):
            raise InvalidRollout("the request names no seed (env.seed)")
        return seed

    @property
    def inference_url(self) -> str:
        """Where this rollout's model calls go. Raises `InvalidRollout` when the request says
        nothing."""
        config = self.policy.config
        url = next((config[name] for name in _URLS if config.get(name)), None)
        if not isinstance(url, str):
            raise InvalidRollout("the request names no policy.config.inference_url")
        return url

    def chat(
        self, messages: Sequence[Mapping[str, Any]], *, timeout: float = TIMEOUT, **fields: Any
    ) -> ChatReply:
        """Call the model, for rollouts that are plain functions. The model, its temperature and
        its `max_completion_tokens` are the policy's; `fields` replace them or say more. Raises
        `ApiError`."""
        if _in_a_loop():
            raise RuntimeError("in an async rollout, use: await request.chat_async(…)")
        call = self._call(messages, timeout, fields)
        return reply_of(call, send(call))

    async def chat_async(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        timeout: float = TIMEOUT,  # noqa: ASYNC109  # of silence, not of the whole call
        **fields: Any,
    ) -> ChatReply:
        """As `chat`, for rollouts that are async functions."""
        call = self._call(messages, timeout, fields)
        return reply_of(call, await Connections().send(call))

    def scored(self, reward: float, feedback: str = "", **more: Any) -> RolloutResponse:
        """The answer to this request. `feedback`: what was wrong, in words for whoever writes new
        prompts; `more`: other fields of `RolloutResponse`."""
        details = {"feedback": feedback} if feedback else {}
        metrics = RolloutMetrics(outcome_reward=reward, details=details)
        return RolloutResponse(self.trace_correlation_id, metrics, **more)

    def _call(
        self, messages: Sequence[Mapping[str, Any]], timeout: float, fields: Mapping[str, Any]
    ) -> Request:
        config = self.policy.config
        ours = {name: config[name] for name in _PASSED_ON if config.get(name) is not None}
        body = {**ours, **fields}
        if not body.get("model"):
            raise InvalidRollout("the request names no policy.config.model; say model=…")
        return chat_request(
            self.inference_url, messages, body, api_key=config.get("api_key"), timeout=timeout
        )


def read_rollout(body: Any) -> RolloutRequest:
    """The request in the body of `POST /rollout`. Raises `InvalidRollout`."""
    given = _object(body, "the body")
    env = _object(given.get("env"), "env")
    policy = _object(given.get("policy"), "policy")
    correlation = _text(given, "trace_correlation_id")
    if not correlation:
        raise InvalidRollout("trace_correlation_id is missing")
    return RolloutRequest(
        trace_correlation_id=correlation,
        env=RolloutEnvSpec(
            env_id=_text(env, "env_id", "env."),
            env_name=_text(env, "env_name", "env."),
            config=_part(env, "config", "env.") or {},
            seed=_whole(env, "seed", "env."),
        ),
        policy=RolloutPolicySpec(
            policy_id=_text(policy, "policy_id", "policy."),
            policy_name=_text(policy, "policy_name", "policy."),
            config=_part(policy, "config", "policy.") or {},
            output_mode=_text(policy, "output_mode", "policy.") or "tool_calls",
            structured_config=_part(policy, "structured_config", "policy."),
        ),
        on_done=_text(given, "on_done") or "reset",
        safety=RolloutSafetyConfig(_seconds(_part(given, "safety", "") or {})),
        training_session_id=_text(given, "training_session_id"),
        synth_base_url=_text(given, "synth_base_url"),
        context_overrides=given.get("context_overrides"),
        override_bundle_id=_text(given, "override_bundle_id"),
        raw=given,
    )


def _filled(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value is not None}


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRollout(f"{where} must be an object" + (" and is missing" * (value is None)))
    return value


def _part(given: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any] | None:
    value = given.get(name)
    return None if value is None else _object(value, where + name)


def _text(given: Mapping[str, Any], name: str, where: str = "") -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidRollout(f"{where}{name} must be text")
    return value


def _whole(given: Mapping[str, Any], name: str, where: str) -> int | None:
    value = given.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise InvalidRollout(f"{where}{name} must be a whole number")
    return value


def _seconds(safety: Mapping[str, Any]) -> float:
    value = safety.get("max_time_s", _MAX_TIME_S)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InvalidRollout("safety.max_time_s must be a number of seconds above 0")
    return float(value)
