"""Talking to a running sidecar."""

from sidecar.client.http import ApiError, SidecarClient

__all__ = ["ApiError", "SidecarClient"]
