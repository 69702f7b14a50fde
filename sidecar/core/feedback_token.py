"""Feedback tokens: who holds one may say what they think of one rollout, and nothing else. Pure.

`v1.<session>~<rollout>.<expiry>.<mac>`. Rollout ids are the application's own where it names its
conversations, so two sessions may have the same one, and the session is signed too. Nothing is
stored per token: whoever has the keys can tell their own from others.
"""

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass

_TOKEN = re.compile(
    r"v1\.([A-Za-z0-9_.-]{1,64})~([A-Za-z0-9_.:-]{1,128})\.([0-9]{1,12})\.([0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a genuine token says."""

    session_id: str
    rollout_id: str
    expires: int
    """Unix seconds."""


def mint(key: bytes, claim: Claim) -> str:
    """The token that says this."""
    signed = f"v1.{claim.session_id}~{claim.rollout_id}.{claim.expires}"
    return f"{signed}.{_mac(key, signed)}"


def read(keys: Iterable[bytes], text: str) -> Claim | None:
    """What a token signed with one of these keys says, also after it has expired; None for anything
    else. Where it differs does not show in how long this takes, nor which key it was."""
    found = _TOKEN.fullmatch(text)
    if found is None:
        return None
    signed, _, mac = text.rpartition(".")
    genuine = [hmac.compare_digest(mac, _mac(key, signed)) for key in keys]
    return Claim(found[1], found[2], int(found[3])) if any(genuine) else None


def _mac(key: bytes, signed: str) -> str:
    return hmac.digest(key, signed.encode(), "sha256").hex()
