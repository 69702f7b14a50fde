"""From flags, environment and file to one `Settings`, or to the list of everything wrong."""

from sidecar.loading.read import Loaded, Row, SettingsError, describe, load, read
from sidecar.loading.sources import Problem

__all__ = ["Loaded", "Problem", "Row", "SettingsError", "describe", "load", "read"]
