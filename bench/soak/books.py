"""At the end, what users know, what the store holds, what the session has counted and what the
metrics say must be the same."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from bench.soak.ledger import CUT, FAILED, LEFT, OK, Ledger, Life
from bench.soak.parts import SESSION, Parts
from sidecar.core.session import Entry
from sidecar.store.redis.store import RedisStore

SETTLED_SECONDS = 60.0
TOLERANCE = 1e-6
_STATUS = f"/api/prompt-learning/online/gepa/sessions/{SESSION}"
_TEXT = ("sidecar: listening", "sidecar: warning")
Problems = list[str]


async def checked(parts: Parts, ledger: Ledger) -> Problems:
    """Everything that does not add up; also says what does."""
    store = RedisStore(parts.server.url, budget_ms=1000.0)
    await store.open()
    async with aiohttp.ClientSession() as http:
        try:
            problems = await _settled(parts, store, http, ledger)
            problems += await _rollouts(store, ledger)
            problems += await _events(store, ledger)
            problems += await _rewards(store, ledger)
            for life in parts.fleet.up:
                problems += await _calls(http, life)
        finally:
            await store.close()
    return problems + _logs(parts.fleet.lives)


async def _settled(
    parts: Parts, store: RedisStore, http: aiohttp.ClientSession, ledger: Ledger
) -> Problems:
    """Wait until nothing is on its way and every sidecar's session agrees with the store."""
    end = asyncio.get_running_loop().time() + SETTLED_SECONDS
    while wrong := await _unsettled(parts, store, http, ledger):
        if asyncio.get_running_loop().time() > end:
            break
        await asyncio.sleep(0.2)
    counts = await store.counts(SESSION)
    print(f"rollouts         {counts.rollouts} in store and session")
    print(f"rewards          {counts.rewards} in store and session")
    dead = await store.dead_letters(1000)
    return wrong + ([f"{len(dead)} dead letters"] if dead else [])


async def _unsettled(
    parts: Parts, store: RedisStore, http: aiohttp.ClientSession, ledger: Ledger
) -> Problems:
    owed = await store.due_rewards(9e12, 1000)
    wrong = [f"{len(owed)} rewards are owed"] if owed else []
    wrong += [
        f"{event.event_id} waits although there is a rollout"
        for event in await store.waiting_feedback(10**6)
        if await store.assignment(SESSION, ledger.thumbs[event.event_id]["correlation_id"])
    ]
    counts = await store.counts(SESSION)
    for life in parts.fleet.up:
        said = await _json(http, life.process.url + _STATUS)
        for name, ours in (("rollout_count", counts.rollouts), ("reward_count", counts.rewards)):
            if said[name] != ours:
                wrong.append(f"{name}: a session says {said[name]}, the store {ours}")
    return wrong


async def _rollouts(store: RedisStore, ledger: Ledger) -> Problems:
    """Whoever was served something is in the store with that."""
    names = list(ledger.candidates)
    found = [await store.assignment(SESSION, name) for name in names]
    kept = [
        one is not None and one.candidate_id == ledger.candidates[name]
        for name, one in zip(names, found, strict=True)
    ]
    print(f"served           {sum(kept)} of {len(kept)} conversations are in the store")
    lost = [f"{kept.count(False)} conversations are not in the store"] if not all(kept) else []
    return lost + [f"{name} was served by two candidates" for name in ledger.changed]


async def _events(store: RedisStore, ledger: Ledger) -> Problems:
    """Each acknowledged thumb is there once: with its rollout, or waiting where there is none."""
    waiting = {event.event_id for event in await store.waiting_feedback(10**6)}
    talks = {event["correlation_id"] for event in ledger.thumbs.values()}
    seen: Counter[str] = Counter()
    for talk in talks:
        seen.update(event.event_id for event in await store.events_of(SESSION, talk))
    lost = ledger.acknowledged - seen.keys() - waiting
    twice = {name for name, times in seen.items() if times > 1} | (seen.keys() & waiting)
    print(f"thumbs           {len(ledger.acknowledged)} acknowledged, {len(seen)} with a rollout, ")
    print(
        f"                 {len(waiting)} of conversations that never were; {_times(ledger.posts)}"
    )
    told = (("lost", lost), ("there twice", twice))
    return [f"{len(names)} thumbs are {what}" for what, names in told if names]


async def _rewards(store: RedisStore, ledger: Ledger) -> Problems:
    """Each rollout's reward, as the session was told last, is what its thumbs make it; and nothing
    was told twice."""
    journal = await store.journal(SESSION, 0, 10**7)
    keys = Counter(entry.key for entry in journal)
    told = {e.subject: e.payload["value"] for e in journal if e.kind is Entry.REWARD}
    expected = {
        rollout: value
        for rollout, value in ledger.rewards().items()
        if await store.assignment(SESSION, rollout)
    }
    wrong = [
        rollout
        for rollout in expected.keys() | told.keys()
        if abs(told.get(rollout, -1.0) - expected.get(rollout, -1.0)) > TOLERANCE
    ]
    print(f"journal          {len(journal)} entries, {len(told)} rewards")
    problems = [f"{len(wrong)} rewards are not what was given ({wrong[:3]})"] if wrong else []
    return problems + [f"{key} is in the journal twice" for key, n in keys.items() if n > 1]


async def _calls(http: aiohttp.ClientSession, life: Life) -> Problems:
    """The sidecar that lives has counted the calls that were made to it."""
    ended = await _outcomes(http, life)
    ours = life.calls
    said = {OK: ended["ok"], FAILED: ended["failed"], "all": sum(ended.values())}
    print(f"calls            {_times(ours)}; its metrics: {_times(ended)}")
    # One that was left may have ended, well or not, before that was noticed.
    fits = (
        said["all"] == sum(ours.values())
        and ours[FAILED] <= said[FAILED] <= ours[FAILED] + ours[LEFT]
        and ours[OK] <= said[OK] <= ours[OK] + ours[LEFT]
        and not ours[CUT]
    )
    return [] if fits else [f"calls: users say {dict(ours)}, the metrics {dict(ended)}"]


async def _outcomes(http: aiohttp.ClientSession, life: Life) -> Counter[str]:
    ended: Counter[str] = Counter()
    async with http.get(f"{life.process.url}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    for family in families:
        for sample in family.samples:
            if sample.name == "sidecar_requests_total":
                ended[sample.labels["outcome"]] += int(sample.value)
    return ended


async def _json(http: aiohttp.ClientSession, url: str) -> Any:
    async with http.get(url) as answer:
        return await answer.json()


def _logs(lives: Iterable[Life]) -> Problems:
    """Errors, tracebacks, and lines that are no log lines of ours."""
    lines = [line for life in lives for line in life.process.said.splitlines() if line.strip()]
    odd = [
        line
        for line in lines
        if not line.startswith(_TEXT)
        and (not line.startswith("{") or '"level": "error"' in line or '"critical"' in line)
    ]
    print(f"log              {len(lines)} lines, {len(odd)} that nobody should see")
    return [f"log: {line[:300]}" for line in odd[:10]]


def _times(counted: Counter[str]) -> str:
    return ", ".join(f"{times} {what}" for what, times in sorted(counted.items()))
