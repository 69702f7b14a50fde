"""Property tests measure properties, not this machine: no deadline per example."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
