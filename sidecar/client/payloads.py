"""The arguments of a session's calls, and the bodies they become (wire contract, 3.2 and 3.6)."""

from collections.abc import Mapping
from os import PathLike
from typing import Any, TypedDict

from sidecar.client.config_file import read_config
from sidecar.client.errors import ConfigError

_CONFIGS = ("config", "config_body", "config_path", "config_name")


class Connection(TypedDict, total=False):
    """Which server, and how it is called."""

    backend_url: str | None
    """With or without `/api`. Default: `SIDECAR_URL`, else `SYNTH_BACKEND_URL`, else
    `http://127.0.0.1:8080`."""
    api_key: str | None
    """Default: `SIDECAR_KEY`, else `SYNTH_API_KEY`, else none; `""` is none, too. The sidecar's
    key is not sent to the server that `SYNTH_BACKEND_URL` names."""
    timeout: float
    """Seconds that the server may be silent; 30 by default."""


class NewSession(Connection, total=False):
    """What `create` takes; at most one of the four configs."""

    config: dict[str, Any] | str | PathLike[str] | None
    """The configuration itself, or the path of a TOML or JSON file with it."""
    config_body: dict[str, Any] | None
    """The configuration itself."""
    config_path: str | PathLike[str] | None
    """The path of a TOML or JSON file on this machine."""
    config_name: str | None
    """The name of a configuration that the server has."""
    overrides: dict[str, Any] | None
    """Values that replace the configuration's; a dotted key reaches into it."""
    metadata: dict[str, Any] | None
    """Anything of your own."""
    session_id: str | None
    """An id of your choice; one that exists already resumes that session."""
    correlation_id: str | None
    """The conversation that later calls of this object are about."""
    agent_id: str | None
    """Stands in for a correlation id when there is none."""


class RewardUpdate(TypedDict, total=False):
    """What `update_reward` takes besides the reward."""

    artifact: dict[str, Any] | None
    """What the rollout made."""
    metadata: dict[str, Any] | None
    """Anything of your own; `feedback` in it is text for whoever writes new prompts."""
    correlation_id: str | None
    """The conversation; the session object's own by default."""
    rollout_id: str | None
    """The rollout, from the answer's `x-gepa-rollout-id` or `x-mipro-rollout-id`."""
    candidate_id: str | None
    """The candidate that served it, to be checked."""
    trace_ref: str | None
    """Where a trace of it is."""
    stop: bool | None
    """True completes the session."""


def create_body(algorithm: str, options: NewSession) -> dict[str, Any]:
    """The body of a create request. Raises `ConfigError`."""
    _only(options, NewSession)
    values: Mapping[str, Any] = options
    given = [name for name in _CONFIGS if values.get(name) is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} exclude each other; give one of them")
    body = {
        "overrides": values.get("overrides") or {},
        "metadata": values.get("metadata") or {},
        **_filled(values, "config_name", "session_id", "correlation_id", "agent_id"),
    }
    if not given or given == ["config_name"]:
        return body
    config = values[given[0]]
    if given == ["config_path"] or isinstance(config, str | PathLike):
        config = read_config(config, algorithm)
    return {**body, "config_body": config}


def reward_body(
    reward_info: dict[str, Any], correlation_id: str | None, options: RewardUpdate
) -> dict[str, Any]:
    """The body of a reward for a session object with this correlation id."""
    _only(options, RewardUpdate)
    values: Mapping[str, Any] = options
    said = ("artifact", "metadata", "stop")  # of these, empty and False say something
    return {
        "reward_info": reward_info,
        **({"correlation_id": correlation_id} if correlation_id else {}),
        **_filled(values, "correlation_id", "rollout_id", "candidate_id", "trace_ref"),
        **{name: values[name] for name in said if values.get(name) is not None},
    }


def _filled(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: options[name] for name in names if options.get(name)}


def _only(options: Mapping[str, Any], known: type) -> None:
    unknown = sorted(options.keys() - known.__annotations__.keys())
    if unknown:
        raise TypeError(f"there is no argument {unknown[0]!r}")
