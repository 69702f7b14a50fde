"""Talking to a running sidecar, or to another server of the published session API."""

from sidecar.client.errors import ApiError, ConfigError
from sidecar.client.online import GepaOnlineSession, MiproOnlineSession, OnlineSession
from sidecar.client.steering import SidecarClient

__all__ = [
    "ApiError",
    "ConfigError",
    "GepaOnlineSession",
    "MiproOnlineSession",
    "OnlineSession",
    "SidecarClient",
]
