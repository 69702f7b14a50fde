import pytest

from sidecar.core.conversation import MAX_LOOKUPS, Chain, Reply, ToolCall, scope

MINE = scope("s1", "Bearer a")


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **fields):
    return {"role": "assistant", "content": text, **fields}


def test_the_next_turn_is_found_under_the_answers_key():
    first = [{"role": "system", "content": "It is Monday."}, user("hi")]
    key = Chain(first, MINE).answered(Reply("hello"))
    turn = [{"role": "system", "content": "Tuesday."}, user("hi"), assistant("hello"), user("so")]
    assert Chain(turn, MINE).lookups == (key,)


def test_tool_calls_are_part_of_the_answer():
    reply = Reply("", (ToolCall("c1", "f", '{"b": 1, "a": 2}'),))
    key = Chain([user("hi")], MINE).answered(reply)
    function = {"name": "f", "arguments": '{"a":2,"b":1}'}
    call = {"id": "c1", "type": "function", "function": function}
    tool = {"role": "tool", "tool_call_id": "c1", "content": "42"}
    turn = [user("hi"), assistant(None, tool_calls=[call]), tool]
    assert Chain(turn, MINE).lookups == (key,)
    other = [user("hi"), assistant(None, tool_calls=[{**call, "id": "c2"}]), tool]
    assert Chain(other, MINE).lookups != (key,)


@pytest.mark.parametrize(
    "content", ["hello", " hello\n", [{"type": "text", "text": "hello"}], [{"text": "hel"}, "lo"]]
)
def test_an_answer_is_the_same_however_it_is_written(content):
    key = Chain([user("hi")], MINE).answered(Reply("hello"))
    assert Chain([user("hi"), assistant(content)], MINE).lookups == (key,)


def test_what_was_not_answered_is_no_conversation():
    assert Chain([user("hi"), user("hi")], MINE).lookups == ()


def test_the_newest_answers_come_first_and_are_few():
    turns = [m for i in range(20) for m in (user(str(i)), assistant(str(i)))]
    lookups = Chain(turns, MINE).lookups
    assert len(lookups) == MAX_LOOKUPS
    assert lookups[0] == Chain(turns, MINE).key
    assert lookups[1] == Chain(turns[:-2], MINE).key


def test_tenants_and_sessions_do_not_meet():
    turn = [user("hi"), assistant("hello")]
    scopes = [scope("s1", "a"), scope("s1", "b"), scope("s2", "a"), scope("s1a", ""), scope("", "")]
    assert len({Chain(turn, one).key for one in scopes}) == len(scopes)


def test_images_count():
    def picture(url):
        return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]

    assert Chain(picture("a"), MINE).key != Chain(picture("b"), MINE).key


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"role": 7, "content": {"a": 1}},
        {"role": "assistant", "content": [7, None, {}], "tool_calls": [7, {"function": 8}]},
        {"role": "assistant", "content": "\ud800", "tool_calls": "no"},
        {"role": "user", "content": [{"n": [[[[1]]]], "deep": None}]},
    ],
)
def test_odd_messages_have_keys_too(message):
    assert Chain([message], MINE).key == Chain([dict(message)], MINE).key


def test_nesting_beyond_what_can_be_written_is_hashed_all_the_same():
    deep: list = []
    for _ in range(300):
        deep = [deep]
    assert Chain([{"role": "user", "content": [{"x": deep}]}], MINE).key
