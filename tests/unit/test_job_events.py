"""Following a job's events: the framing, and connections that break."""

import asyncio

import pytest
from support.job_server import EVAL, JOB, KEY, POLICY, event, framed, job_server
from support.session_client import VARIABLES

from sidecar.client import ApiError, EvalJob, PolicyOptimizationJob
from sidecar.client import events as client_events

STREAM = f"{POLICY}/{JOB}/events/stream"
END = event(3, "job.completed", best_score=0.5)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def server():
    async with job_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(client_events, "PAUSES", (0.001, 0.001, 0.001))


async def in_thread(job, **options):
    return await asyncio.to_thread(lambda: list(job.stream(**options)))


async def awaited(job, **options):
    return [event async for event in job.stream_async(**options)]


@pytest.fixture(params=[in_thread, awaited], ids=["blocking", "awaited"])
def stream(request):
    return request.param


@pytest.fixture
def job(server):
    return PolicyOptimizationJob.from_job_id(JOB, backend_url=server.url, api_key=KEY)


def seqs(events):
    return [event["seq"] for event in events]


async def test_events_come_in_order_until_the_job_has_ended(server, job, stream):
    server.streams = [[framed(event(1)), b": heartbeat\n\n", framed(event(2), END), b"data: more"]]
    found = await stream(job)
    assert found == [event(1), event(2), END]
    assert server.called() == [STREAM]
    assert server.headers[0]["Accept"] == "text/event-stream"
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_pieces_may_be_cut_anywhere_and_lines_end_as_they_like(server, job, stream, size):
    whole = framed(event(1, word="größer"), event(2)).replace(b"\n", b"\r\n") + framed(END)
    server.streams = [[whole[i : i + size] for i in range(0, len(whole), size)]]
    assert seqs(await stream(job)) == [1, 2, 3]


async def test_an_event_of_a_megabyte_is_one_event(server, job, stream):
    server.streams = [[framed(event(1, text="x" * 1_000_000), END)]]
    assert len((await stream(job))[0]["data"]["text"]) == 1_000_000


async def test_a_broken_connection_is_taken_up_after_the_last_event(server, job, stream):
    server.streams = [[framed(event(1)), b"id: 2\ndata: {"], [], [framed(event(2))], [framed(END)]]
    assert seqs(await stream(job)) == [1, 2, 3]
    last = [
        headers.get("Last-Event-ID", headers.get("Last-event-id")) for headers in server.headers
    ]
    assert last == [None, "1", "1", "2"]


async def test_a_server_that_begins_again_is_not_heard_twice(server, job, stream):
    server.streams = [[framed(event(1), event(2))], [framed(event(1), event(2), END)]]
    assert seqs(await stream(job)) == [1, 2, 3]


async def test_a_stream_may_begin_later(server, job, stream):
    server.streams = [[framed(event(1), event(2), END)]]
    assert seqs(await stream(job, since_seq=2)) == [3]
    assert server.called() == [f"{STREAM}?since_seq=2"]


@pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b'data: {"type": "sse.stream.ended"}\n\n'])
async def test_a_server_may_say_that_it_is_over(server, job, stream, end):
    server.streams = [[framed(event(1)), end]]
    assert seqs(await stream(job)) == [1]


async def test_what_is_no_event_is_passed_over(server, job, stream):
    noise = b"event: x\nretry: 5\n\ndata: {\n\ndata: []\n\ndata\n\n\n\n"
    server.streams = [[noise, framed(END)]]
    assert seqs(await stream(job)) == [3]


@pytest.mark.parametrize("what", ["job.completed", "job.failed", "job.cancelled"])
async def test_every_end_of_a_job_ends_its_stream(server, stream, what):
    job = EvalJob.from_job_id(EVAL, backend_url=server.url)
    server.streams = [[framed({"seq": 1, "type": f"eval.policy.{what}"}, event(2))]]
    assert seqs(await stream(job)) == [1]


async def test_a_stream_that_brings_nothing_is_given_up(server, job, stream):
    server.streams = [[framed(event(1))]]
    with pytest.raises(ApiError, match="without an end of the job"):
        await stream(job)
    assert len(server.calls) == 4, "one that brought something, and three that did not"


@pytest.mark.parametrize(
    ("answer", "says", "calls"),
    [
        (404, "status 404", 1),
        (401, "status 401", 1),
        (503, "status 503", 4),
        ({"events": []}, "not a stream", 1),
    ],
)
async def test_a_refusal_is_final_and_trouble_worth_another_try(
    server, stream, answer, says, calls
):
    job = PolicyOptimizationJob.from_job_id(JOB, backend_url=server.url)
    server.says(STREAM, answer)
    with pytest.raises(ApiError, match=says):
        await stream(job)
    assert len(server.calls) == calls


async def test_an_event_is_there_before_the_next_one_happens(server, job):
    loop, told = asyncio.get_running_loop(), asyncio.Event()

    def follow():
        for found in job.stream():
            loop.call_soon_threadsafe(told.set)
            yield found["seq"]

    server.streams = [[framed(event(1)), told, framed(END)]]
    async with asyncio.timeout(10):
        assert await asyncio.to_thread(lambda: list(follow())) == [1, 3]
        told.clear()
        server.streams = [[framed(event(1)), told, framed(END)]]
        async for _ in job.stream_async():
            told.set()


async def test_nobody_there_is_said_so(stream):
    job = PolicyOptimizationJob.from_job_id(JOB, backend_url="http://127.0.0.1:1")
    with pytest.raises(ApiError, match="no sidecar answers at"):
        await stream(job)


async def test_an_event_without_end_is_not_kept(server, job, stream, monkeypatch):
    monkeypatch.setattr(client_events, "_LARGEST", 1000)
    server.streams = [[b"data: " + b"x" * 2000]]
    with pytest.raises(ApiError, match="larger than 1000 bytes"):
        await stream(job)
