"""P11 (and P6, P12, P21): the whole sidecar, killed with `kill -9` in full swing, twenty times.

Customers talk in several turns, some naming their conversation and some recognised by what they
repeat; they give thumbs by whichever id they have, repeat some, and send again what got no answer.
After every kill the file is read while nobody has it open, and at the end the books must balance
with what the clients know.
"""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from support.feedback_loop import until
from support.ledger import Books, Ledger, books
from support.process import Nursery, Process, nursery, serving, start

from sidecar.core.session import Entry, JournalEntry
from sidecar.engine import snapshot
from sidecar.engine.config import SessionConfig
from sidecar.engine.session import SessionState
from sidecar.simulation.provider import POLICY, REFLECTION, SimulatedProvider
from sidecar.simulation.world import BASELINE, World
from sidecar.store.sqlite import SqliteStore

KILLS = 20
CUSTOMERS = 10
SEED = 20
REVISITED = 8
GONE = (aiohttp.ClientError, ConnectionError)
SESSION = "/api/prompt-learning/online/gepa/sessions/shop"


def settings(provider_url: str) -> dict[str, Any]:
    gepa = {"online_proposer_min_rollouts": 20, "proposer_model": REFLECTION}
    return {
        "provider.base_url": provider_url,
        "provider.api_key": "sk-test",
        "feedback.batch_seconds": 0.02,
        "engine.proposals_per_day": 10_000,
        # On a busy machine too, no answer leaves before its assignment is durable.
        "gateway.store_wait_ms": 60_000,
        "routes": [{"session": "shop"}],
        "sessions": [{"id": "shop", "baseline": BASELINE, "config": {"gepa": gepa}}],
    }


@dataclass
class Talk:
    """One conversation, as the application sees it."""

    name: str
    explicit: bool
    messages: list[dict[str, str]]
    rollout: str = ""
    completions: list[str] = field(default_factory=list)

    @staticmethod
    def opened(number: int) -> "Talk":
        said = f"My parcel is late, where is it? This is order {number}."
        opening = [{"role": "system", "content": BASELINE}, {"role": "user", "content": said}]
        return Talk(f"talk-{number}", number % 2 == 0, opening)


class Shop:
    """The application and its customers."""

    def __init__(self, http: aiohttp.ClientSession, chance: random.Random) -> None:
        self.ledger = Ledger()
        self.talks: list[Talk] = []
        self.cut = 0
        """Calls that the kill took the answer of."""
        self.closed = False
        self.url = ""
        self._http = http
        self._chance = chance
        self._numbers = itertools.count()

    async def visit(self) -> None:
        """One customer after the other until the sidecar is gone, or the shop closed."""
        try:
            while not self.closed:
                talk = Talk.opened(next(self._numbers))
                self.talks.append(talk)
                await self.turn(talk)
                if self._chance.random() < 0.4:
                    await self.turn(talk)
                await self._rate(talk)
        except GONE:
            self.cut += 1

    async def turn(self, talk: Talk) -> None:
        """The next turn; its headers say the same as those of the turns before."""
        if talk.completions and talk.messages[-1]["role"] == "assistant":
            talk.messages.append({"role": "user", "content": "And what else?"})
        path = "/v1" if self._chance.random() < 0.5 else "/api/gepa/v1/shop"
        headers = {"x-correlation-id": talk.name} if talk.explicit else {}
        body = {"model": POLICY, "messages": talk.messages}
        url = f"{self.url}{path}/chat/completions"
        async with self._http.post(url, json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            rollout = answer.headers["x-gepa-rollout-id"]
            self.ledger.served(rollout, answer.headers["x-gepa-candidate-id"])
            if talk.explicit:
                assert rollout == talk.name
            elif talk.completions:
                assert rollout == talk.rollout, f"{talk.name} was not recognised"
            talk.rollout = rollout
            whole = await answer.json()
        talk.messages.append(whole["choices"][0]["message"])
        talk.completions.append(whole["id"])
        self.ledger.completions.add(whole["id"])

    async def _rate(self, talk: Talk) -> None:
        for actor in ("ann", "bob")[: self._chance.choice((0, 1, 1, 2))]:
            ids = {
                "rollout_id": talk.rollout,
                "completion_id": self._chance.choice(talk.completions),
            }
            if talk.explicit:
                ids["correlation_id"] = talk.name
            kind = self._chance.choice(sorted(ids))
            thumbs = self._chance.choice(("up", "down"))
            event = {"event_id": f"{talk.name}-{actor}", kind: ids[kind], "thumbs": thumbs}
            event |= (
                {"actor": actor, "comment": "No word about my order."}
                if thumbs == "down"
                else {"actor": actor}
            )
            self.ledger.sent[event["event_id"]] = event
            self.ledger.about[event["event_id"]] = talk.rollout
            await self.send(event)
            if self._chance.random() < 0.1:
                await self.send(event)

    async def send(self, *events: dict[str, Any]) -> None:
        async with self._http.post(f"{self.url}/feedback", json=list(events)) as answer:
            assert answer.status == 202, await answer.text()
            told = await answer.json()
        assert told["durable"] is True
        self.ledger.acknowledged.update(one["event_id"] for one in told["events"])

    def forget(self, found: Books) -> None:
        """Drop the unnamed conversations of which not one answer reached the file: they ended in
        the last instant, and cannot be recognised."""
        stored = {rollout for rollout, completion in found.turns if completion}
        lost = [
            t for t in self.talks if t.completions and not t.explicit and t.rollout not in stored
        ]
        self.talks = [t for t in self.talks if t.completions and t not in lost]

    async def come_back(self) -> None:
        """What got no answer is sent again; customers of before the kill go on with their
        conversations."""
        # Chosen before anybody else comes in: a conversation is gone on with by one at a time.
        revisited = self._chance.sample(self.talks, min(REVISITED, len(self.talks)))
        again = self.ledger.unanswered()
        for start_at in range(0, len(again), 100):
            await self.send(*again[start_at : start_at + 100])
        for talk in revisited:
            await self.turn(talk)

    async def status(self) -> dict[str, Any]:
        async with self._http.get(self.url + SESSION) as answer:
            assert answer.status == 200
            return await answer.json()


async def _while_it_lives(work: Awaitable[None]) -> None:
    with contextlib.suppress(*GONE):
        await work


async def full_swing(shop: Shop, process: Process, calls: int) -> None:
    """Traffic until the sidecar dies in the middle of it, after so many answers."""
    shop.url = process.url
    before, last = shop.cut, len(shop.ledger.completions) + calls
    async with asyncio.TaskGroup() as group:
        group.create_task(_while_it_lives(shop.come_back()))
        for _ in range(CUSTOMERS):
            group.create_task(shop.visit())
        await until(lambda: len(shop.ledger.completions) >= last, seconds=30)
        group.create_task(process.kill())
    assert shop.cut == before + CUSTOMERS


async def learning(shop: Shop, thoughts: int) -> None:
    """Traffic until the session has had another idea than those it had before the kills."""
    async with asyncio.timeout(60):
        customers = [asyncio.create_task(shop.visit()) for _ in range(CUSTOMERS)]
        while (await thought(shop)) <= thoughts:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    shop.closed = True
    await asyncio.gather(*customers)


async def thought(shop: Shop) -> int:
    status = await shop.status()
    return status["proposal_seq"] + status["safety"]["refused_proposals"]


async def settled(shop: Shop) -> None:
    """Wait until the status agrees with the clients: batches are still on their way."""
    deadline = time.monotonic() + 30
    while True:
        try:
            assert_balanced(await shop.status(), shop.ledger)
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            return


def assert_balanced(status: dict[str, Any], ledger: Ledger) -> None:
    """Each rollout's reward is counted once, under the candidate that its client saw."""
    shown = {c["candidate_id"]: c for c in status["candidates"]}
    assert set(ledger.candidates.values()) <= shown.keys()
    expected = ledger.rewarded()
    counts = {c: one["reward_count"] for c, one in shown.items() if one["reward_count"]}
    assert counts == {c: n for c, (n, _) in expected.items()}
    for candidate, (n, total) in expected.items():
        assert shown[candidate]["avg_reward"] == pytest.approx(total / n, abs=1e-6)
    assert status["reward_count"] == len(ledger.rewards())


def assert_closed(found: Books, ledger: Ledger) -> None:
    """At the end, nothing is owed and every event has found its rollout."""
    found.assert_sound()
    found.assert_keeps(ledger)
    assert found.events == ledger.attributed()
    assert (found.owed, found.dead) == (0, 0)
    assert found.counted == pytest.approx(ledger.rewards())


async def assert_journal_is_the_truth(path) -> None:
    """Folding the journal from its first entry gives what the snapshots and their tails gave."""
    store = SqliteStore(path)
    await store.open()
    (record,) = await store.sessions()
    config = SessionConfig.load(record.config)
    journal: list[JournalEntry] = await store.journal("shop", 0, 10**6)
    kept = await store.snapshot("shop")
    await store.close()
    state = SessionState.begin(config, record.salt, record.created_at)
    for entry in journal:
        state.apply(entry)
    assert kept.seq == journal[-1].seq
    assert snapshot.dump(state) == kept.state
    assert {Entry.CANDIDATE, Entry.REFUSED} & {entry.kind for entry in journal}


async def killed_again_and_again(shop: Shop, folder, config, parent: Nursery) -> Books:
    chance = random.Random(SEED)
    for _ in range(KILLS):
        process = await start(folder, config, parent)
        await full_swing(shop, process, chance.randrange(1, 150))
        found = books(folder / "sidecar.db")
        found.assert_sound()
        found.assert_keeps(shop.ledger)
        # What a crash may take: the turn of an answer that ended in the last instant.
        assert shop.ledger.crashed(found) <= CUSTOMERS + 1
        shop.forget(found)
    return found


async def test_nothing_that_was_acknowledged_is_lost_or_counted_twice(tmp_path):
    provider = SimulatedProvider(World.seeded(1), 1)
    config = settings(await provider.start())
    with nursery(tmp_path) as parent:
        async with aiohttp.ClientSession() as http:
            shop = Shop(http, random.Random(SEED))
            found = await killed_again_and_again(shop, tmp_path, config, parent)
            async with serving(tmp_path, config, parent) as process:
                shop.url = process.url
                await shop.come_back()
                assert not shop.ledger.unanswered()
                for talk in shop.talks[:: len(shop.talks) // 60 + 1]:
                    await shop.turn(talk)
                await learning(shop, len(found.of_kind("candidate", "refused")))
                await settled(shop)
                process.signal(15)
                assert await process.ended() == 0
    await provider.stop()
    assert_closed(books(tmp_path / "sidecar.db"), shop.ledger)
    await assert_journal_is_the_truth(tmp_path / "sidecar.db")
    assert len(shop.ledger.acknowledged) > 10 * KILLS
