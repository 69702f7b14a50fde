"""What can go wrong for somebody who calls a sidecar."""

from typing import Any

from sidecar.errors import SidecarError


class ApiError(SidecarError):
    """The server refused, or could not be reached; the text is what it said. `status` is 0 when
    there was no answer, `detail` is the answer's own `detail` (text or an object) if it had one,
    `url` is what was called."""

    code = "api_error"

    def __init__(self, message: str, status: int = 0, *, detail: Any = None, url: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail
        self.url = url


class ConfigError(SidecarError, ValueError):
    """An argument, a variable or a configuration file cannot be used; nothing was sent."""

    code = "config_error"
