"""How the policy model understands a system prompt: sentence by sentence, the last word counts."""

import re
from collections.abc import Iterator
from functools import lru_cache

from sidecar.simulation.trait import Trait
from sidecar.simulation.traits import TRAITS

FOLLOWED = 0.95
"""Probability that a reply shows what the prompt asks for."""
FORBIDDEN = 0.01
"""Probability that a reply shows what the prompt forbids."""

_SENTENCE = re.compile(r"[^.!?;\n]+")
_NEGATION = re.compile(
    r"\b(?:do not|don't|does not|never(?! forget| fail)|not to|must not|should not|avoid|stop"
    r"|without|no|leave out)\b"
)


@lru_cache(maxsize=1024)
def probabilities(prompt: str) -> tuple[float, ...]:
    """For each of `TRAITS`, the probability that a reply under this system prompt shows it."""
    found = [trait.ambient for trait in TRAITS]
    for sentence in _SENTENCE.findall(prompt.lower().replace("\u2019", "'")):
        for index, wanted in _asked(sentence):
            found[index] = FOLLOWED if wanted else min(FORBIDDEN, TRAITS[index].ambient)
    return tuple(found)


def _asked(sentence: str) -> Iterator[tuple[int, bool]]:
    for index, trait in enumerate(TRAITS):
        wanted = _wanted(trait, sentence)
        if wanted is not None:
            yield index, wanted


def _wanted(trait: Trait, sentence: str) -> bool | None:
    if found := trait.phrases.search(sentence):
        return not _negated(sentence, found.start())
    if trait.opposite and (found := trait.opposite.search(sentence)):
        return _negated(sentence, found.start())
    return None


def _negated(sentence: str, position: int) -> bool:
    return _NEGATION.search(sentence, 0, position) is not None
