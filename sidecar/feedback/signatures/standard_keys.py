"""The keys of Standard Webhooks: what they are says their beginning."""

import hmac
from base64 import b64decode, b64encode
from binascii import Error
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from sidecar.feedback.signatures.reading import base64_mac

_LEAST = 24
"""Bytes of a symmetric secret, by the specification."""
_SEED = 32
_PAIR = 64
"""A private key is its seed, in some libraries with the public key behind it."""


class Key(Protocol):
    """One key, of either kind."""

    @property
    def version(self) -> str:
        """Of the signatures that it verifies."""

    def verifies(self, signed: bytes, signature: str) -> bool:
        """Whether the signature (base64 of the right size) is this key's."""

    def sign(self, signed: bytes) -> str:
        """A signature. Raises `ValueError` for a public key."""


@dataclass(frozen=True, slots=True)
class SymmetricKey:
    """`whsec_`: HMAC-SHA256."""

    version: ClassVar = "v1"
    secret: bytes = field(repr=False)

    def verifies(self, signed: bytes, signature: str) -> bool:
        """See `Key`."""
        return hmac.compare_digest(self.sign(signed).encode(), signature.encode())

    def sign(self, signed: bytes) -> str:
        """See `Key`."""
        return base64_mac(self.secret, signed)


@dataclass(frozen=True, slots=True)
class Ed25519Key:
    """`whpk_`, or `whsk_` with the private half, which only a sender needs."""

    version: ClassVar = "v1a"
    public: VerifyKey = field(repr=False)
    private: SigningKey | None = field(default=None, repr=False)

    def verifies(self, signed: bytes, signature: str) -> bool:
        """See `Key`."""
        try:
            self.public.verify(signed, b64decode(signature))
        except BadSignatureError:
            return False
        return True

    def sign(self, signed: bytes) -> str:
        """See `Key`."""
        if self.private is None:
            raise ValueError("a public key (whpk_) verifies only; to sign, the private one is it")
        return b64encode(self.private.sign(signed).signature).decode()


def key_of(secret: str) -> Key:
    """The key that a setting holds. Raises `ValueError` in words without it."""
    kind, underscore, text = secret.partition("_")
    if not underscore or kind not in {"whsec", "whpk", "whsk"}:
        raise ValueError("needs to begin with whsec_ (a shared secret) or whpk_ (a public key)")
    try:
        plain = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (Error, ValueError):
        raise ValueError(f"is not base64 after {kind}_") from None
    if kind == "whsec":
        if len(plain) < _LEAST:
            raise ValueError(f"holds {len(plain)} bytes; a secret has at least {_LEAST}")
        return SymmetricKey(plain)
    if kind == "whpk":
        if len(plain) != _SEED:
            raise ValueError(f"holds {len(plain)} bytes; a public key has {_SEED}")
        return Ed25519Key(VerifyKey(plain))
    if len(plain) not in {_SEED, _PAIR}:
        raise ValueError(f"holds {len(plain)} bytes; a private key has {_SEED} or {_PAIR}")
    private = SigningKey(plain[:_SEED])
    return Ed25519Key(private.verify_key, private)
