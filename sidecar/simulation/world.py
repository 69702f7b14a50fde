"""The truth: how likely a reply satisfies a customer, given the topic and what the reply shows.

A logistic model with seeded effects. Effects are whole numbers of 1/`GRID` logit, so that the
expectation over everything a prompt may lead to is an exact convolution, not an estimate.
`success_rate` is for measuring only: no part of the loop may ask for it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from sidecar.simulation.instructions import probabilities
from sidecar.simulation.topics import TOPICS
from sidecar.simulation.trait import Trait
from sidecar.simulation.traits import CONTRACT_AT, TERSE_AT, TRAITS

GRID = 50

BASELINE = (
    "You are the customer service assistant of Fernhill, an online shop for home and garden, and "
    "mention our current offers where they fit.\n"
    "Answer the customer's message politely and in plain text."
)
"""What the shop runs today. Its offers annoy; they stand in the sentence that nobody forgets, so
that getting rid of them takes a complaint and not mere carelessness."""

IDEAL = BASELINE + "".join(f"\n- {trait.advice}" for trait in TRAITS)
"""The best prompt there is in this world."""


@dataclass(frozen=True)
class World:
    """One seeded truth. The same seed is the same world."""

    seed: int
    mix: tuple[float, ...]
    """Share of each topic."""
    base: tuple[int, ...]
    """Per topic, the logit of success of a reply that shows nothing, in grid units."""
    effects: tuple[tuple[int, ...], ...]
    """Per topic and trait, what showing it adds, in grid units."""

    @staticmethod
    def seeded(seed: int) -> "World":
        """The world of this seed; its baseline succeeds at .43 to .47."""
        rng = Random(f"world|{seed}")
        weights = [rng.uniform(0.7, 1.3) for _ in TOPICS]
        mix = tuple(weight / sum(weights) for weight in weights)
        columns = [_effects(trait, rng) for trait in TRAITS]
        effects = tuple(zip(*columns, strict=True))
        shape = [rng.gauss(0, 0.35) for _ in TOPICS]
        target = rng.uniform(0.43, 0.47)
        return _with_baseline_at(target, World(seed, mix, (), effects), shape)

    def chance(self, shown: int, topic: int) -> float:
        """Probability that a reply showing these traits satisfies a customer with this topic."""
        row = self.effects[topic]
        total = sum(effect for index, effect in enumerate(row) if shown >> index & 1)
        return _logistic(self.base[topic] + total)

    def success_rate(self, prompt: str) -> float:
        """Expected share of satisfied customers under a system prompt."""
        return _expected(self, probabilities(prompt))


def _effects(trait: Trait, rng: Random) -> list[int]:
    mean = rng.uniform(*trait.strength)
    weights = [
        rng.uniform(0.5, 1.5) if not trait.topics or topic.name in trait.topics else 0.0
        for topic in TOPICS
    ]
    scale = mean * len(TOPICS) * GRID / sum(weights)
    return [round(scale * weight) for weight in weights]


def _with_baseline_at(target: float, draft: World, shape: Sequence[float]) -> World:
    low, high = -3.0, 3.0
    world = draft
    while high - low > 0.5 / GRID:
        middle = (low + high) / 2
        base = tuple(round((middle + deviation) * GRID) for deviation in shape)
        world = World(draft.seed, draft.mix, base, draft.effects)
        if world.success_rate(BASELINE) < target:
            low = middle
        else:
            high = middle
    return world


@lru_cache(maxsize=4096)
def _expected(world: World, chances: tuple[float, ...]) -> float:
    return sum(
        share * _expected_on(row, base, chances)
        for share, row, base in zip(world.mix, world.effects, world.base, strict=True)
    )


def _expected_on(row: Sequence[int], base: int, chances: Sequence[float]) -> float:
    """A terse reply shows nothing else but, perhaps, the broken contract."""
    terse = chances[TERSE_AT]
    shown = {base: 1.0}
    for index, effect in enumerate(row):
        if index not in {TERSE_AT, CONTRACT_AT}:
            shown = _mixed(shown, effect, chances[index])
    logits = {base + row[TERSE_AT]: terse}
    for logit, weight in shown.items():
        logits[logit] = logits.get(logit, 0.0) + weight * (1 - terse)
    logits = _mixed(logits, row[CONTRACT_AT], chances[CONTRACT_AT])
    return sum(weight * _logistic(logit) for logit, weight in logits.items())


def _mixed(logits: Mapping[int, float], effect: int, chance: float) -> dict[int, float]:
    if not effect or not chance:
        return dict(logits)
    mixed: dict[int, float] = {}
    for logit, weight in logits.items():
        mixed[logit] = mixed.get(logit, 0.0) + weight * (1 - chance)
        mixed[logit + effect] = mixed.get(logit + effect, 0.0) + weight * chance
    return mixed


def _logistic(grid_units: int) -> float:
    return 1 / (1 + math.exp(-grid_units / GRID))
