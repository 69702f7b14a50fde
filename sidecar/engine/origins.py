"""Which addresses a request may point the engine at: those that the operator named, no others."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from sidecar.errors import InvalidRequest


class ProposerOrigins:
    """The origins of reflection models."""

    def __init__(self, urls: Iterable[str]) -> None:
        self._allowed = {_origin(url) for url in urls}

    def check(self, url: str, param: str) -> None:
        """Raise `InvalidRequest` for an address that is not allowed; an empty one is our own."""
        if url and _origin(url) not in self._allowed:
            raise InvalidRequest(
                f"{param} names an origin that this sidecar does not allow; add it to "
                "engine.proposer_origins, or leave it out to use the sidecar's own",
                param=param,
            )


def _origin(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", url  # no origin, so none that is allowed
    return parts.scheme.lower(), parts.netloc.lower()
