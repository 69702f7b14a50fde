import pytest

from sidecar.core.sse import SseParser


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", ["a"]),
        (b"data:a\r\n\r\n", ["a"]),
        (b"data: a\r\rdata: b\r\r", ["a"]),
        (b"data: a\r\rdata: b\r\rx", ["a", "b"]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b": comment\nevent: e\nid: 1\nretry: 5\ndata:  two\n\n", [" two"]),
        (b"data\n\n", [""]),
        (b"\n\n\n", []),
        (b"event: only\n\n", []),
        (b"data: unfinished", []),
        (b"data: unfinished\n", []),
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b"\xef\xbbdata: a\n\n", []),
        ("data: ü\n\n".encode(), ["ü"]),
        (b"data: \xff\n\n", ["\ufffd"]),
        (b"database: a\n\n", []),
        (b"data: a: b\n\n", ["a: b"]),
    ],
)
def test_a_stream_holds_these_events(stream, events):
    assert SseParser().feed(stream) == events
    parser = SseParser()
    assert [e for i in range(len(stream)) for e in parser.feed(stream[i : i + 1])] == events


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_an_event_over_the_limit_is_skipped_and_costs_no_memory(step):
    parser = SseParser(max_event_bytes=10)
    stream = b"data: " + b"x" * 500 + b"\n\n" + b"data: " + b"y" * 10 + b"\n\n"
    events = []
    for i in range(0, len(stream), step):
        events += parser.feed(stream[i : i + step])
        assert len(parser._rest) <= 20
    assert events == ["y" * 10]


def test_many_lines_over_the_limit_are_skipped():
    parser = SseParser(max_event_bytes=10)
    assert parser.feed(b"data: 1234\n" * 50 + b"\ndata: ok\n\n") == ["ok"]
