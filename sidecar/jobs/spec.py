"""What the rollouts of a job have in common: where they are run, and with what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yarl import URL

from sidecar.core.prompt import Pattern
from sidecar.errors import InvalidRequest

_MAX_URL = 2048


@dataclass(frozen=True, slots=True)
class RolloutSpec:
    """The same for every rollout of a job."""

    url: str
    """Of the task app; its routes are joined to it."""
    env_name: str = ""
    env_config: Mapping[str, Any] = field(default_factory=dict)
    """Goes into the rollout's `env.config`, under what we put there."""
    policy: Mapping[str, Any] = field(default_factory=dict)
    """Goes into the rollout's `policy.config`: model, provider, temperature and the like."""
    policy_name: str = ""
    concurrency: int = 20
    """Rollouts at the same time."""
    timeout: float = 600.0
    """Seconds that a rollout may take."""
    baseline: Pattern | None = None
    """The system prompt that the task app sends, for which candidates are put in place. None: its
    calls go on as they are."""
    template: tuple[tuple[str, str], ...] = ()
    """(role, pattern) of the initial prompt's messages, for task apps that are told the candidate
    instead; empty: they are not told."""


def task_app_url(value: Any, where: str) -> str:
    """The address of a task app, checked. Raises `InvalidRequest` naming the field `where`."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequest(
            "the task app's address is missing: give its URL, such as http://localhost:8001",
            param=where,
        )
    text = value.strip()
    wrong = InvalidRequest(
        "the task app's address must be an http or https URL without user name and fragment, such "
        "as http://localhost:8001",
        param=where,
    )
    try:
        url = URL(text)
        fits = url.scheme in {"http", "https"} and url.host and url.port
    except ValueError:
        raise wrong from None
    if not fits or url.raw_user or url.raw_password or url.raw_fragment or len(text) > _MAX_URL:
        raise wrong
    if not text.isprintable() or " " in text:
        raise wrong
    return text
