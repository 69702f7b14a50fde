"""Customers, without the network: what they ask, how they judge a reply, what they say about it.

A customer sees the reply's text and nothing else. Everything about customer number N follows from
the seed and N, so the same customers come in every run, in whatever order calls finish.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from sidecar.simulation.topics import TOPICS
from sidecar.simulation.traits import TRAITS, shown_in
from sidecar.simulation.world import GRID, World

_OPENINGS = ("", "Not what I needed. ", "That did not help. ", "Hm. ", "Disappointing. ")
_NOTICEABLE = 0.1
"""Logits; what matters less than this to a topic, its customers do not mention."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How customers behave."""

    answering: float = 0.7
    """Share of conversations that are given a thumb at all."""
    commenting: float = 0.4
    """Share of unhappy answers with a comment."""
    misleading: float = 0.2
    """Share of comments that name something that was not the trouble."""
    second_turn: float = 0.25
    """Share of conversations with two turns."""
    delay: float = 15.0
    """Mean number of later conversations before the thumb is given."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a customer thinks of the last reply."""

    happy: bool
    comment: str


class Customer:
    """One visit to the shop's help chat."""

    def __init__(self, world: World, seed: int, number: int, habits: Habits) -> None:
        rng = Random(f"customer|{seed}|{number}")
        self.number = number
        self._world = world
        self._habits = habits
        self._topic = rng.choices(range(len(TOPICS)), world.mix)[0]
        self.messages = self._writes(rng)
        self.answers = rng.random() < habits.answering
        self.delay = int(rng.expovariate(1 / habits.delay)) if habits.delay else 0
        self._rng = rng

    def judge(self, reply: str) -> Opinion:
        """What to think of the reply; asked once."""
        shown = shown_in(reply)
        happy = self._rng.random() < self._world.chance(shown, self._topic)
        says = not happy and self._rng.random() < self._habits.commenting
        return Opinion(happy, self._comment(shown) if says else "")

    def _writes(self, rng: Random) -> list[str]:
        topic = TOPICS[self._topic]
        messages = [topic.question(rng)]
        if rng.random() < self._habits.second_turn:
            messages.append(topic.follow_up(rng))
        return messages

    def _comment(self, shown: int) -> str:
        """Names one thing that was missing or unwelcome, the more likely the more it mattered."""
        if self._rng.random() < self._habits.misleading:
            complaint = self._rng.choice(self._rng.choice(_BESIDE_THE_POINT))
        else:
            troubles = dict(self._troubles(shown))
            if not troubles:
                return ""
            index = self._rng.choices([*troubles], [*troubles.values()])[0]
            complaint = self._rng.choice(TRAITS[index].complaints)
        return self._rng.choice(_OPENINGS) + complaint

    def _troubles(self, shown: int) -> Iterator[tuple[int, float]]:
        for index, effect in enumerate(self._world.effects[self._topic]):
            present = bool(shown >> index & 1)
            if abs(effect) > _NOTICEABLE * GRID and present == (effect < 0):
                yield index, abs(effect)


_BESIDE_THE_POINT = tuple(trait.wishes if trait.harmful else trait.complaints for trait in TRAITS)
_BESIDE_THE_POINT = tuple(texts for texts in _BESIDE_THE_POINT if texts)
