"""What a session lets near its prompt is what its config says, whoever writes the candidates."""

import pytest

from sidecar.core.prompt import Wildcard
from sidecar.engine import algorithms
from sidecar.engine.guards import Guards, Lock, redacted, told
from sidecar.engine.options import Options
from sidecar.errors import InvalidRequest

BASE = "You are Ada of {shop}.\n\nAnswer in a friendly tone for {date}.\n\nNever promise refunds."
HEAD, TAIL = "You are Ada of {shop}.", "Never promise refunds."
LOCKED = Guards(locked_prefix=HEAD, locked_suffix=TAIL)


def config(algorithm="gepa", baseline=BASE, **safety):
    prompt = {"messages": [{"role": "system", "pattern": baseline}]}
    section = {"algorithm": algorithm, "initial_prompt": prompt, algorithm: {"safety": safety}}
    return algorithms.parse({"prompt_learning": section})


# Users' words


COMMENT = (
    "I am ada@example.com, call +49 (30) 123-456, card 4111 1111 1111 1111, order 20231224, "
    "password: hunter2, key sk-abcdefghijklmnop1234. At most 100 words, please."
)


def test_redacted_words_are_without_addresses_numbers_and_secrets_and_still_say_what_is_wanted():
    plain = redacted(COMMENT)
    for secret in ("ada@", "example.com", "30", "123", "4111", "20231224", "hunter2", "sk-"):
        assert secret not in plain
    assert "At most 100 words, please." in plain


def test_words_reach_the_model_as_the_session_says():
    assert told([COMMENT], "off") == ()
    assert told([COMMENT], "redacted") == (redacted(COMMENT),)
    assert told([COMMENT], "full") == (COMMENT,)


@pytest.mark.parametrize("algorithm", ["gepa", "mipro"])
def test_they_are_redacted_unless_the_config_says_otherwise(algorithm):
    assert config(algorithm).guards == Guards("redacted", "", "", "auto")
    for mode in ("off", "redacted", "full"):
        assert config(algorithm, feedback_text=mode).guards.feedback_text == mode


# Locked parts


def test_the_open_part_changes_and_the_locked_parts_do_not():
    lock = Lock.of(LOCKED, BASE)
    assert lock.opened(BASE) == "Answer in a friendly tone for {date}."
    closed = lock.closed("Be brief. {date}\n")
    assert closed == f"{HEAD}\n\nBe brief. {{date}}\n\n{TAIL}"
    assert lock.holds(closed)
    assert lock.closed(lock.opened(BASE)) == BASE


def test_a_model_that_repeats_the_locked_parts_does_not_double_them():
    lock = Lock.of(LOCKED, BASE)
    assert lock.closed(f"{HEAD}\nBe brief.\n{TAIL}") == lock.closed("Be brief.")


def test_without_locked_parts_nothing_is_held_back():
    lock = Lock.of(Guards(), BASE)
    assert (lock.opened(BASE), lock.closed("x"), lock.holds("x")) == (BASE, "x", True)


def test_a_prompt_that_is_locked_as_a_whole_can_only_grow():
    lock = Lock.of(Guards(locked_prefix=BASE), BASE)
    assert lock.opened(BASE) == ""
    assert lock.closed("More.").startswith(BASE)


@pytest.mark.parametrize(
    "text", ["", HEAD, TAIL, HEAD + TAIL, BASE.lower(), BASE + "!", "!" + BASE]
)
def test_a_text_without_them_does_not_hold(text):
    assert not Lock.of(LOCKED, BASE).holds(text)


def test_only_the_open_parts_placeholders_are_asked_for():
    holes = [Wildcard("shop", True), Wildcard("date", True)]
    assert Lock.of(LOCKED, BASE).free(holes, BASE) == ["date"]


# What is no guard


@pytest.mark.parametrize(
    ("safety", "name"),
    [
        ({"feedback_text": "some"}, "feedback_text"),
        ({"feedback_text": True}, "feedback_text"),
        ({"promotion": "never"}, "promotion"),
        ({"locked_prefix": 7}, "locked_prefix"),
        ({"locked_prefix": "I am"}, "locked_prefix"),
        ({"locked_suffix": "refunds"}, "locked_suffix"),
        ({"locked_prefix": BASE, "locked_suffix": TAIL}, "locked_prefix"),
        ({"locked_prefx": "x"}, "locked_prefx"),
    ],
)
@pytest.mark.parametrize("algorithm", ["gepa", "mipro"])
def test_a_wrong_guard_is_refused_by_its_name(algorithm, safety, name):
    with pytest.raises(InvalidRequest) as error:
        config(algorithm, **safety)
    assert error.value.param == f"config_body.prompt_learning.{algorithm}.safety.{name}"


@pytest.mark.parametrize("algorithm", ["gepa", "mipro"])
def test_guards_survive_the_store(algorithm):
    wanted = config(algorithm, locked_prefix=HEAD, feedback_text="off", promotion="manual")
    assert algorithms.load(algorithm, wanted.dump()) == wanted
    old = {name: value for name, value in wanted.dump().items() if name != "guards"}
    assert algorithms.load(algorithm, old).guards == Guards()


def test_what_waits_for_a_person_serves_no_more_than_canaries_unless_the_config_says_so():
    held = config(promotion="manual").options
    assert (held.share_max, held.share_challengers) == (0.10, Options().share_unsure)
    assert config(promotion="manual", share_max=0.5).options.share_max == 0.5
    assert config().options == Options()
