"""How much of a session's feedback one user may be (promise P17).

Three limits. An actor counts for no candidate much more often than the average actor does. A
candidate needs rewards of several actors to become the incumbent. And when those who came after a
candidate judge it, against the other candidates, far otherwise than those who were there before it,
the newcomers' rewards are held back until that has passed or a person has looked.

What counts is decided when a reward's journal entry is made and stands in the entry; this state is
a fold over the entries. Actors appear as keyed hashes only. All memory is bounded; who has fallen
out of it is a newcomer again.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from sidecar.core.feedback import APPLICATION, Vote
from sidecar.core.session import JournalEntry
from sidecar.engine.rules import Influence

ANONYMOUS = ""
"""Of a conversation whose events name no actor: nobody else is this one."""
TRUSTED = "*"
_SHARED = "?"
_ACTORS = 5000
_KEPT = 2000
_GROUP = 15
"""Rewards each group needs before groups are compared."""
_VARIANCE = 0.02
_FRESH = 300
"""Rewards in which an actor is new."""
_NEWEST = 100
_REFERENCE = 400
_HINT = 1.5
"""Standard errors by which newcomers may think better of a candidate that is to be promoted, or
less of one that is to be thrown out …"""
_HINT_GROUP = 8
"""… over groups of so many rewards."""

Groups = dict[tuple[bool, bool], list[float]]
"""Scores by whether they are about the candidate, and by a newcomer."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How a rollout stands: what was said about it, and what of that counts."""

    rollout_id: str
    candidate_id: str
    revision: int
    tick: int
    cluster: str
    said: bool
    actors: tuple[str, ...]
    at: int
    """The clock when it was told."""
    first: int
    """The clock when the oldest of its actors was first heard of."""
    stated: float | None
    value: float | None
    """What counts: None while it is held back."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Newcomers are held back."""

    candidate_id: str
    """Whom they judge otherwise."""
    since: int
    """Who was first heard of at this clock or later is a newcomer."""
    until: float
    """Unix seconds; looked at again then."""
    shift: float
    """By how much they judge it otherwise, in standard errors; up is positive."""


@dataclass(slots=True)
class Standing:
    """What a candidate has, in numbers."""

    answered: int = 0
    """Rollouts with a score, counted or not."""
    rewards: int = 0
    """Scores by actors within their limits."""
    actors: int = 0
    trusted: bool = False


@dataclass(slots=True)
class Influences:
    """The state of it, of one session."""

    rules: Influence
    salt: str
    clock: int = 0
    """Reward entries so far."""
    firsts: OrderedDict[str, int] = field(default_factory=OrderedDict)
    """Actor → the clock when first heard of."""
    counts: OrderedDict[tuple[str, str], int] = field(default_factory=OrderedDict)
    """(candidate, actor) → scores that count."""
    standings: dict[str, Standing] = field(default_factory=dict)
    kept: OrderedDict[str, Kept] = field(default_factory=OrderedDict)
    since: dict[str, int] = field(default_factory=dict)
    """Candidate → the clock when it was new, as a candidate or as the incumbent."""
    quarantine: Quarantine | None = None
    calm: int = 0
    """Until this clock nobody is held back for being many: a person has looked."""
    capped: int = 0
    quarantined: int = 0

    # -- before the entry is made ---------------------------------------------------------------

    def name(self, actor: str | None) -> str:
        """How an actor appears in the journal."""
        if actor in self.rules.trusted:
            return TRUSTED
        if actor is None or actor == APPLICATION:
            return _SHARED if self.rules.anonymous == "shared" else ANONYMOUS
        key = bytes.fromhex(self.salt)
        return blake2b(actor.encode(errors="replace"), key=key, digest_size=8).hexdigest()

    def within(self, votes: Sequence[Vote], candidate_id: str, before: Sequence[str]) -> list[Vote]:
        """The votes of actors that have not had their share of this candidate; `before` are those
        who counted in the rollout's last revision, and still do."""
        return [
            vote
            for vote in votes
            if (name := self.name(vote.actor)) in {ANONYMOUS, TRUSTED, *before}
            or self.counts.get((candidate_id, name), 0) < self._cap(candidate_id)
        ]

    def _cap(self, candidate_id: str) -> float:
        if not self.rules.cap:
            return math.inf
        standing = self.standing(candidate_id)
        average = standing.rewards / max(1, standing.actors)
        most = max(self.rules.cap * average, self.rules.cap_share * standing.rewards)
        return max(self.rules.cap_least, most)

    def settled(self, votes: Sequence[Vote]) -> list[Vote]:
        """The votes that are not held back."""
        return [vote for vote in votes if not self._newcomer(self.name(vote.actor))]

    def _newcomer(self, name: str) -> bool:
        if self.quarantine is None or name == TRUSTED:
            return False
        return self.firsts.get(name, self.clock) >= self.quarantine.since

    # -- the fold -------------------------------------------------------------------------------

    def fold(self, entry: JournalEntry, cluster: str) -> None:
        """A reward's entry."""
        data = entry.payload
        if "actors" not in data:  # from before there was a limit
            return
        held = str(data.get("held", ""))
        self.capped += held == "capped"
        self.quarantined += held == "quarantined"
        if data.get("again"):
            kept = self.kept.get(entry.subject)
            if kept is not None:
                self.kept[entry.subject] = replace(kept, value=data["value"])
            return
        self.clock += 1
        candidate, actors = data["candidate_id"], tuple(data["actors"])
        self._count(candidate, data["before"], actors)
        self._standing(candidate).answered += data["scored"]
        first = min((self._heard(actor) for actor in actors), default=self.clock)
        self.kept.pop(entry.subject, None)
        self.kept[entry.subject] = Kept(
            entry.subject, candidate, data["revision"], data["tick"], cluster, data["said"],
            actors, self.clock, first, data["stated"], data["value"],
        )  # fmt: skip
        _trim(self.kept, _KEPT)

    def standing(self, candidate_id: str) -> Standing:
        """What a candidate has."""
        return self.standings.get(candidate_id, Standing())

    def _standing(self, candidate_id: str) -> Standing:
        return self.standings.setdefault(candidate_id, Standing())

    def _count(self, candidate_id: str, before: Iterable[str], now: Iterable[str]) -> None:
        standing = self._standing(candidate_id)
        for actors, sign in ((before, -1), (now, 1)):
            for actor in actors:
                standing.rewards += sign
                standing.trusted = standing.trusted or actor == TRUSTED
                if actor in {ANONYMOUS, TRUSTED}:
                    standing.actors += sign
                    continue
                pair = candidate_id, actor
                n = self.counts.pop(pair, 0) + sign
                standing.actors += (n == 1) if sign > 0 else -(n == 0)
                if n > 0:
                    self.counts[pair] = n
        _trim(self.counts, _ACTORS)

    def _heard(self, name: str) -> int:
        """When an actor was first heard of. Nobody knows of those without a name; those who are
        trusted have always been there."""
        if name == TRUSTED:
            return 0
        if name in {ANONYMOUS, _SHARED}:
            return self.clock
        first = self.firsts.setdefault(name, self.clock)
        self.firsts.move_to_end(name)
        _trim(self.firsts, _ACTORS)
        return first

    def born(self, candidate_id: str) -> None:
        """A candidate is new, as such or as the incumbent."""
        self.since[candidate_id] = self.clock

    def pardon(self) -> None:
        """A person has let newcomers go: they belong to those who are there from now on."""
        self.since = dict.fromkeys(self.since, self.clock)
        self.calm = self.clock + 2 * _REFERENCE

    def left(self, candidate_id: str) -> None:
        """A candidate serves no more."""
        self.since.pop(candidate_id, None)
        for pair in [pair for pair in self.counts if pair[0] == candidate_id]:
            del self.counts[pair]

    # -- what follows from it -------------------------------------------------------------------

    def barred(self, candidates: Iterable[str]) -> set[str]:
        """Who of these may not become the incumbent now."""
        return {c for c in candidates if self._too_few(c) or self._in_question(c)}

    def _too_few(self, candidate_id: str) -> bool:
        standing = self.standing(candidate_id)
        return not standing.trusted and standing.actors < self.rules.min_actors

    def _in_question(self, candidate_id: str) -> bool:
        """Whether newcomers alone may have made it look good."""
        if self.quarantine is not None and self.quarantine.candidate_id == candidate_id:
            return True
        if not self.rules.quarantine or candidate_id not in self.since:
            return False
        return self.shift(candidate_id, self.since[candidate_id], least=_HINT_GROUP) >= _HINT

    def shielded(self, candidates: Iterable[str]) -> set[str]:
        """Who of these may not be thrown out now: those whom newcomers like less than the others
        do, and those of whom the others have not said enough."""
        if not self.rules.quarantine:
            return set()
        return {c for c in candidates if c in self.since and self._disliked_by_newcomers(c)}

    def _disliked_by_newcomers(self, candidate_id: str) -> bool:
        groups = self._groups(candidate_id, self.since[candidate_id])
        if len(groups.get((False, False), ())) < _GROUP:
            return False  # hardly anybody has been there before
        if len(groups.get((True, False), ())) < _HINT_GROUP:
            return True
        return _shift(groups, _HINT_GROUP) <= -_HINT

    def suspicion(self, candidate_id: str) -> tuple[int, float] | None:
        """From which clock on newcomers should be held back because of how they judge a candidate,
        and by how much they judge it otherwise; None if they should not. When suddenly many come,
        they wait until it is known how they judge."""
        since = self.since[candidate_id]
        shift = self.shift(candidate_id, since)
        if self.far(shift):
            return since, shift
        if self.clock >= self.calm and self.far(self.surge()):
            return max(since, self.clock - _REFERENCE), shift
        return None

    def surge(self) -> float:
        """By how many standard errors the part of the newest rewards that is from actors who are
        new themselves is above what it was before; 0 if that is not known."""
        fresh = [one.at - one.first < _FRESH for one in self.kept.values()]
        newest, before = fresh[-_NEWEST:], fresh[-_NEWEST - _REFERENCE : -_NEWEST]
        if len(before) < _REFERENCE:
            return 0.0
        usual = sum(before) / len(before)
        spread = max(_VARIANCE, usual * (1 - usual)) * (1 / len(newest) + 1 / len(before))
        return max(0.0, (sum(newest) / len(newest) - usual) / math.sqrt(spread))

    def shift(self, candidate_id: str, since: int, *, least: int = _GROUP) -> float:
        """How much better newcomers judge a candidate than those who were there before it, against
        what the two think of the other candidates at the same time; in standard errors. The
        difference of differences, so that neither a change that hits all candidates nor newcomers
        who are kinder to all of them count. 0 while a group has fewer than `least` rewards."""
        return _shift(self._groups(candidate_id, since), least)

    def _groups(self, candidate_id: str, since: int) -> Groups:
        groups: Groups = {}
        for one in self.kept.values():
            known = not {ANONYMOUS, _SHARED}.intersection(one.actors)
            if one.at >= since and one.stated is not None and known:
                group = one.candidate_id == candidate_id, one.first >= since
                groups.setdefault(group, []).append(one.stated)
        return groups

    def far(self, shift: float) -> bool:
        """Whether newcomers who judge by so much otherwise are to be held back."""
        return 0 < self.rules.quarantine <= abs(shift)

    def out_of_line(self) -> Iterator[Kept]:
        """Rollouts that count and should be held back, or the other way round."""
        since = math.inf if self.quarantine is None else self.quarantine.since
        for one in self.kept.values():
            wanted = None if one.first >= since else one.stated
            if wanted != one.value and (wanted is None or self.quarantine is None):
                yield one

    def copy(self) -> "Influences":
        """To fold entries into that may never be written."""
        return replace(
            self,
            firsts=self.firsts.copy(),
            counts=self.counts.copy(),
            standings={c: replace(standing) for c, standing in self.standings.items()},
            kept=OrderedDict(),
        )


def _shift(groups: Groups, least: int) -> float:
    if len(groups) < 4 or min(map(len, groups.values())) < least:  # noqa: PLR2004 - two by two
        return 0.0
    means = {group: math.fsum(values) / len(values) for group, values in groups.items()}
    errors = math.fsum(_variance(values) / len(values) for values in groups.values())
    own = means[True, True] - means[True, False]
    others = means[False, True] - means[False, False]
    return (own - others) / math.sqrt(errors)


def _trim(memory: "OrderedDict[Any, Any]", most: int) -> None:
    while len(memory) > most:
        memory.popitem(last=False)


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return max(_VARIANCE, math.fsum((v - mean) ** 2 for v in values) / len(values))
