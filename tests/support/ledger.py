"""What clients know for certain: which candidate answered them, which events they were told are
stored. Whatever happens to the sidecar, its books must agree with this one."""

import contextlib
import json
import sqlite3
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]


@dataclass
class Ledger:
    """Everything that was promised to clients."""

    candidates: dict[str, str] = field(default_factory=dict)
    """Rollout → candidate, as response headers said."""
    sent: dict[str, Json] = field(default_factory=dict)
    """Event id → the event, whether or not an answer came."""
    about: dict[str, str] = field(default_factory=dict)
    """Event id → the rollout it is about."""
    acknowledged: set[str] = field(default_factory=set)
    completions: set[str] = field(default_factory=set)
    """Completion ids of answers that clients received whole."""
    lost: set[str] = field(default_factory=set)
    """Those of which a crash took the turn: it is recorded once the answer has ended, and nobody
    waits for that. An event that names no other id waits in vain."""

    def served(self, rollout: str, candidate: str) -> None:
        """A client saw these two in the headers of an answer."""
        kept = self.candidates.setdefault(rollout, candidate)
        assert kept == candidate, f"{rollout} went from {kept} to {candidate}"

    def crashed(self, found: "Books") -> int:
        """Compare with the file after a crash: how many answers it took the turn of."""
        missing = self.completions - {completion for _, completion in found.turns} - self.lost
        self.lost |= missing
        return len(missing)

    def attributed(self) -> dict[str, str | None]:
        """Event id → the rollout it must have been tied to; None for those that wait in vain."""
        return {
            name: None if event.get("completion_id") in self.lost else self.about[name]
            for name, event in self.sent.items()
        }

    def unanswered(self) -> list[Json]:
        """Events to send again: nobody knows whether they arrived."""
        return [event for name, event in self.sent.items() if name not in self.acknowledged]

    def rewards(self) -> dict[str, float]:
        """What each rollout is worth, by its distinct events (each of an actor of its own)."""
        scores: dict[str, list[float]] = defaultdict(list)
        for name, rollout in self.attributed().items():
            if rollout is not None:
                scores[rollout].append(1.0 if self.sent[name]["thumbs"] == "up" else 0.0)
        return {rollout: sum(of) / len(of) for rollout, of in scores.items()}

    def rewarded(self) -> dict[str, tuple[int, float]]:
        """Candidate → how many rewarded rollouts it has, and their sum."""
        out: dict[str, tuple[int, float]] = {}
        for rollout, value in self.rewards().items():
            n, total = out.get(self.candidates[rollout], (0, 0.0))
            out[self.candidates[rollout]] = (n + 1, total + value)
        return out


@dataclass(frozen=True)
class Books:
    """What the store's file says while nobody has it open."""

    assignments: dict[str, str]
    """Rollout → candidate."""
    events: dict[str, str | None]
    """Event id → its rollout; None while it waits."""
    turns: list[tuple[str, str | None]]
    """(rollout, completion id), in the order they were stored."""
    journal: list[Json]
    owed: int
    """Rewards that the session has not been told of."""
    dead: int

    @property
    def counted(self) -> dict[str, float | None]:
        """Rollout → the reward that the session has for it."""
        return {e["subject"]: e["payload"]["value"] for e in self.of_kind("reward")}

    def of_kind(self, *kinds: str) -> list[Json]:
        return [entry for entry in self.journal if entry["kind"] in kinds]

    def assert_sound(self) -> None:
        """What must hold at any moment, also right after a crash."""
        assert [entry["seq"] for entry in self.journal] == list(range(1, len(self.journal) + 1))
        keys = Counter(entry["key"] for entry in self.journal)
        assert not [key for key, times in keys.items() if times > 1]
        last: dict[str, float | None] = {}
        for entry in self.of_kind("reward"):
            said = entry["payload"]
            assert said["replaces"] == last.get(entry["subject"]), entry
            assert said["candidate_id"] == self.assignments[entry["subject"]], entry
            last[entry["subject"]] = said["value"]

    def assert_keeps(self, ledger: Ledger) -> None:
        """Nothing that a client was promised is missing."""
        assert not ledger.acknowledged - self.events.keys()
        kept = {rollout: self.assignments.get(rollout) for rollout in ledger.candidates}
        assert kept == ledger.candidates


def books(path: Path) -> Books:
    """Read the file of a sidecar that has ended."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        rows = db.execute("SELECT rollout_id, body ->> 'candidate_id' FROM assignment")
        assignments = dict(rows.fetchall())
        events = dict(db.execute("SELECT event_id, rollout_id FROM feedback").fetchall())
        turns = db.execute("SELECT rollout_id, completion_id FROM turn ORDER BY id").fetchall()
        entries = db.execute("SELECT body, seq FROM journal ORDER BY seq").fetchall()
        journal = [{**json.loads(body), "seq": seq} for body, seq in entries]
        owed = "SELECT count(*) FROM outbox WHERE revision > reported"
        ((due,),) = db.execute(owed).fetchall()
        ((dead,),) = db.execute("SELECT count(*) FROM outbox WHERE dead = 1").fetchall()
    return Books(assignments, events, turns, journal, due, dead)
