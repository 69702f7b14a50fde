"""P15: every byte that is signed counts, any live secret will do, and nothing that is sent can make
a verifier fail instead of refuse."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.signing import NOW, ORACLES, accepts, delivery, verifier, whpk

from sidecar.errors import InvalidRequest, InvalidSignature
from sidecar.feedback.signatures.base import Delivery
from sidecar.feedback.signatures.registry import SCHEMES

BODY = b'{"rollout_id": "r1", "thumbs": "up"}'
SIGNING = {name: oracle for name, oracle in ORACLES.items() if name != "svix"}
SECRETS = {
    "standard": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "basic": "user:password-of-the-user",
}
HEADERS = [
    *("webhook-id", "webhook-timestamp", "webhook-signature"),
    *("x-slack-signature", "x-slack-request-timestamp", "x-hub-signature", "x-hub-signature-256"),
    *("x-zendesk-webhook-signature", "x-zendesk-webhook-signature-timestamp"),
    *("stripe-signature", "authorization"),
]


def ours(signature, **kept):
    secret = SECRETS.get(signature, "a-secret-of-more-than-16")
    return verifier(signature, secret, **kept)


@pytest.mark.parametrize("name", SIGNING)
def test_every_single_byte_counts(name):
    oracle = SIGNING[name]
    secret = oracle.secret(b"s" * 32)
    headers = oracle.sign(secret, "msg_1", NOW, BODY)
    judge = verifier(oracle.signature, secret)
    assert accepts(judge, headers, BODY)
    for place in range(len(BODY)):
        for other in (BODY[place] ^ 1, BODY[place] ^ 0x80):
            assert not accepts(judge, headers, BODY[:place] + bytes([other]) + BODY[place + 1 :])
    for header, value in headers.items():
        for place in range(len(value)):
            for other in (chr(ord(value[place]) ^ 1), chr(ord(value[place]) ^ 32), "A", "0", "é"):
                if other != value[place]:
                    changed = value[:place] + other + value[place + 1 :]
                    assert not accepts(judge, {**headers, header: changed}, BODY), (header, changed)
        assert not accepts(judge, {**headers, header: value[:-1]}, BODY)
        assert not accepts(judge, {**headers, header: value + "="}, BODY)


@pytest.mark.parametrize("name", SIGNING)
def test_a_body_that_grew_or_shrank_is_refused(name):
    oracle = SIGNING[name]
    secret = oracle.secret(b"s" * 32)
    headers = oracle.sign(secret, "msg_1", NOW, BODY)
    for changed in (b"", BODY[:-1], BODY + b" ", b" " + BODY, BODY + b"\x00", BODY * 2):
        assert not accepts(verifier(oracle.signature, secret), headers, changed)


@pytest.mark.parametrize("name", SIGNING)
def test_any_of_the_live_secrets_will_do_and_no_other(name):
    oracle = SIGNING[name]
    old, new, foreign = (oracle.secret(letter * 32) for letter in (b"o", b"n", b"f"))
    judge = verifier(oracle.signature, old, new)
    for secret, live in ((old, True), (new, True), (foreign, False)):
        assert accepts(judge, oracle.sign(secret, "msg_1", NOW, BODY), BODY) is live


@pytest.mark.parametrize("name", ["standardwebhooks", "ed25519", "stripe"])
def test_a_sender_that_replaces_its_secret_signs_with_both(name):
    oracle = SIGNING[name]
    old, new = (oracle.secret(letter * 32) for letter in (b"o", b"n"))
    both = oracle.sign(old, "msg_1", NOW, BODY)
    header = "stripe-signature" if name == "stripe" else "webhook-signature"
    later = oracle.sign(new, "msg_1", NOW, BODY)[header]
    both[header] += f",{later.partition(',')[2]}" if name == "stripe" else f" {later}"
    for secret in (old, new):
        assert accepts(verifier(oracle.signature, secret), both, BODY)


def test_a_public_key_verifies_what_its_private_half_signed():
    oracle = SIGNING["ed25519"]
    secret = oracle.secret(b"s" * 32)
    headers = oracle.sign(secret, "msg_1", NOW, BODY)
    assert accepts(verifier("standard", whpk(secret)), headers, BODY)
    assert not accepts(verifier("standard", whpk(oracle.secret(b"o" * 32))), headers, BODY)


def test_one_version_is_never_taken_for_the_other():
    """The bytes of a public key are no secret: an HMAC keyed with them proves nothing."""
    public = whpk(SIGNING["ed25519"].secret(b"s" * 32))
    as_secret = public.replace("whpk_", "whsec_")
    forged = SIGNING["standardwebhooks"].sign(as_secret, "msg_1", NOW, BODY)
    assert not accepts(verifier("standard", public), forged, BODY)
    forged["webhook-signature"] = forged["webhook-signature"].replace("v1,", "v1a,")
    assert not accepts(verifier("standard", public), forged, BODY)


@pytest.mark.parametrize(
    ("tolerance", "age", "taken"),
    [(300, 300, True), (300, 300.5, False), (60, 61, False), (600, 599, True), (600, -601, False)],
)
def test_the_window_is_as_wide_as_it_is_set(tolerance, age, taken):
    judge = ours("standard", tolerance_seconds=tolerance)
    headers = judge.sign(BODY, NOW, "msg_1")
    assert accepts(judge, headers, BODY, NOW + age) is taken


@pytest.mark.parametrize("name", SIGNING)
def test_the_same_delivery_has_the_same_id(name):
    oracle = SIGNING[name]
    secret = oracle.secret(b"s" * 32)
    judge = verifier(oracle.signature, secret)
    sent = delivery(oracle.sign(secret, "msg_1", NOW, BODY), BODY)
    again = delivery(oracle.sign(secret, "msg_1", NOW, BODY), BODY)
    other = delivery(oracle.sign(secret, "msg_2", NOW, BODY + b" "), BODY + b" ")
    assert judge.verify(sent, NOW) == judge.verify(again, NOW + 200)
    assert judge.verify(sent, NOW) != judge.verify(other, NOW)


TEXTS = st.text(max_size=30) | st.sampled_from(
    ["v1,AAAA", "v1a,AAAA", "v0=" + "0" * 64, f"t={NOW},v1=" + "0" * 64, str(NOW), "sha1=",
     "Bearer", "Bearer \udce9", "Basic \x00", "Basic =", "2026-02-31T00:00:00Z", "-1", "NaN",
     "9" * 5000]
)  # fmt: skip


@pytest.mark.parametrize("signature", [name for name in SCHEMES if name != "none"])
@settings(max_examples=25, deadline=None)
@given(
    headers=st.dictionaries(st.sampled_from(HEADERS), st.lists(TEXTS, max_size=2), max_size=6),
    body=st.binary(max_size=20),
    now=st.floats(0, 4e9),
)
def test_whatever_the_headers_are_it_is_a_refusal(signature, headers, body, now):
    with pytest.raises((InvalidRequest, InvalidSignature)) as refused:
        ours(signature).verify(Delivery(headers, body), now)
    assert refused.value.status in {400, 401}
    assert "a-secret" not in str(refused.value)
