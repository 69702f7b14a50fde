"""The record that describes one trait of a reply, in all the texts it is met in."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Trait:
    """A behaviour, a habit or a disaster, met only as plain English: a prompt instructs it, a reply
    shows it, a user misses it or minds it. Nobody hands trait names around."""

    advice: str
    """How the best prompt instructs it (or, for harm, forbids it)."""
    phrases: re.Pattern[str]
    """What an instruction to show it mentions, lower case."""
    fragments: tuple[str, ...]
    """Sentences of a reply that show it."""
    markers: tuple[str, ...]
    """By which a reader sees it in a reply; one in each fragment, in no other trait's."""
    complaints: tuple[str, ...]
    """What users write who miss it (or, for harm, met it)."""
    strength: tuple[float, float]
    """Range of its effect in logits, averaged over topics; negative for harm."""
    topics: tuple[str, ...] = ()
    """Where it matters; empty: everywhere."""
    opposite: re.Pattern[str] | None = None
    """What an instruction mentions that forbids it, and when negated asks for it."""
    wishes: tuple[str, ...] = ()
    """For harm: what misguided users write who ask for it."""
    ambient: float = 0.07
    """Probability that a reply shows it without being told."""

    @property
    def harmful(self) -> bool:
        """Whether users mind it."""
        return self.strength[1] < 0

    def shown_in(self, reply: str) -> bool:
        """Whether a reader sees it."""
        return any(marker in reply for marker in self.markers)


def words(*alternatives: str) -> re.Pattern[str]:
    """A pattern for any of the alternatives, beginning at a word's start."""
    return re.compile(r"\b(?:" + "|".join(alternatives) + ")")
