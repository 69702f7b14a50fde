"""An eval job's configuration: the published form in, a typed one out (wire contract, section 9).

The task app's key is not part of it: whoever takes the request in keeps it aside.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sidecar.engine.config import known_fields
from sidecar.engine.fields import mapping
from sidecar.errors import InvalidRequest
from sidecar.jobs.seeds import seeds
from sidecar.jobs.spec import RolloutSpec, task_app_url

_URLS = ("task_app_url", "local_api_url", "localapi_url", "container_url")
_TEXTS = ("app_id", "env_name")
_OURS = frozenset({"inference_url", "api_base", "base_url", "api_key"})
"""Parts of a policy that the sidecar supplies; what is given for them is not used."""
_KNOWN = {
    *_URLS, *_TEXTS, "seeds", "policy", "policy_config", "env_config", "verifier_config",
    "max_concurrent", "concurrency", "timeout",
}  # fmt: skip
_CONCURRENT = 20
_MAX_CONCURRENT = 256
_TIMEOUT = 600.0
_MAX_TIMEOUT = 86_400.0


@dataclass(frozen=True, slots=True)
class EvalConfig:
    """What an eval job runs."""

    task_app_url: str
    seeds: tuple[int, ...]
    app_id: str = ""
    env_name: str = ""
    env_config: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    """For the task app: model, provider and the like."""
    max_concurrent: int = _CONCURRENT
    timeout: float = _TIMEOUT
    """Seconds that a rollout may take."""
    unused: tuple[str, ...] = ()
    """Keys of the request that an eval job has no use for."""

    def spec(self) -> RolloutSpec:
        """What its rollouts have in common; the task app's calls go on as they are."""
        return RolloutSpec(
            url=self.task_app_url,
            env_name=self.env_name or self.app_id,
            env_config=self.env_config,
            policy=self.policy,
            concurrency=self.max_concurrent,
            timeout=self.timeout,
        )

    def dump(self) -> dict[str, Any]:
        """Plain data for the record; `load` reads it back."""
        return {**asdict(self), "seeds": list(self.seeds), "unused": list(self.unused)}

    @staticmethod
    def load(data: Mapping[str, Any]) -> "EvalConfig":
        """From what `dump` made, as far as this version knows it."""
        config = EvalConfig(**known_fields(EvalConfig, data))
        return replace(config, seeds=tuple(config.seeds), unused=tuple(config.unused))


def parse(body: Mapping[str, Any]) -> EvalConfig:
    """The configuration in the body of a submit request. Raises `InvalidRequest` naming the wrong
    field."""
    _refuse_verifier(body.get("verifier_config"))
    where = next((name for name in _URLS if body.get(name)), _URLS[0])
    policy, ours = _policy(body)
    return EvalConfig(
        task_app_url=task_app_url(body.get(where), where),
        seeds=seeds(body.get("seeds"), "seeds"),
        app_id=_text(body, "app_id"),
        env_name=_text(body, "env_name"),
        env_config=_object(body, "env_config"),
        policy=policy,
        max_concurrent=_concurrency(body),
        timeout=_timeout(body),
        unused=(*sorted(body.keys() - _KNOWN), *ours),
    )


def _refuse_verifier(given: Any) -> None:
    """Rewards that nobody computes would be worse than none."""
    verifier = mapping(given, "verifier_config") if given is not None else {}
    if verifier and verifier.get("enabled", True):
        raise InvalidRequest(
            "this sidecar has no verifiers: leave verifier_config out, and let the task app's "
            "rollout return the reward",
            param="verifier_config",
        )


def _policy(body: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    name = "policy" if body.get("policy") is not None else "policy_config"
    given = _object(body, name)
    kept = {key: value for key, value in given.items() if key not in _OURS}
    return kept, [f"{name}.{key}" for key in sorted(_OURS & given.keys())]


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    return dict(mapping(value, name)) if value is not None else {}


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"`{name}` must be text", param=name)
    return value or ""


def _concurrency(body: Mapping[str, Any]) -> int:
    name = "max_concurrent" if body.get("max_concurrent") is not None else "concurrency"
    value = body.get(name)
    if value is None:
        return _CONCURRENT
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_CONCURRENT:
        raise InvalidRequest(
            f"`{name}` must be a whole number from 1 to {_MAX_CONCURRENT}", param=name
        )
    return value


def _timeout(body: Mapping[str, Any]) -> float:
    value = body.get("timeout")
    if value is None:
        return _TIMEOUT
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest("`timeout` must be a number of seconds", param="timeout")
    if not 0 < value <= _MAX_TIMEOUT:
        raise InvalidRequest(
            f"`timeout` must be above 0 and at most {_MAX_TIMEOUT:g} seconds", param="timeout"
        )
    return float(value)
