"""P15: only signed feedback counts, once and in time; malformed is 4xx, never 500. At the whole
sidecar, over sockets."""

import asyncio
import contextlib
import gzip
import io
import json
import time
from base64 import b64encode

import pytest
from support.gateway import Answer
from support.signing import ORACLES
from support.whole import whole, whole_settings
from yarl import URL

from sidecar.errors import InvalidFeedback
from sidecar.feedback import sources
from sidecar.feedback.adapters.base import Reading, Reply
from sidecar.feedback.adapters.registry import Source

CANARY = "canary0123456789abcdef0123456789"
ORACLE_OF = {oracle.signature: oracle for name, oracle in ORACLES.items() if name != "ed25519"}
OLD = {name: oracle.secret(CANARY.encode()) for name, oracle in ORACLE_OF.items()}
NEW = {name: oracle.secret(CANARY.encode()[::-1]) for name, oracle in ORACLE_OF.items()}
GONE = {name: oracle.secret(b"x" * 32) for name, oracle in ORACLE_OF.items()}
BEARER, BASIC = f"{CANARY}-bearer", f"user:{CANARY}-basic"
UP = {"rollout_id": "r1", "thumbs": "up"}
TIMED = [name for name, oracle in ORACLE_OF.items() if oracle.timed]


def signed(name, body, secret=None, own_id="msg_1", at=None):
    """Headers as the product would make them, now unless `at` says otherwise."""
    at = int(time.time()) if at is None else at
    return ORACLE_OF[name].sign(secret or OLD[name], own_id, at, body)


def written(*events):
    return json.dumps(events[0] if len(events) == 1 else events).encode()


class Desk:
    """A running sidecar with a source of each signature."""

    def __init__(self, ours):
        self.ours = ours

    async def post(self, source, body, headers=None, method="POST"):
        url = URL(f"{self.ours.sidecar.url}/feedback/{source}", encoded=True)
        async with self.ours.http.request(method, url, data=body, headers=headers or {}) as answer:
            return Answer(answer.status, dict(answer.headers), await answer.read())

    async def raw(self, source, body, *lines):
        """A request written by hand: headers as bytes, whatever they are. The status."""
        url = URL(self.ours.sidecar.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        head = [f"POST /feedback/{source} HTTP/1.1".encode(), b"Host: x", b"Connection: close"]
        head += [b"Content-Length: %d" % len(body), *lines]
        writer.write(b"\r\n".join(head) + b"\r\n\r\n" + body)
        answer = await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return int(answer.split(b" ", 2)[1])

    async def stored(self):
        counts = await self.ours.sidecar.store.counts()
        return counts.feedback + counts.waiting

    def total(self, source, outcome):
        return self.ours.total("sidecar_feedback_total", source=source, outcome=outcome)


def settings():
    signing = [
        {"name": name, "signature": name, "secrets": [OLD[name], NEW[name]]} for name in ORACLE_OF
    ]
    plain = [
        {"name": "bearer", "signature": "bearer", "secrets": [BEARER]},
        {"name": "basic", "signature": "basic", "secrets": [BASIC]},
    ]
    return whole_settings(
        "http://127.0.0.1:9/v1",  # nobody asks for anything there
        server={"port": 0, "drain_seconds": 0.1, "api_keys": [f"{CANARY}-key"]},
        sources=(*signing, *plain),
    )


@pytest.fixture
async def desk():
    async with whole(settings()) as ours:
        yield Desk(ours)


def refused(answer, status):
    """The words of a refusal, after making sure that it is one."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert CANARY not in answer.body.decode() + str(answer.headers)
    return answer.json["detail"]


@pytest.mark.parametrize("name", ORACLE_OF)
async def test_what_is_signed_counts_once_however_often_it_comes(desk, name):
    body = written(UP)
    headers = signed(name, body)
    first = await desk.post(name, body, headers)
    assert (first.status, first.json["status"]) == (202, "parked"), first.body
    # What is not signed cannot make it another one.
    forged = {"X-GitHub-Delivery": "x", "Idempotency-Key": "x", "webhook-id": "x"}
    again = await desk.post(name, body, forged | headers)
    assert (again.status, again.json["status"]) == (202, "duplicate"), again.body
    assert again.json["event_id"] == first.json["event_id"]
    assert await desk.stored() == 1
    assert desk.total(name, "accepted") == desk.total(name, "duplicate") == 1


@pytest.mark.parametrize("name", ORACLE_OF)
async def test_what_is_not_signed_does_not_count(desk, name):
    body = written(UP)
    good = signed(name, body)
    key = {"Authorization": f"Bearer {CANARY}-key"}
    assert "missing" in refused(await desk.post(name, body), 401)
    assert "missing" in refused(await desk.post(name, body, key), 401)  # our keys are no signature
    wrong = signed(name, body, GONE[name])
    assert "no signature fits" in refused(await desk.post(name, body, wrong), 401)
    other = written({**UP, "thumbs": "down"})
    assert "no signature fits" in refused(await desk.post(name, other, good), 401)
    assert await desk.stored() == 0
    assert desk.total(name, "unverified") == 4


@pytest.mark.parametrize("name", ORACLE_OF)
async def test_any_live_secret_will_do(desk, name):
    for number, secret in enumerate((OLD[name], NEW[name])):
        body = written({**UP, "event_id": f"e{number}"})
        headers = signed(name, body, secret, f"msg_{number}")
        assert (await desk.post(name, body, headers)).status == 202


@pytest.mark.parametrize("name", TIMED)
async def test_what_is_too_old_or_of_tomorrow_does_not_count(desk, name):
    body = written(UP)
    for shift, words in ((-320, "ago"), (320, "ahead")):
        late = signed(name, body, at=int(time.time()) + shift)
        assert words in refused(await desk.post(name, body, late), 401)
    assert await desk.stored() == 0
    assert (
        await desk.post(name, body, signed(name, body, at=int(time.time()) - 280))
    ).status == 202


async def test_a_second_try_of_the_same_webhook_is_the_same_event(desk):
    body = written(UP)
    now, ids = int(time.time()), set()
    for shift, status in ((-60, "parked"), (0, "duplicate")):
        answer = await desk.post("standard", body, signed("standard", body, at=now + shift))
        assert (answer.status, answer.json["status"]) == (202, status)
        ids.add(answer.json["event_id"])
    assert len(ids) == 1
    changed = written({**UP, "thumbs": "down"})
    assert (await desk.post("standard", changed, signed("standard", changed))).status == 409


async def test_a_long_id_is_shortened_and_still_the_same(desk):
    body = written(UP)
    for status in ("parked", "duplicate"):
        headers = signed("standard", body, own_id="i" * 256)
        answer = await desk.post("standard", body, headers)
        assert (answer.status, answer.json["status"]) == (202, status)


async def test_bearer_and_basic_are_asked_for_each(desk):
    body = written(UP)
    good = {"bearer": f"Bearer {BEARER}", "basic": "Basic " + _basic(BASIC)}
    for name, header in good.items():
        assert (await desk.post(name, body, {"Authorization": header})).status == 202
        wrong = await desk.post(name, body, {"Authorization": header[:-4] + "AAAA"})
        assert "no signature fits" in refused(wrong, 401)
        assert wrong.headers["www-authenticate"].lower().startswith(name)
        refused(await desk.post(name, body, {"Authorization": good["basic"][:-1]}), 401)


def _basic(text):
    return b64encode(text.encode()).decode()


MALFORMED = {
    "not ASCII": b"webhook-signature: v1,\xe9\xff",
    "a sentence": "webhook-signature: v1,Überraschung".encode(),
    "huge": b"webhook-signature: " + b"v1,AAAA " * 900,
    "not base64": b"webhook-signature: v1,!!!!",
    "wrong length": b"webhook-signature: v1,AAAA",
    "empty": b"webhook-signature:",
    "NUL": b"webhook-signature: v1,\x00",
    "twice": b"webhook-signature: v1,AAAA\r\nwebhook-signature: v1,AAAA",
    "negative": b"webhook-timestamp: -1",
    "NaN": b"webhook-timestamp: NaN",
    "endless": b"webhook-timestamp: " + b"9" * 400,
    "a dotted id": b"webhook-id: a.b",
}


async def test_malformed_headers_are_refused_and_never_our_fault(desk):
    body = written(UP)
    good = signed("standard", body)
    for case, line in MALFORMED.items():
        name = line.split(b":", 1)[0].decode()
        others = [f"{n}: {v}".encode() for n, v in good.items() if n != name]
        status = await desk.raw("standard", body, *others, line)
        assert status in {400, 401}, (case, status)
    assert await desk.stored() == 0
    lines = [f"{n}: {v}".encode() for n, v in good.items()]
    assert await desk.raw("standard", body, *lines) == 202  # so it was the headers


async def test_a_signed_body_may_still_be_nonsense(desk):
    for body, status in (
        (b"{", 422),
        (b"", 422),
        (b"\xff\xfe", 422),
        (b"[" * 100_000, 422),
        (b"5", 422),
        (b"[]", 202),
        (written({"rollout_id": "r1", "thumbs": "sideways"}), 422),
    ):
        answer = await desk.post("github", body, signed("intercom", body) | _github(body))
        assert answer.status == status, body[:20]
    assert desk.total("github", "rejected") == 6
    assert await desk.stored() == 0


def _github(body):
    return ORACLE_OF["github"].sign(OLD["github"], "", 0, body)


async def test_what_is_compressed_or_too_large_is_refused_before_it_is_read(desk):
    packed = gzip.compress(written(UP))
    headers = {**signed("standard", b""), "Content-Encoding": "gzip"}
    assert "Content-Encoding" in refused(await desk.post("standard", packed, headers), 415)
    huge = io.BytesIO(b" " * (1024 * 1024 + 1))
    assert "larger" in refused(await desk.post("standard", huge), 413)


async def test_only_configured_sources_are_there(desk):
    assert "no feedback source" in refused(await desk.post("nobody", written(UP)), 404)
    refused(await desk.post("a%2Fb", written(UP)), 404)
    assert (await desk.post("standard", b"", method="GET")).status == 405
    assert desk.total("nobody", "unverified") == 0  # nothing that a client chooses is a label


@pytest.fixture
def planted(monkeypatch):
    """Other adapters than there are, by kind."""
    adapters = {}
    monkeypatch.setattr(sources, "ADAPTERS", adapters)

    def plant(kind, read):
        adapters[kind] = Source(read, lambda _options: [], "")

    return plant


@contextlib.asynccontextmanager
async def with_adapter(planted, read):
    planted("planted", read)
    planted("generic", read)
    async with whole(settings()) as ours:
        yield Desk(ours)


async def test_events_without_an_id_of_their_own_have_that_of_the_webhook(planted):
    def plain(webhook, _options):
        return Reading(tuple(json.loads(webhook.body)))

    async with with_adapter(planted, plain) as desk:
        own = {**UP, "event_id": "own"}
        body = written(UP, own, {**UP, "id": "mine"}, {**UP, "comment": "hm"})
        answer = await desk.post("standard", body, signed("standard", body))
        ids = [event["event_id"] for event in answer.json["events"]]
        assert ids == ["msg_1:1", "own", "mine", "msg_1:4"]
        assert "event_id" not in answer.json
        alone = json.dumps([UP]).encode()
        answer = await desk.post("standard", alone, signed("standard", alone, own_id="msg_2"))
        assert answer.json["event_id"] == "msg_2"
        answer = await desk.post("github", alone, _github(alone))
        assert answer.json["event_id"].startswith("sig_")


async def test_an_adapter_that_breaks_harms_nobody(planted, capsys):
    def broken(webhook, _options):
        raise RuntimeError(webhook.body.decode())

    async with with_adapter(planted, broken) as desk:
        body = b"what somebody wrote in confidence"
        answer = await desk.post("standard", body, signed("standard", body))
        assert "cannot read" in refused(answer, 400)
        assert desk.total("standard", "failed") == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "not understood" in line]
    assert len(lines) == 1
    assert "RuntimeError" in lines[0]
    assert "confidence" not in lines[0]


async def test_a_product_hears_what_it_wants_only_after_its_signature_held(planted):
    reply = Reply(200, "text/plain", b"the challenge")
    seen = []

    def asked(webhook, _options):
        seen.append(webhook)
        return Reading(ignored=("a question", "another"), reply=reply)

    async with with_adapter(planted, asked) as desk:
        assert "missing" in refused(await desk.post("slack", b"{}"), 401)
        assert not seen
        answer = await desk.post("slack", b"{}", signed("slack", b"{}"))
        assert (answer.status, answer.body) == (200, b"the challenge")
        assert answer.headers["content-type"] == "text/plain"
        assert desk.total("slack", "ignored") == 2
        # What an adapter may take for the delivery's id is what was signed.
        assert seen[0].headers["webhook-id"].startswith("sig_")


async def test_what_an_adapter_refuses_is_the_senders_to_hear(planted):
    def refuses(_webhook, _options):
        raise InvalidFeedback("score must be a number", param="score")

    async with with_adapter(planted, refuses) as desk:
        assert refused(await desk.post("github", b"{}", _github(b"{}")), 422).startswith("score")
        assert desk.total("github", "rejected") == 1


async def test_no_secret_is_in_any_log_line_answer_or_metric(desk, capsys):
    """P19, of these secrets: every source, taken and refused in every way."""
    said = []
    for name in ORACLE_OF:
        body = written(UP)
        for headers in (signed(name, body), signed(name, body, GONE[name]), {}):
            answer = await desk.post(name, body, headers)
            said.append(answer.body.decode() + str(answer.headers))
    basic = _basic(BASIC)
    for name, value in (
        *(("bearer", f"Bearer {BEARER}"), ("bearer", f"Bearer {BEARER}x"), ("bearer", BEARER)),
        *(("basic", f"Basic {basic}"), ("basic", f"Basic {basic}x"), ("basic", BASIC)),
    ):
        answer = await desk.post(name, written(UP), {"Authorization": value})
        said.append(answer.body.decode() + str(answer.headers))
    async with desk.ours.http.get(f"{desk.ours.sidecar.url}/metrics") as answer:
        said.append(await answer.text())
    logs = capsys.readouterr()
    assert "webhook not verified" in logs.out  # so the log was looked at
    everything = "\n".join([*said, logs.out, logs.err])
    for secret in (CANARY, basic, *OLD.values(), *NEW.values()):
        assert secret.removeprefix("whsec_") not in everything
