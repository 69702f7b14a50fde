"""Customers on the wire: they chat through an OpenAI-compatible URL and give thumbs later.

A plain HTTP client, as an application's would be: it sends the shop's own prompt with every call,
reads the ids from the answer and knows nothing of candidates. Which id a thumb comes by rotates:
the rollout id of the response header, the completion id, a correlation id of the application's.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from sidecar.simulation.opinions import Mail, Thumb
from sidecar.simulation.people import Customer, Habits
from sidecar.simulation.provider import POLICY
from sidecar.simulation.world import BASELINE, World

_ID_KINDS = ("rollout_id", "completion_id", "correlation_id")
_TURN_BASED = "completion_id"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the application finds the model and leaves feedback."""

    chat: Sequence[str]
    """URLs of chat completions; conversations take turns."""
    feedback: str


@dataclass(slots=True)
class Visit:
    """A conversation as it went."""

    number: int
    happy: bool
    completion_id: str
    candidate_id: str | None


@dataclass(slots=True)
class Tally:
    """What happened so far."""

    visits: list[Visit] = field(default_factory=list)
    feedback: int = 0
    """Events that the sidecar acknowledged."""
    failures: list[str] = field(default_factory=list)
    """Calls that did not end as they should, in words."""


class Users:
    """A seeded crowd."""

    def __init__(
        self,
        world: World,
        seed: int,
        endpoints: Endpoints,
        *,
        habits: Habits | None = None,
        shuffle: bool = False,
        concurrency: int = 16,
        api_key: str = "sk-simulated",
    ) -> None:
        self.tally = Tally()
        self._world = world
        self._seed = seed
        self._endpoints = endpoints
        self._habits = habits or Habits()
        self._mail = Mail(seed, shuffle=shuffle)
        self._concurrency = concurrency
        self._headers = {"authorization": f"Bearer {api_key}"}
        self._closed = False

    async def run(self, conversations: int, each: Callable[[Visit], None] | None = None) -> Tally:
        """Have the first `conversations` customers come by, then hand in all late thumbs."""
        numbers = iter(range(conversations))
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, headers=self._headers) as http:

            async def work() -> None:
                for number in numbers:
                    if self._closed:
                        return
                    visit = await self._serve(http, number)
                    if visit and each:
                        each(visit)

            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(work())
            await self._hand_in(http, self._mail.rest())
        return self.tally

    def close(self) -> None:
        """No customer comes after this; those who are there finish, late thumbs are handed in."""
        self._closed = True

    async def _serve(self, http: aiohttp.ClientSession, number: int) -> Visit | None:
        try:
            await self._hand_in(http, self._mail.due(number))
            return await self._talk(http, Customer(self._world, self._seed, number, self._habits))
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
            self.tally.failures.append(f"conversation {number}: {type(error).__name__} {error}")
            return None

    async def _talk(self, http: aiohttp.ClientSession, customer: Customer) -> Visit:
        kind = _ID_KINDS[customer.number // len(self._endpoints.chat) % len(_ID_KINDS)]
        own_id = f"chat-{self._seed}-{customer.number}"
        headers = {"x-correlation-id": own_id} if kind == "correlation_id" else {}
        url = self._endpoints.chat[customer.number % len(self._endpoints.chat)]
        messages: list[dict[str, str]] = [{"role": "system", "content": BASELINE}]
        answer: Mapping[str, Any] = {}
        ids: dict[str, str] = {}
        for message in customer.messages:
            messages.append({"role": "user", "content": message})
            body = {"model": POLICY, "messages": messages}
            async with http.post(url, json=body, headers=headers) as response:
                response.raise_for_status()
                answer = await response.json()
                ids = dict(response.headers)
            messages.append(answer["choices"][0]["message"])
        return self._judged(customer, kind, answer, {k.lower(): v for k, v in ids.items()})

    def _judged(
        self, customer: Customer, kind: str, answer: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Visit:
        opinion = customer.judge(answer["choices"][0]["message"]["content"])
        known = {
            "rollout_id": headers.get("x-gepa-rollout-id"),
            "correlation_id": f"chat-{self._seed}-{customer.number}",
            "completion_id": answer["id"],
        }
        about = (kind, known[kind]) if known[kind] else (_TURN_BASED, answer["id"])
        if customer.answers:
            event_id = f"thumb-{self._seed}-{customer.number:07d}"
            thumb = Thumb(event_id, about, opinion.happy, opinion.comment)
            self._mail.post(thumb, customer.number + customer.delay)
        visit = Visit(
            customer.number, opinion.happy, answer["id"], headers.get("x-gepa-candidate-id")
        )
        self.tally.visits.append(visit)
        return visit

    async def _hand_in(self, http: aiohttp.ClientSession, thumbs: Sequence[Thumb]) -> None:
        """One event as an object, several as an array: both are in use."""
        if not thumbs:
            return
        events = [thumb.event() for thumb in thumbs]
        body = events[0] if len(events) == 1 else events
        async with http.post(self._endpoints.feedback, json=body) as response:
            if response.status == 202:
                self.tally.feedback += len(events)
            else:
                text = await response.text()
                self.tally.failures.append(f"feedback: {response.status} {text[:200]}")
