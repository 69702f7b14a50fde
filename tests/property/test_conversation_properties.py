from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.conversation import Chain, Reply, ToolCall, scope

TEXTS = st.text(max_size=6)
CALLS = st.builds(ToolCall, id=TEXTS, name=TEXTS, arguments=TEXTS)
REPLIES = st.builds(Reply, text=TEXTS, tool_calls=st.lists(CALLS, max_size=2).map(tuple))


def as_message(reply):
    calls = [
        {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
        for c in reply.tool_calls
    ]
    message = {"role": "assistant", "content": reply.text or None}
    return {**message, "tool_calls": calls} if calls else message


@given(st.lists(st.tuples(TEXTS, REPLIES), min_size=1, max_size=5), TEXTS)
def test_every_turn_finds_the_one_before(turns, system):
    mine, history, key = scope("s", "k"), [], None
    for said, reply in turns:
        history.append({"role": "user", "content": said})
        chain = Chain([{"role": "system", "content": system}, *history], mine)
        if key is not None:
            assert key in chain.lookups
        key = chain.answered(reply)
        history.append(as_message(reply))


@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), TEXTS), max_size=4),
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), TEXTS), max_size=4),
)
def test_other_words_have_other_keys(one, two):
    def key(turns):
        return Chain([{"role": r, "content": t} for r, t in turns], scope("s", "k")).key

    same = [(r, t.strip()) for r, t in one] == [(r, t.strip()) for r, t in two]
    assert (key(one) == key(two)) == same
