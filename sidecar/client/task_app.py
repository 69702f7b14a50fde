"""The task app as seen from where a job is submitted: whether it is there, before the job is."""

from urllib.parse import urlsplit

from sidecar import __version__
from sidecar.client.errors import ApiError, ConfigError
from sidecar.client.flow import Flow, asked
from sidecar.client.wire import Answer, Request

_TIMEOUT = 10.0
_ROUTES = ("/health", "/task_info")
_OK = 200
_REFUSED = frozenset({401, 403})
_TUNNELS = (".trycloudflare.com", ".cfargotunnel.com")
"""Names that may be known to the server before they are known here."""
_CURE = "; skip_health_check=True submits all the same"


class AppCall(Request):
    """A call whose failures are told as the task app's."""

    __slots__ = ()

    def unanswered(self, reason: object) -> ApiError:
        """The error for a call that got no answer."""
        return ApiError(f"nothing answers: {reason}", url=self.url)


def checked(url: str, key: str) -> Flow[None]:
    """Ask the task app for its health and its task. Raises `ConfigError` when it cannot be used
    from here."""
    parts = urlsplit(url)
    if (parts.hostname or "").endswith(_TUNNELS):
        return
    for route in _ROUTES:
        call = _call(parts._replace(path=parts.path.rstrip("/") + route).geturl(), key)
        shown = parts._replace(query="").geturl()
        try:
            answer = yield from asked(call)
        except ApiError as error:
            raise ConfigError(f"the task app at {shown} cannot be used: {error}{_CURE}") from None
        if answer.status != _OK:
            raise ConfigError(f"the task app at {shown} {_said(answer, key, route)}{_CURE}")


def _call(url: str, key: str) -> Request:
    headers = {"Accept": "application/json", "User-Agent": f"prompt-sidecar/{__version__}"}
    if key:
        headers |= {"X-API-Key": key, "Authorization": f"Bearer {key}"}
    return AppCall("GET", url, headers, None, _TIMEOUT)


def _said(answer: Answer, key: str, route: str) -> str:
    """Not its own words: they may quote keys."""
    if b"missing_environment_api_key" in answer.body:
        return "runs without an ENVIRONMENT_API_KEY of its own"
    if answer.status in _REFUSED or b"unauthori" in answer.body:
        if not key:
            return "wants a key: give localapi_api_key, or set ENVIRONMENT_API_KEY"
        return "refused the key: it must be the ENVIRONMENT_API_KEY that it runs with"
    return f"answered HTTP {answer.status} {answer.reason}".rstrip() + f" to GET {route}"
