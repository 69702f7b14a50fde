"""Identifiers: how they look, and when a foreign one may be used.

Correlation ids that we mint start with `trace_`, because the published SDK recognises a correlation
id in a URL path by its prefix (wire contract, section 5). A rollout is one conversation, so its
rollout id *is* its correlation id. Minting takes the random bytes as an argument.
"""

import re

_CORRELATION = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_SESSION = re.compile(r"[A-Za-z0-9_.-]{1,64}")

BASELINE = "baseline"


def is_correlation_id(text: str) -> bool:
    """Whether `text` may be used as a correlation id: 1 to 128 of `A-Z a-z 0-9 _ . : -`, and not
    one of the two dot segments, which URLs treat as navigation."""
    return _CORRELATION.fullmatch(text) is not None and text not in {".", ".."}


def is_session_id(text: str) -> bool:
    """Whether `text` may be used as a session id: 1 to 64 of `A-Z a-z 0-9 _ . -`."""
    return _SESSION.fullmatch(text) is not None and text not in {".", ".."}


def correlation_id(entropy: bytes) -> str:
    """A correlation id of our own from at least 16 random bytes."""
    return "trace_" + entropy.hex()


def candidate_id(entropy: bytes) -> str:
    """A candidate id from random bytes (the baseline's id is the literal `baseline`)."""
    return "cand_" + entropy.hex()


def job_id(entropy: bytes) -> str:
    """A job id from at least 8 random bytes: `pl_` and 16 hex digits, as the SDK requires."""
    return "pl_" + entropy.hex()[:16]


def eval_job_id(entropy: bytes) -> str:
    """An eval job's id from at least 8 random bytes: `eval-` and 16 hex digits."""
    return "eval-" + entropy.hex()[:16]
