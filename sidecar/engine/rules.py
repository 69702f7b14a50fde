"""A session's rules of feedback: what its signals weigh, how turns are credited, and how much of
it one user may be.

The defaults weigh nothing: an actor's last score is the reward, whatever the signal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sidecar.core.feedback import NAMED, Kind
from sidecar.engine.credit import RULES
from sidecar.engine.fields import mapping
from sidecar.errors import InvalidRequest

DEFAULT_CREDIT = "all"
METRIC = "score:"
MEASURED = ("latency", "cost")
"""Signals that nobody sends: seconds and tokens of the conversation's turns."""
SAID = (Kind.THUMBS.value, Kind.RATING.value, Kind.SCORE.value, *NAMED)
_MOST = 1e6
_LARGEST = 1e9


@dataclass(frozen=True, slots=True)
class Objective:
    """One signal of a session's reward."""

    signal: str
    weight: float
    best: float = 0.0
    """Of a measured one: what counts as 1 (seconds a turn, tokens a conversation) …"""
    worst: float = 0.0
    """… and what as 0."""

    def scaled(self, measured: float) -> float:
        """A measurement as a score."""
        return min(1.0, max(0.0, (self.worst - measured) / (self.worst - self.best)))


@dataclass(frozen=True, slots=True)
class Influence:
    """How much of a session's feedback one user may be (promise P17)."""

    cap: float = 2.0
    """Rewards of one actor that count for a candidate, against the average actor's; 0 for all …"""
    cap_share: float = 0.01
    """… or this part of the candidate's, if that is more …"""
    cap_least: int = 3
    """… and so many always."""
    winsorise: float = 0.1
    """Part of a conversation's actors at either end whose scores count as the next one's."""
    min_actors: int = 5
    """Distinct actors a candidate needs before it may become the incumbent."""
    anonymous: str = "each"
    """Events without an actor: `each` conversation has an actor of its own, or all are `shared`."""
    trusted: tuple[str, ...] = ()
    """Actors without limits: evaluators, raters of your own."""
    quarantine: float = 3.0
    """How many standard errors newcomers may judge a candidate otherwise than those who were there
    before it, or be more than usual, until they are held back; 0 for never."""
    quarantine_hours: float = 24.0
    """How long they are held back at least."""


@dataclass(frozen=True, slots=True)
class Rules:
    """All of it."""

    objectives: tuple[Objective, ...] = ()
    credit: str = DEFAULT_CREDIT
    influence: Influence = field(default_factory=Influence)

    @staticmethod
    def load(data: Mapping[str, Any]) -> "Rules":
        """From what `asdict` made; what this version does not know is left out."""
        known = {f.name for f in fields(Influence)}
        held = {k: v for k, v in data.get("influence", {}).items() if k in known}
        return Rules(
            tuple(Objective(**one) for one in data.get("objectives", ())),
            data.get("credit", DEFAULT_CREDIT),
            Influence(**held | {"trusted": tuple(held.get("trusted", ()))}),
        )


KEYS = {"objectives", "credit", "influence"}
"""What stands in a config, in the algorithm's section or beside it."""


def read_rules(section: Mapping[str, Any], own: Mapping[str, Any], where: str) -> Rules:
    """The rules in a config; those in the algorithm's own section go first. Raises
    `InvalidRequest`."""
    given = {name: source[name] for source in (section, own) for name in KEYS if name in source}
    credit = given.get("credit", DEFAULT_CREDIT)
    if credit not in RULES:
        raise InvalidRequest(f"`credit` must be one of {', '.join(RULES)}", param=f"{where}.credit")
    objectives = mapping(given.get("objectives", {}), f"{where}.objectives")
    return Rules(
        tuple(_objective(name, objectives[name], where) for name in sorted(objectives)),
        credit,
        _influence(mapping(given.get("influence", {}), f"{where}.influence"), where),
    )


def _objective(signal: str, given: Any, root: str) -> Objective:
    where = f"{root}.objectives.{signal}"
    if signal in MEASURED:
        bounds = mapping(given, where)
        if set(bounds) != {"weight", "best", "worst"}:
            raise InvalidRequest("needs `weight`, `best` and `worst`", param=where)
        best, worst = (_number(bounds[n], f"{where}.{n}", _LARGEST) for n in ("best", "worst"))
        if best >= worst:
            raise InvalidRequest("`best` must be below `worst`", param=f"{where}.best")
        return Objective(signal, _weight(bounds["weight"], f"{where}.weight"), best, worst)
    if signal not in SAID and not (signal.startswith(METRIC) and signal != METRIC):
        known = ", ".join((*SAID, *MEASURED, "score:<metric>"))
        raise InvalidRequest(f"{signal!r} is no signal; known are {known}", param=where)
    plain = signal.removeprefix(METRIC)
    return Objective(plain if plain in NAMED else signal, _weight(given, where))


def _weight(given: Any, where: str) -> float:
    weight = _number(given, where, _MOST)
    if weight == 0:
        raise InvalidRequest("must be more than 0; leave out what should not count", param=where)
    return weight


def _influence(given: Mapping[str, Any], root: str) -> Influence:
    where = f"{root}.influence"
    known = {f.name for f in fields(Influence)}
    for name in given:
        if name not in known:
            raise InvalidRequest(
                f"`influence.{name}` is unknown; known are {', '.join(sorted(known))}",
                param=f"{where}.{name}",
            )
    if given.get("anonymous", "each") not in ("each", "shared"):
        raise InvalidRequest("must be 'each' or 'shared'", param=f"{where}.anonymous")
    trusted = given.get("trusted", [])
    if not isinstance(trusted, list) or not all(isinstance(one, str) for one in trusted):
        raise InvalidRequest("must be a list of actors", param=f"{where}.trusted")
    numbers = {name: given[name] for name in given.keys() - {"anonymous", "trusted"}}
    for name, value in numbers.items():
        _number(value, f"{where}.{name}", _HALF if name == "winsorise" else _MOST)
    for name in {"cap_least", "min_actors"} & numbers.keys():
        if not isinstance(numbers[name], int):
            raise InvalidRequest("must be a whole number", param=f"{where}.{name}")
    return Influence(**{**given, "trusted": tuple(trusted)})


_HALF = 0.49
"""Largest part at either end: somebody has to be left."""


def _number(value: Any, where: str, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise InvalidRequest(f"must be a number from 0 to {most:g}", param=where)
    return float(value)
