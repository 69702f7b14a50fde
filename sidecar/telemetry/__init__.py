"""Logs and metrics: a leaf that everything but the core may use."""
