"""Clients that read streams: `python -m bench.streams.clients URL STREAMS CHUNKS RAMP_SECONDS`.

Prints one JSON object: how many answers were whole, byte for byte, what the others were, and how
long first bytes took.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from http import HTTPStatus
from typing import Any

import aiohttp

from bench.streams.limits import allow
from bench.streams.provider import expected

PROMPT = "You are the assistant of a shop."
PATIENCE = 300.0


async def stream(http: aiohttp.ClientSession, url: str, number: int, chunks: int) -> Any:
    """What came of one call, and the seconds until its first byte."""
    question = f"question-{number}"
    messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": question}]
    body = {"model": "m", "messages": messages, "stream": True}
    began, first = time.monotonic(), None
    got = bytearray()
    try:
        async with http.post(f"{url}/v1/chat/completions", json=body) as answer:
            async for chunk in answer.content.iter_any():
                first = first or time.monotonic() - began
                got += chunk
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return type(error).__name__, first
    if answer.status != HTTPStatus.OK:
        return str(answer.status), first
    return "whole" if got == expected(question, chunks) else "different", first


async def main(url: str, streams: int, chunks: int, ramp: float) -> None:
    """All of them, begun over `ramp` seconds."""

    async def later(number: int) -> Any:
        await asyncio.sleep(ramp * number / streams)
        return await stream(http, url, number, chunks)

    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        ended = await asyncio.gather(*map(later, range(streams)))
    first = sorted(seconds for what, seconds in ended if what == "whole")
    told = {"ended": Counter(what for what, _ in ended), "first": first}
    print(json.dumps(told))


if __name__ == "__main__":
    allow()
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
