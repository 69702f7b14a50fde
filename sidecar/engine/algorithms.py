"""GEPA and MIPRO by name: how their configurations are read and how their sessions begin."""

from collections.abc import Mapping
from typing import Any

from sidecar.engine import config, config_mipro
from sidecar.engine.config import SessionConfig, section_of
from sidecar.engine.config_mipro import MiproConfig
from sidecar.engine.mipro_session import GridState
from sidecar.engine.session import SessionState

_PARSERS = {"gepa": config.parse, "mipro": config_mipro.parse}


def parse(body: Mapping[str, Any], algorithm: str | None = None) -> SessionConfig:
    """The configuration in a `config_body`, for the algorithm that it names. Raises
    `InvalidRequest`, also when that is not `algorithm`, the one that a route stands for."""
    section, _ = section_of(body, *([algorithm] if algorithm else _PARSERS))
    return _PARSERS[section["algorithm"]](body)


def load(algorithm: str, data: Mapping[str, Any]) -> SessionConfig:
    """The configuration that was dumped into a session's record."""
    return (
        MiproConfig.load(data) if algorithm == MiproConfig.algorithm else SessionConfig.load(data)
    )


def begin(own: SessionConfig, salt: str, created_at: float) -> SessionState:
    """The state of a session in which nothing has happened yet."""
    if isinstance(own, MiproConfig):
        return GridState.begin(own, salt, created_at)
    return SessionState.begin(own, salt, created_at)
