"""Calls as an application makes them, and what it saw of each."""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp

PROMPT = "You are the assistant of a shop."
PATIENCE = 30.0
"""Seconds after which a call hangs."""
HANGS = "hangs"
_numbers = itertools.count()


@dataclass(frozen=True)
class Seen:
    """One call."""

    name: str
    """Of its conversation."""
    streamed: bool
    what: str
    """Status and mode, or status and the error's code."""
    reason: str
    """Why it was not served as it should be; empty if it was."""
    seconds: float
    ok: bool
    """Answered with 200, and the answer is whole."""


async def call(http: aiohttp.ClientSession, url: str, *, streamed: bool) -> Seen:
    """The only call of a new conversation."""
    number = next(_numbers)
    name, said = f"talk-{number}", f"hello {number}"
    messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": said}]
    body = {"model": "m", "messages": messages, "stream": streamed}
    headers = {"x-correlation-id": name, "authorization": "Bearer sk-client"}
    began = time.monotonic()
    what, reason, ok = HANGS, "", False
    try:
        async with (
            asyncio.timeout(PATIENCE),
            http.post(f"{url}/v1/chat/completions", json=body, headers=headers) as answer,
        ):
            reason = answer.headers.get("x-sidecar-reason", "")
            what, ok = await _told(answer, said, streamed=streamed)
    except TimeoutError:
        pass
    except (aiohttp.ClientError, OSError) as error:
        what = type(error).__name__
    return Seen(name, streamed, what, reason, time.monotonic() - began, ok)


async def _told(answer: aiohttp.ClientResponse, said: str, *, streamed: bool) -> tuple[str, bool]:
    got = bytearray()
    try:
        async for chunk in answer.content.iter_any():
            got += chunk
    except (aiohttp.ClientError, OSError):
        return f"{answer.status}, then cut", False
    if answer.status != HTTPStatus.OK:
        return f"{answer.status} {_code(got) or 'without a code'}", False
    mode = answer.headers.get("x-sidecar-mode", "without a mode")
    whole = said.encode() in got and got.endswith(b"data: [DONE]\n\n" if streamed else b"}")
    return f"{answer.status} {mode}" if whole else f"{answer.status}, incomplete", whole


def _code(body: bytes | bytearray) -> str:
    """The code of an error in OpenAI's shape; empty for anything else."""
    try:
        error = json.loads(body)["error"]
        return str(error["code"]) if error["message"] else ""
    except (ValueError, KeyError, TypeError):
        return ""


async def many(
    http: aiohttp.ClientSession, url: str, count: int, *, at_once: int = 1
) -> list[Seen]:
    """Calls, every other one streamed, so many at the same time."""
    seen: list[Seen] = []
    while len(seen) < count:
        numbers = range(len(seen), min(len(seen) + at_once, count))
        batch = [call(http, url, streamed=bool(number % 2)) for number in numbers]
        seen += await asyncio.gather(*batch)
    return seen


async def feedback(
    http: aiohttp.ClientSession, url: str, *talks: str
) -> tuple[int, float, Counter[str]]:
    """A thumb for each of these conversations: the answer's status, the seconds it took, and what
    became of the thumbs."""
    events = [{"correlation_id": talk, "thumbs": "up"} for talk in talks]
    began = time.monotonic()
    async with http.post(f"{url}/feedback", json=events) as answer:
        told = await answer.json()
    became = Counter(one["status"] for one in told.get("events", ()))
    return answer.status, time.monotonic() - began, became


def summary(calls: Sequence[Seen]) -> str:
    """What was seen, with the reasons in the order in which they came up."""
    reasons: dict[str, dict[str, None]] = {}
    for one in calls:
        reasons.setdefault(one.what, {}).update({one.reason: None} if one.reason else {})
    return "; ".join(
        what + (f" ({', then '.join(why)})" if why else "") for what, why in reasons.items()
    )
