"""Answers: what is done, and what can be refused, in the words of the route's dialect."""

from dataclasses import dataclass

from sidecar.api.openapi.model import JSON, PROBLEM, Json, Reply, ref, text

REQUEST_ID = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}

_MEANINGS = {
    400: "The request is malformed; the error says how.",
    401: "No key, or none of ours.",
    403: "The configuration does not allow it.",
    404: "What is named does not exist.",
    409: "The session is in a state that forbids this.",
    413: "The body is larger than is allowed.",
    415: "The body is compressed.",
    422: "Well-formed, but not usable; the error names the field.",
    502: "The provider could not be reached, or closed without an answer.",
    503: "It cannot be done now; the same call may succeed later.",
    504: "The provider did not answer in time.",
}

_HEADERS: dict[int, dict[str, Json]] = {
    401: {"WWW-Authenticate": {"schema": text("Which kind of key."), "required": True}},
    503: {"Retry-After": {"schema": text("Seconds."), "required": True}},
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a group of routes words its errors."""

    kind: str
    """Their media type."""
    schema: str

    def replies(
        self, done: Reply | None, *refused: int, status: int = 200, keyed: bool = True
    ) -> dict[int | str, Reply]:
        """The answer when all is well, and one for each status of `refused`; of 401 too when the
        route needs a key."""
        found: dict[int | str, Reply] = {status: done} if done else {}
        statuses = sorted({*refused, *([401] if keyed else [])})
        return found | {status: self.refusal(status) for status in statuses}

    def refusal(self, status: int, meaning: str = "") -> Reply:
        """An error of this status."""
        headers = REQUEST_ID | _HEADERS.get(status, {})
        return Reply(meaning or _MEANINGS[status], {self.kind: ref(self.schema)}, headers)


DETAIL = Dialect(JSON, "ApiError")
DETAILS = Dialect(PROBLEM, "Problem")
MODEL = Dialect(JSON, "ModelError")


def done(schema: str, description: str = "Done.") -> Reply:
    """A JSON answer."""
    return Reply(description, {JSON: ref(schema)}, REQUEST_ID)
