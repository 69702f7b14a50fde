"""Signed webhooks: ours to verify, and those who judge us. An oracle signs and accepts by another
code than ours: the products' own packages, and where there is none, their documentation written
down again in a line or two."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace

import standardwebhooks.webhooks as standard_module
import stripe._webhook as stripe_module
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from slack_sdk.signature import SignatureVerifier
from svix.webhooks import Webhook as SvixWebhook

from sidecar.errors import InvalidRequest, InvalidSignature
from sidecar.feedback.signatures.base import Delivery
from sidecar.feedback.signatures.verifier import Verifier
from sidecar.settings import SourceSettings

NOW = 1_795_000_000
Headers = dict[str, str]


@dataclass(frozen=True)
class Oracle:
    """Somebody else's opinion."""

    signature: str
    secret: Callable[[bytes], str]
    """Made of 32 bytes."""
    sign: Callable[[str, str, int, bytes], Headers]
    """Secret, id, time and body to headers, in lower case."""
    accepts: Callable[[str, Headers, bytes], bool]
    """At `NOW`. Whatever it raises is a refusal, too."""
    timed: bool = True


def verifier(signature: str, *secrets: str, **settings) -> Verifier:
    """Ours."""
    return Verifier.of(
        SourceSettings(name="source", signature=signature, secrets=secrets, **settings)
    )


def delivery(headers: Headers, body: bytes) -> Delivery:
    return Delivery({name: (value,) for name, value in headers.items()}, body)


def accepts(ours: Verifier, headers: Headers, body: bytes, now: float = NOW) -> bool:
    """Whether we take it. Errors other than the two that are meant come through."""
    try:
        ours.verify(delivery(headers, body), now)
    except (InvalidRequest, InvalidSignature):
        return False
    return True


# -- Standard Webhooks ----------------------------------------------------------------------------


class _Now(datetime):
    """The clock of the oracles that take none."""

    @classmethod
    def now(cls, tz=None):
        return datetime.fromtimestamp(NOW, tz)


standard_module.datetime = _Now
stripe_module.time = SimpleNamespace(time=lambda: float(NOW))


def whsec(random: bytes) -> str:
    return "whsec_" + base64.b64encode(random).decode()


def _standard_sign(secret: str, own_id: str, at: int, body: bytes, beginning: str) -> Headers:
    # The oracle takes the local time of a naive datetime for UTC.
    moment = datetime.fromtimestamp(at, UTC).replace(tzinfo=None)
    signature = standard_module.Webhook(secret).sign(own_id, moment, body.decode())
    return {
        f"{beginning}id": own_id,
        f"{beginning}timestamp": str(at),
        f"{beginning}signature": signature,
    }


def _standard_accepts(secret: str, headers: Headers, body: bytes) -> bool:
    standard_module.Webhook(secret).verify(body, headers, json_parse=False)
    return True


def _svix_accepts(secret: str, headers: Headers, body: bytes) -> bool:
    SvixWebhook(secret).verify(body, headers)
    return True


def whsk(random: bytes) -> str:
    return "whsk_" + base64.b64encode(random).decode()


def _pair(secret: str) -> tuple[bytes, bytes]:
    return crypto_sign_seed_keypair(base64.b64decode(secret.removeprefix("whsk_")))


def whpk(secret: str) -> str:
    return "whpk_" + base64.b64encode(_pair(secret)[0]).decode()


def _asymmetric_sign(secret: str, own_id: str, at: int, body: bytes) -> Headers:
    signed = crypto_sign(f"{own_id}.{at}.".encode() + body, _pair(secret)[1])[:64]
    return {
        "webhook-id": own_id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1a,{base64.b64encode(signed).decode()}",
    }


def _asymmetric_accepts(secret: str, headers: Headers, body: bytes) -> bool:
    at, own_id = headers["webhook-timestamp"], headers["webhook-id"]
    for entry in headers["webhook-signature"].split(" "):
        version, signature = entry.split(",")
        if version == "v1a":
            signed = base64.b64decode(signature, validate=True)
            crypto_sign_open(signed + f"{own_id}.{at}.".encode() + body, _pair(secret)[0])
            return abs(NOW - int(at)) <= 300
    return False


# -- the products ---------------------------------------------------------------------------------


def _slack(secret: str) -> SignatureVerifier:
    return SignatureVerifier(secret, SimpleNamespace(now=lambda: float(NOW)))


def _slack_sign(secret: str, _id: str, at: int, body: bytes) -> Headers:
    signature = _slack(secret).generate_signature(timestamp=str(at), body=body)
    return {"x-slack-request-timestamp": str(at), "x-slack-signature": signature}


def _stripe_sign(secret: str, _id: str, at: int, body: bytes) -> Headers:
    made = stripe_module.WebhookSignature.generate_signature_header(body.decode(), secret, at)
    return {"stripe-signature": made}


def _stripe_accepts(secret: str, headers: Headers, body: bytes) -> bool:
    verify = stripe_module.WebhookSignature.verify_header
    return verify(body.decode(), headers["stripe-signature"], secret, 300)


def _zendesk_mac(secret: str, written: str, body: bytes) -> str:
    mac = hmac.new(secret.encode(), written.encode() + body, hashlib.sha256)
    return base64.b64encode(mac.digest()).decode()


def _zendesk_sign(secret: str, _id: str, at: int, body: bytes) -> Headers:
    written = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
    return {
        "x-zendesk-webhook-signature-timestamp": written,
        "x-zendesk-webhook-signature": _zendesk_mac(secret, written, body),
    }


def _zendesk_accepts(secret: str, headers: Headers, body: bytes) -> bool:
    written = headers["x-zendesk-webhook-signature-timestamp"]
    age = NOW - datetime.fromisoformat(written).timestamp()
    wanted = _zendesk_mac(secret, written, body)
    return abs(age) <= 300 and headers["x-zendesk-webhook-signature"] == wanted


def _hub(name: str, algorithm: str):
    def sign(secret: str, _id: str, _at: int, body: bytes) -> Headers:
        return {name: f"{algorithm}={hmac.new(secret.encode(), body, algorithm).hexdigest()}"}

    def agrees(secret: str, headers: Headers, body: bytes) -> bool:
        return headers == sign(secret, "", 0, body)

    return sign, agrees


_github_sign, _github_accepts = _hub("x-hub-signature-256", "sha256")
_intercom_sign, _intercom_accepts = _hub("x-hub-signature", "sha1")

ORACLES = {
    "standardwebhooks": Oracle(
        "standard",
        whsec,
        lambda *given: _standard_sign(*given, "webhook-"),
        _standard_accepts,
    ),
    "svix": Oracle(
        "standard", whsec, lambda *given: _standard_sign(*given, "webhook-"), _svix_accepts
    ),
    "ed25519": Oracle("standard", whsk, _asymmetric_sign, _asymmetric_accepts),
    "slack": Oracle(
        "slack", bytes.hex, _slack_sign, lambda s, h, b: _slack(s).is_valid_request(b, h)
    ),
    "stripe": Oracle("stripe", bytes.hex, _stripe_sign, _stripe_accepts),
    "zendesk": Oracle("zendesk", bytes.hex, _zendesk_sign, _zendesk_accepts),
    "github": Oracle("github", bytes.hex, _github_sign, _github_accepts, timed=False),
    "intercom": Oracle("intercom", bytes.hex, _intercom_sign, _intercom_accepts, timed=False),
}
"""By who judges."""
