"""P15: what others' code says of a webhook's signature, we say too, or we are stricter."""

import contextlib
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.signing import NOW, ORACLES, accepts, verifier

SECRETS = st.binary(min_size=32, max_size=32)
IDS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
BODIES = st.text(st.characters(exclude_categories=["Cs"]), max_size=80).map(str.encode)
ODD = [
    *("", " ", "v1,", "v1", "v0=", "t=,v1=", "sha256=", "\x00", "é", "\u0663"),
    *("-1", "NaN", "inf", "1e9", "9" * 40, f" {NOW}", f"+{NOW}", f"{NOW}.5", f"0{NOW}"),
]
some = settings(max_examples=10, deadline=None)
more = settings(max_examples=60, deadline=None)


@pytest.mark.parametrize("name", ORACLES)
@some
@given(random=SECRETS, own_id=IDS, age=st.integers(-300, 300), body=BODIES)
def test_what_an_oracle_signs_is_accepted(name, random, own_id, age, body):
    oracle = ORACLES[name]
    secret = oracle.secret(random)
    headers = oracle.sign(secret, own_id, NOW - age, body)
    assert oracle.accepts(secret, headers, body)
    assert accepts(verifier(oracle.signature, secret), headers, body)


@pytest.mark.parametrize("name", ORACLES)
@some
@given(random=SECRETS, own_id=IDS, age=st.integers(-300, 300), body=BODIES)
def test_what_we_sign_an_oracle_accepts(name, random, own_id, age, body):
    oracle = ORACLES[name]
    secret = oracle.secret(random)
    headers = verifier(oracle.signature, secret).sign(body, NOW - age, own_id)
    assert oracle.accepts(secret, headers, body)


def spoilt(headers, body, rng):
    """The same delivery, changed in one to three places; or hardly the same."""
    parts = {**headers, "body": body.decode()}
    for _ in range(rng.randint(1, 3)):
        name = rng.choice(list(parts))
        text = parts[name]
        place = rng.randint(0, len(text))
        changes = [
            text[:place] + text[place + 1 :],
            text[:place] + rng.choice("A0=, .\n\x00é٣") + text[place:],
            f"{text} {text}",
            text.swapcase(),
            text.replace(rng.choice("=,v1 .t0Z"), rng.choice("=, 1.")),
            rng.choice(ODD),
        ]
        parts[name] = rng.choice(changes)
    return parts, parts.pop("body").encode()


@pytest.mark.parametrize("name", ORACLES)
@more
@given(seed=st.integers(0, 2**64), age=st.integers(-310, 310))
def test_what_an_oracle_refuses_is_refused(name, seed, age):
    oracle, rng = ORACLES[name], Random(seed)
    secret = oracle.secret(rng.randbytes(32))
    signed = oracle.sign(secret, "msg_1", NOW - age, b'{"rollout_id": "r"}')
    headers, body = spoilt(signed, b'{"rollout_id": "r"}', rng)
    accepted = False
    with contextlib.suppress(Exception):  # its way of refusing what it did not foresee
        accepted = bool(oracle.accepts(secret, headers, body))
    assume(not accepted)
    assert not accepts(verifier(oracle.signature, secret), headers, body)


@pytest.mark.parametrize("name", [name for name, oracle in ORACLES.items() if oracle.timed])
@pytest.mark.parametrize("age", [299, 300, 301, -299, -300, -301])
def test_the_edges_of_the_window_are_where_the_oracle_has_them(name, age):
    oracle = ORACLES[name]
    secret = oracle.secret(bytes(32))
    headers = oracle.sign(secret, "msg_1", NOW - age, b"{}")
    theirs = False
    with contextlib.suppress(Exception):
        theirs = bool(oracle.accepts(secret, headers, b"{}"))
    assert accepts(verifier(oracle.signature, secret), headers, b"{}") is (abs(age) <= 300)
    if (name, age) != ("stripe", -301):  # Stripe's own takes what comes from the future
        assert theirs is (abs(age) <= 300)
