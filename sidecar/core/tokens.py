"""Short-lived keys that need no list of keys: the time they end at and a random part, signed. Pure.

Whoever holds the secret can tell its own tokens from others, so nothing is stored per token and a
restart forgets none of them.
"""

import hmac
import re

PREFIX = "sk_demo_"
_TOKEN = re.compile(PREFIX + r"([0-9]{1,12})_([0-9a-f]{32})_([0-9a-f]{64})")


def mint(secret: bytes, expires: int, nonce: bytes) -> str:
    """A token that ends at `expires` (Unix seconds); `nonce` is 16 random bytes."""
    signed = f"{PREFIX}{expires}_{nonce.hex()}"
    return f"{signed}_{_mac(secret, signed)}"


def is_token(text: str) -> bool:
    """Whether this has the form of a token, whoever may have signed it."""
    return text.startswith(PREFIX)


def is_valid(secret: bytes, text: str, now: float) -> bool:
    """Whether this is a token of that secret whose time has not come. Where the signature differs
    does not show in how long it takes."""
    found = _TOKEN.fullmatch(text)
    if found is None:
        return False
    signed, _, mac = text.rpartition("_")
    genuine = hmac.compare_digest(mac, _mac(secret, signed))
    return genuine and now < int(found[1])


def _mac(secret: bytes, signed: str) -> str:
    return hmac.digest(secret, signed.encode(), "sha256").hex()
