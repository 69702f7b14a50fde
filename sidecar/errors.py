"""Everything that can go wrong, named after what the caller can do about it.

One flat tree. Each class knows its HTTP status and a stable `code`; `api/problems.py` shows it in
the dialect of the route (OpenAI shape on model routes, problem+json elsewhere).
"""


class SidecarError(Exception):
    """Base of all errors that may reach a caller. `str(error)` is safe to show: it never holds
    secrets, stack traces or other users' content."""

    status = 500
    code = "internal_error"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        """`message` says what was wrong and what to do; `param` names the offending field."""
        super().__init__(message)
        self.param = param


class InvalidRequest(SidecarError):
    """The request is malformed: fix it and send it again."""

    status = 400
    code = "invalid_request"


class InvalidFeedback(SidecarError):
    """Well-formed JSON that is not a usable feedback event."""

    status = 422
    code = "invalid_feedback"


class Unauthorised(SidecarError):
    """No key, or a key that is not ours."""

    status = 401
    code = "invalid_api_key"


class InvalidSignature(SidecarError):
    """A webhook that does not show that it comes from its source, or not in time."""

    status = 401
    code = "invalid_signature"

    def __init__(self, message: str, *, challenge: str = "Signature") -> None:
        """`challenge` is what the source would have to show, as `WWW-Authenticate` says it."""
        super().__init__(message)
        self.challenge = challenge


class Forbidden(SidecarError):
    """Well-formed and understood, but the configuration does not allow it."""

    status = 403
    code = "forbidden"


class NotFound(SidecarError):
    """The session, rollout or candidate does not exist (any more)."""

    status = 404
    code = "not_found"


class Conflict(SidecarError):
    """The thing exists but is in a state that forbids the call (a cancelled session, say)."""

    status = 409
    code = "conflict"


class PayloadTooLarge(SidecarError):
    """The body is over the configured limit."""

    status = 413
    code = "payload_too_large"


class UnsupportedEncoding(SidecarError):
    """The body is compressed, and this route takes it as it is only."""

    status = 415
    code = "unsupported_encoding"


class TooMany(SidecarError):
    """The caller has had their say: the same call will not succeed later either."""

    status = 429
    code = "too_many"


class Unavailable(SidecarError):
    """We cannot store or serve this now; the same call may succeed later."""

    status = 503
    code = "unavailable"


class TooManyCalls(Unavailable):
    """As many calls are under way as may be: wait a little, and send it again."""

    code = "too_many_calls"


class UpstreamUnreachable(SidecarError):
    """The provider could not be reached, or closed without an answer."""

    status = 502
    code = "upstream_unreachable"


class UpstreamTimeout(SidecarError):
    """The provider did not answer in time."""

    status = 504
    code = "upstream_timeout"
