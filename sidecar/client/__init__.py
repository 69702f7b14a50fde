"""Talking to a running sidecar."""
