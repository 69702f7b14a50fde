"""Calls to the session API of a whole sidecar, and those that only a key lets through."""

import json
from typing import Any

from yarl import URL

from support.gateway import Answer
from support.whole import Whole

KEY = "the-key"


async def call(ours: Whole, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """One call; `x_api_key="…"` becomes that header, and bytes are sent as they are."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    url = URL(ours.sidecar.url + path, encoded=True)
    async with ours.http.request(method, url, data=data, headers=sent) as answer:
        return Answer(answer.status, dict(answer.headers), await answer.read())


def refusal(answer: Answer, status: int) -> str:
    """The words of a refusal in the published dialect."""
    assert answer.status == status, answer.body
    assert answer.json["detail"] == answer.json["error"]["message"]
    assert answer.json["error"]["code"]
    return answer.json["detail"]
