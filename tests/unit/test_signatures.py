"""Signatures of webhooks: the examples of the specifications, and what malformed ones are told."""

from base64 import b64encode

import pytest
from support.signing import NOW, accepts, delivery, verifier

from sidecar.errors import InvalidRequest, InvalidSignature
from sidecar.feedback.signatures.base import Delivery
from sidecar.feedback.signatures.registry import SCHEMES
from sidecar.feedback.signatures.standard_keys import key_of

WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&"
    b"response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIG"
    b"lgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)


def test_slacks_own_example():
    """docs.slack.dev/authentication/verifying-requests-from-slack"""
    headers = {
        "x-slack-request-timestamp": "1531420618",
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }
    ours = verifier("slack", "8f742231b10e8888abcd99yyyzzz85a5")
    assert accepts(ours, headers, SLACK_BODY, 1531420618)
    assert not accepts(ours, headers, SLACK_BODY, 1531420618 + 301)


def test_githubs_own_example():
    """docs.github.com/webhooks/securing, "Testing the webhook payload validation\""""
    signature = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    ours = verifier("github", "It's a Secret to Everybody")
    assert accepts(ours, {"x-hub-signature-256": f"sha256={signature}"}, b"Hello, World!")


def test_the_example_of_standard_webhooks_has_the_form_that_we_take():
    """The specification shows a signature of each version without a key: well-formed, not ours."""
    headers = {
        "webhook-id": "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
        "webhook-timestamp": "1674087231",
        "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= "
        "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
    }
    with pytest.raises(InvalidSignature, match="no signature fits"):
        verifier("standard", WHSEC).verify(delivery(headers, b"{}"), 1674087231)


def test_an_ed25519_key_is_that_of_rfc_8032():
    """Section 7.1, test 2: seed, public key, message and signature."""
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    text = b64encode(signature).decode()
    for private in (seed, seed + public):
        assert key_of("whsk_" + b64encode(private).decode()).sign(b"\x72") == text
    verifying = key_of("whpk_" + b64encode(public).decode())
    assert verifying.verifies(b"\x72", text)
    assert not verifying.verifies(b"\x73", text)
    with pytest.raises(ValueError, match="verifies only"):
        verifying.sign(b"\x72")


GOOD = {
    "standard": WHSEC,
    "basic": "user:password",
    **dict.fromkeys(["slack", "stripe", "zendesk", "github", "intercom", "bearer"], "secret"),
}
V1 = "v1," + b64encode(bytes(32)).decode()
MALFORMED = [
    ("standard", {"webhook-id": "a.b"}, "without a dot"),
    ("standard", {"webhook-id": "x" * 257}, "not an id"),
    ("standard", {"webhook-id": "a b"}, "not an id"),
    ("standard", {"webhook-id": "\udce9"}, "visible ASCII"),
    ("standard", {"webhook-timestamp": "-1"}, "Unix seconds"),
    ("standard", {"webhook-timestamp": "NaN"}, "Unix seconds"),
    ("standard", {"webhook-timestamp": "1e9"}, "Unix seconds"),
    ("standard", {"webhook-timestamp": "9" * 40}, "Unix seconds"),
    ("standard", {"webhook-timestamp": "١٧٩٥"}, "visible ASCII"),
    ("standard", {"webhook-signature": "v1"}, "list of signatures"),
    ("standard", {"webhook-signature": "v1,not*base64"}, "list of signatures"),
    ("standard", {"webhook-signature": "v1,AAAA"}, "list of signatures"),
    ("standard", {"webhook-signature": f"{V1}  {V1}"}, "list of signatures"),
    ("standard", {"webhook-signature": " ".join([V1] * 17)}, "more than 16"),
    ("standard", {"webhook-signature": "v1," + "A" * 5000}, "too long"),
    ("standard", {"webhook-signature": "v1,\x00"}, "visible ASCII"),
    ("slack", {"x-slack-signature": "v0=" + "A" * 64}, "64 hex digits"),
    ("slack", {"x-slack-signature": "v0=" + "0" * 63}, "64 hex digits"),
    ("slack", {"x-slack-request-timestamp": "0"}, "Unix seconds"),
    ("stripe", {"stripe-signature": f"t={NOW}"}, "not of the form"),
    ("stripe", {"stripe-signature": f"t={NOW},t={NOW},v1=" + "0" * 64}, "not of the form"),
    ("stripe", {"stripe-signature": f"t={NOW},v1=" + "0" * 64 + ",x"}, "not of the form"),
    ("stripe", {"stripe-signature": "t=-1,v1=" + "0" * 64}, "Unix seconds"),
    ("zendesk", {"x-zendesk-webhook-signature": "short"}, "base64 of 32 bytes"),
    ("zendesk", {"x-zendesk-webhook-signature-timestamp": "2026-02-31T00:00:00Z"}, "not a time"),
    ("zendesk", {"x-zendesk-webhook-signature-timestamp": "2026-02-01T00:00:00"}, "not a time"),
    ("github", {"x-hub-signature-256": "sha1=" + "0" * 64}, "64 hex digits"),
    ("intercom", {"x-hub-signature": "sha1=" + "0" * 39}, "40 hex digits"),
]


@pytest.mark.parametrize(("signature", "changed", "words"), MALFORMED)
def test_a_malformed_header_is_told_what_is_wrong_with_it(signature, changed, words):
    ours = verifier(signature, GOOD[signature])
    headers = ours.sign(b"{}", NOW, "msg_1") | changed
    with pytest.raises(InvalidRequest, match=words):
        ours.verify(delivery(headers, b"{}"), NOW)


@pytest.mark.parametrize("signature", GOOD)
def test_each_header_is_needed_and_only_once(signature):
    ours = verifier(signature, GOOD[signature])
    signed = ours.sign(b"{}", NOW, "msg_1")
    for name in signed:
        without = {other: (value,) for other, value in signed.items() if other != name}
        with pytest.raises(InvalidSignature, match=f"{name} is missing"):
            ours.verify(Delivery(without, b"{}"), NOW)
        twice = without | {name: (signed[name], signed[name])}
        with pytest.raises(InvalidRequest, match="there 2 times"):
            ours.verify(Delivery(twice, b"{}"), NOW)


@pytest.mark.parametrize(
    ("signature", "header"),
    [("bearer", "Basic secret"), ("bearer", "secret"), ("basic", "Bearer x"), ("basic", "Basic x")],
)
def test_another_kind_of_authorization_is_refused(signature, header):
    ours = verifier(signature, GOOD[signature])
    assert not accepts(ours, {"authorization": header}, b"{}")


@pytest.mark.parametrize(
    ("signature", "header"),
    [("standard", "svix-"), ("stripe", "X-Other-Signature"), ("github", "X-Signature"),
     ("intercom", "X-Signature"), ("bearer", "X-API-Key")],
)  # fmt: skip
def test_a_product_may_have_other_names_for_its_headers(signature, header):
    ours = verifier(signature, GOOD[signature], header=header)
    headers = ours.sign(b"{}", NOW, "msg_1")
    assert all(name.startswith(header.lower()) for name in headers)
    assert accepts(ours, headers, b"{}")
    assert not accepts(verifier(signature, GOOD[signature]), headers, b"{}")


def test_a_bearer_in_a_header_of_its_own_is_the_bare_secret():
    ours = verifier("bearer", "secret", header="X-API-Key")
    assert ours.sign(b"", NOW, "") == {"x-api-key": "secret"}
    assert not accepts(ours, {"x-api-key": "Bearer secret"}, b"")


def test_a_refusal_says_by_how_much_the_clocks_disagree():
    ours = verifier("standard", WHSEC)
    headers = ours.sign(b"{}", NOW, "msg_1")
    with pytest.raises(InvalidSignature, match="signed 400 s ago, more than the 300 s"):
        ours.verify(delivery(headers, b"{}"), NOW + 400)
    with pytest.raises(InvalidSignature, match="400 s ahead of this clock"):
        ours.verify(delivery(headers, b"{}"), NOW - 400)


UNUSABLE = [
    ("standard", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begin with whsec_"),
    ("standard", "whsec_not base64!", "not base64"),
    ("standard", "whsec_é", "not base64"),
    ("standard", "whsec_AAAA", "holds 3 bytes"),
    ("standard", "whpk_AAAA", "holds 3 bytes"),
    ("standard", "whsk_AAAA", "holds 3 bytes"),
    ("slack", "", "is empty"),
    ("github", " spaced", "begins or ends with a space"),
    ("bearer", "é", "no header can carry"),
    ("basic", "no-colon", "user:password"),
    ("basic", ":nobody", "user:password"),
    ("none", "anything", "is not used"),
]


@pytest.mark.parametrize(("signature", "secret", "words"), UNUSABLE)
def test_a_secret_that_cannot_be_used_is_refused_and_not_quoted(signature, secret, words):
    with pytest.raises(ValueError, match=words) as refused:
        SCHEMES[signature].key(secret)
    assert not secret or secret not in str(refused.value)


@pytest.mark.parametrize("signature", GOOD)
def test_without_a_secret_there_is_no_verifier(signature):
    with pytest.raises(ValueError, match="has no secret"):
        verifier(signature)


@pytest.mark.parametrize("signature", GOOD)
def test_a_verifier_does_not_show_its_secret(signature):
    secret = GOOD[signature]
    assert secret not in repr(verifier(signature, secret))
