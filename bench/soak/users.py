"""Users who wait for each answer before they go on, and never give up on a thumb.

They talk in several turns, streamed or not, sometimes leave in the middle of an answer, and give
thumbs: some before their first call, some twice, in any order. A thumb that is not acknowledged is
given again until it is.
"""

import asyncio
import itertools
import json
import random
from http import HTTPStatus
from typing import Any

import aiohttp

from bench.soak.ledger import CUT, FAILED, LEFT, OK, Ledger
from bench.soak.parts import Fleet
from sidecar.simulation.provider import POLICY
from sidecar.simulation.world import BASELINE

PATIENCE = 20.0
"""Seconds after which a call hangs."""
AGAIN_SECONDS = 0.1
GONE = (aiohttp.ClientError, OSError)


class Users:
    """A crowd; `closed` sends it home."""

    def __init__(self, fleet: Fleet, ledger: Ledger, seed: int) -> None:
        self.closed = False
        self.hung: list[str] = []
        self._fleet = fleet
        self._ledger = ledger
        self._chance = random.Random(f"users|{seed}")
        self._numbers = itertools.count()

    async def run(self, count: int) -> None:
        """Until closed, and every thumb is in."""
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        # A connection of its own for each call: then what arrived and what did not is certain.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(count):
                group.create_task(self._visit_again_and_again(http))

    async def _visit_again_and_again(self, http: aiohttp.ClientSession) -> None:
        while not self.closed:
            talk = f"talk-{next(self._numbers)}"
            early, late = self._thumbs(talk), self._thumbs(talk)
            if self._chance.random() < 0.2:
                await self._give(http, early)
            turns = self._chance.choice((1, 1, 2, 3))
            served = [await self._turn(http, talk, turn) for turn in range(turns)]
            if any(served):
                await self._give(http, late)

    # -- calls ----------------------------------------------------------------------------------

    async def _turn(self, http: aiohttp.ClientSession, talk: str, turn: int) -> bool:
        """Whether it was answered as a turn of the session."""
        life = await self._fleet.one(self._chance)
        said = {"role": "user", "content": f"{talk}, question {turn}: where is my parcel?"}
        messages = [{"role": "system", "content": BASELINE}, said]
        streamed, leaves = self._chance.random() < 0.5, self._chance.random() < 0.05
        body = {"model": POLICY, "messages": messages, "stream": streamed}
        url = f"{life.process.url}/v1/chat/completions"
        ended, served = FAILED, False
        try:
            async with http.post(url, json=body, headers={"x-correlation-id": talk}) as answer:
                served = self._noted(answer)
                if leaves and answer.status == HTTPStatus.OK:
                    ended = LEFT
                elif _is_whole(answer, await answer.read(), streamed=streamed):
                    ended = OK
        except aiohttp.ClientConnectorError:
            return False  # it did not arrive
        except TimeoutError:
            self.hung.append(talk)
        except GONE:
            ended = CUT if life.killed else FAILED
        life.calls[ended] += 1
        return served

    def _noted(self, answer: aiohttp.ClientResponse) -> bool:
        rollout = answer.headers.get("x-gepa-rollout-id")
        if rollout:
            self._ledger.served(rollout, answer.headers["x-gepa-candidate-id"])
        return rollout is not None

    # -- thumbs ---------------------------------------------------------------------------------

    def _thumbs(self, talk: str) -> list[dict[str, Any]]:
        actors = self._chance.choice(((), ("ann",), ("ann", "bob")))
        ups = self._chance.random()
        events = [
            {
                "event_id": f"{talk}-{actor}-{self._chance.getrandbits(32):x}",
                "correlation_id": talk,
                "actor": f"{actor}-{self._chance.getrandbits(32):x}",
                "thumbs": "up" if self._chance.random() < ups else "down",
            }
            for actor in actors
        ]
        if self._chance.random() < 0.2:
            events *= 2
        self._chance.shuffle(events)
        return events

    async def _give(self, http: aiohttp.ClientSession, events: list[dict[str, Any]]) -> None:
        for event in events:
            self._ledger.thumbs[event["event_id"]] = event
        for event in events:
            while not await self._taken(http, event):  # noqa: ASYNC110 - the answer is awaited
                await asyncio.sleep(AGAIN_SECONDS)

    async def _taken(self, http: aiohttp.ClientSession, event: dict[str, Any]) -> bool:
        life = await self._fleet.one(self._chance)
        try:
            async with http.post(f"{self._fleet.door(life)}/feedback", json=event) as answer:
                await answer.read()
                self._ledger.posts[str(answer.status)] += 1
                if answer.status == HTTPStatus.ACCEPTED:
                    self._ledger.acknowledged.add(event["event_id"])
                return answer.status == HTTPStatus.ACCEPTED
        except (*GONE, TimeoutError):
            self._ledger.posts["no answer"] += 1
            return False


def _is_whole(answer: aiohttp.ClientResponse, body: bytes, *, streamed: bool) -> bool:
    if answer.status != HTTPStatus.OK:
        return False
    return body.endswith(b"data: [DONE]\n\n") if streamed else "choices" in json.loads(body)
