"""One text has one fingerprint, whichever way a chat front end got hold of it."""

import unicodedata
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.fingerprint import fingerprint, is_fingerprint

TEXT = "Grüße!\n\n1. First:\u00a0open\n   the box.\n2. Then wait."
SAME = (
    TEXT + "\n",
    "\ufeff  " + TEXT,
    TEXT.replace("\n", "\r\n"),
    TEXT.replace("\u00a0", " "),
    TEXT.replace("\n   ", "\n\t"),
    " ".join(TEXT.split()),
    unicodedata.normalize("NFD", TEXT),
)


@pytest.mark.parametrize("same", SAME)
def test_composition_and_white_space_do_not_matter(same):
    assert fingerprint(same) == fingerprint(TEXT)


@pytest.mark.parametrize("other", [TEXT.lower(), TEXT[:-1], TEXT.replace(" ", ""), f"**{TEXT}**"])
def test_another_text_has_another_fingerprint(other):
    assert fingerprint(other) != fingerprint(TEXT)


@pytest.mark.parametrize("blank", ["", " \n\t", "\u3000\ufeff"])
def test_a_blank_text_has_none(blank):
    assert fingerprint(blank) is None


def test_it_is_what_the_documented_recipe_gives():
    assert fingerprint("Yes.") == sha256(b"Yes.").hexdigest()
    plain = "Grüße! 1. First: open the box. 2. Then wait."
    assert fingerprint(TEXT) == sha256(plain.encode()).hexdigest()


def test_half_a_surrogate_pair_is_what_a_browsers_encoder_makes_of_it():
    assert fingerprint("a\ud83d") == sha256("a\ufffd".encode()).hexdigest()


@given(st.text())
def test_every_text_has_one_and_it_stays_the_same(text):
    found = fingerprint(text)
    assert found is None or is_fingerprint(found)
    assert fingerprint(f" {text}\n") == found
