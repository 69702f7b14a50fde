import pytest

from sidecar.core.prompt import Pattern, Wildcard, locate, substitute

NAME, DATE = Wildcard("name"), Wildcard("date", required=False)


@pytest.mark.parametrize(
    ("prompt", "text", "values"),
    [
        ("Be kind.", "Be kind.", {}),
        ("Be kind.", "  Be kind.\n", {}),
        ("  Be kind.\n", "Be kind.", {}),
        ("Be kind.", "Be kinder.", None),
        ("Hi {name}!", "Hi Ann!", {"name": "Ann"}),
        ("Hi {name}!", "\nHi Ann! ", {"name": "Ann"}),
        ("Hi {name}!", "Hi !", None),
        ("Hi {name}!", "Hi ", None),
        ("{name}", "Ann", {"name": "Ann"}),
        ("{date}", "", {"date": ""}),
        ("On {date}: {name}.", "On : Ann.", {"date": "", "name": "Ann"}),
        ("On {date}: {name}.", "On a: b: c.", {"date": "a", "name": "b: c"}),
        ("{name} and {name}", "Ann and Ann", {"name": "Ann"}),
        ("{name} and {name}", "Ann and Bob", None),
        ("{name}, {date}, {name}!", "Ann, 1, Ann!", {"name": "Ann", "date": "1"}),
        ("{name}, {name}, {date}!", "Ann, Bob, 1!", None),
        ("{name}, {name}, {date}!", "Ann, Ann, 1!", {"name": "Ann", "date": "1"}),
        ("{date}{name}", "xy", {"date": "", "name": "xy"}),
        ("{name}{date}", "xy", {"name": "x", "date": "y"}),
        ("{other} {name}", "{other} Ann", {"name": "Ann"}),
        ('{"json": {name}}', '{"json": 1}', {"name": "1"}),
        ("Notes: {date}", "Notes: ", {"date": ""}),
        ("ab{name}ba", "aba", None),
    ],
)
def test_a_prompt_recognises_its_own_text(prompt, text, values):
    assert Pattern.parse(prompt, [NAME, DATE]).match(text) == values


def test_values_are_carried_over_and_never_expanded_again():
    baseline = Pattern.parse("Hi {name}, it is {date}.", [NAME, DATE])
    candidate = Pattern.parse("{date}! {name}! {name}! {unknown}", baseline.holes)
    messages = [{"role": "system", "content": "Hi {date}, it is Monday."}]
    assert substitute(messages, baseline, candidate) == [
        {"role": "system", "content": "Monday! {date}! {date}! {unknown}"}
    ]


def test_other_fields_role_and_messages_stay():
    messages = [
        {"role": "system", "content": "Something else."},
        {"role": "developer", "content": "A", "name": "n"},
        {"role": "user", "content": "A"},
        {"role": "system", "content": "A"},
    ]
    changed = substitute(messages, Pattern.parse("A"), Pattern.parse("B"))
    assert changed == [messages[0], {**messages[1], "content": "B"}, messages[2], messages[3]]
    assert messages[1]["content"] == "A"


def test_in_content_parts_only_the_matching_text_changes():
    image = {"type": "image_url", "image_url": {"url": "A"}}
    cached = {"type": "text", "text": "A", "cache_control": {"type": "ephemeral"}}
    messages = [{"role": "system", "content": [image, {"type": "text", "text": "x"}, cached]}]
    changed = substitute(messages, Pattern.parse("A"), Pattern.parse("B"))
    parts = changed[0]["content"]
    assert parts == [image, {"type": "text", "text": "x"}, {**cached, "text": "B"}]


def test_without_a_system_message_one_is_put_first():
    user = {"role": "user", "content": "hi"}
    changed = substitute([user], Pattern.parse("A"), Pattern.parse("B"))
    assert changed == [{"role": "system", "content": "B"}, user]


def test_without_a_system_message_an_empty_prompt_is_none():
    user = {"role": "user", "content": "hi"}
    assert substitute([user], Pattern.parse("A"), Pattern.parse("")) == [user]


def test_a_baseline_that_needs_values_is_not_made_up():
    user = {"role": "user", "content": "hi"}
    assert substitute([user], Pattern.parse("{name}", [NAME]), Pattern.parse("B")) is None


@pytest.mark.parametrize("content", ["Other", None, 7, [], [{"type": "text"}], ["A"]])
def test_a_foreign_system_message_is_left_alone(content):
    messages = [{"role": "system", "content": content}, {"role": "user", "content": "A"}]
    assert locate(messages, Pattern.parse("A")) is None


def test_the_same_text_keeps_the_applications_white_space():
    messages = [{"role": "system", "content": " A\n"}]
    assert substitute(messages, Pattern.parse("A"), Pattern.parse("A")) == messages
