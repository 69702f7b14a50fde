from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.sse import SseParser

LINES = st.text(
    alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8
)


@settings(max_examples=300)
@given(
    st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=5),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.data(),
)
def test_any_cut_gives_the_same_events(payloads, newline, space, data):
    gap = " " if space else ""
    if not space:
        payloads = [[line.removeprefix(" ") for line in lines] for lines in payloads]
    text = "".join(
        "".join(f"data:{gap}{line}{newline}" for line in lines) + newline for lines in payloads
    )
    # A CR at the very end may be half of a CRLF, so what follows decides.
    stream = text.encode() + b": end\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    parser, events = SseParser(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        events += parser.feed(stream[start:end])
    assert events == ["\n".join(lines) for lines in payloads]


@given(st.binary(max_size=200), st.integers(1, 20), st.integers(4, 40))
def test_any_bytes_any_cut_any_limit(stream, step, limit):
    whole = SseParser(limit).feed(stream)
    parser = SseParser(limit)
    cut = [e for i in range(0, len(stream), step) for e in parser.feed(stream[i : i + step])]
    assert cut == whole


@given(
    st.lists(st.sampled_from([b"data:", b" x", b"\r", b"\n", b"\n\n", b":", b"yy"]), max_size=40)
)
def test_any_likely_bytes_any_cut(pieces):
    parser = SseParser(6)
    assert [e for p in pieces for e in parser.feed(p)] == SseParser(6).feed(b"".join(pieces))
