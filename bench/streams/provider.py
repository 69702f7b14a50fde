"""A provider whose answers take their time: `python -m bench.streams.provider CHUNKS SECONDS`.

Prints its base URL. What the answer to a question is, byte for byte, `expected` knows too.
"""

import asyncio
import json
import sys

from aiohttp import web

from bench.streams.limits import allow

WORDS = " and so it goes on for a while"
DONE = b"data: [DONE]\n\n"


def expected(question: str, chunks: int) -> bytes:
    """The whole answer."""
    return b"".join(_event(question, place) for place in range(chunks)) + DONE


def _event(question: str, place: int) -> bytes:
    delta = {"content": f"{question} {place}{WORDS}"}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    head = {"id": f"chatcmpl-{question}", "object": "chat.completion.chunk", "created": 1}
    body = json.dumps({**head, "model": "m", "choices": [choice]}, separators=(",", ":"))
    return f"data: {body}\n\n".encode()


async def serve(chunks: int, seconds: float) -> None:
    """Until killed."""

    async def answer(request: web.Request) -> web.StreamResponse:
        question = (await request.json())["messages"][-1]["content"]
        loop = asyncio.get_running_loop()
        began = loop.time()
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for place in range(chunks):
            await response.write(_event(question, place))
            await asyncio.sleep(began + (place + 1) * seconds / chunks - loop.time())
        await response.write(DONE)
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    allow()
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
