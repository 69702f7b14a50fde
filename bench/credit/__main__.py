"""Which credit rule tells a better prompt apart in the fewest conversations.

    python -m bench.credit [--seeds 40] [--conversations 3000]

A support dialogue of three to six turns, one of which decides whether the matter is settled; the
better prompt gets that turn right more often. Users rate turns: the decisive one often, others now
and then and by their mood; some say at the end what they think of the whole. The engine's own
policy serves the prompt of today and the better one; the table says how many conversations pass
until the better one is proven, how often it is within the run, and the gain per conversation.
"""

import argparse
import random
import statistics
from dataclasses import dataclass

from sidecar.core.feedback import Vote
from sidecar.core.ids import BASELINE
from sidecar.core.rollout import Outcome, Turn
from sidecar.engine.credit import RULES
from sidecar.engine.policy import Observation, Policy
from sidecar.engine.rules import Rules
from sidecar.engine.table import Table
from sidecar.engine.weighing import weigh


@dataclass(frozen=True)
class Habits:
    """How users rate. Probabilities."""

    decisive: float
    """The decisive turn is rated …"""
    other: float
    """… and each other turn."""
    whole: float
    """The conversation is rated at its end."""
    late: float
    """The ratings come in any order, not as the turns went."""
    honest: float = 0.92
    """A rating of the outcome is right."""
    mood: float = 0.75
    """Another turn is rated well."""


WORLDS = {
    "the turn": Habits(decisive=0.8, other=0.15, whole=0.1, late=0.1),
    "every turn": Habits(decisive=0.8, other=0.6, whole=0.1, late=0.1),
    "the end": Habits(decisive=0.3, other=0.2, whole=0.7, late=0.1),
    "late clicks": Habits(decisive=0.6, other=0.4, whole=0.3, late=0.7),
}
RATES = {BASELINE: 0.5, "better": 0.62}


def talk(rng: random.Random, habits: Habits, rate: float) -> tuple[list[Vote], list[Turn], bool]:
    """A conversation: what was said of it, its turns, whether it went well."""
    length = rng.randint(3, 6)
    decisive, well = rng.randrange(length), rng.random() < rate
    votes = []
    for at in range(length):
        if rng.random() < (habits.decisive if at == decisive else habits.other):
            good = _says(rng, habits, well) if at == decisive else rng.random() < habits.mood
            votes.append(Vote("thumbs", float(good), "user", f"c{at}"))
    if rng.random() < habits.whole:
        votes.append(Vote("thumbs", float(_says(rng, habits, well)), "user", None))
    if rng.random() < habits.late:
        rng.shuffle(votes)
    return votes, [_turn(at) for at in range(length)], well


def _says(rng: random.Random, habits: Habits, well: bool) -> bool:
    return well if rng.random() < habits.honest else not well


def _turn(at: int) -> Turn:
    return Turn(f"t{at}", "s", "r", float(at), 1.0, Outcome.DONE, 200, f"c{at}", None)


def run(rule: str, habits: Habits, seed: int, conversations: int) -> tuple[int | None, float]:
    """Conversations until the better prompt is proven (None: not in this run), and the gain per
    conversation."""
    rng, rules, policy = random.Random(seed), Rules(credit=rule), Policy()
    policy.admit("better", BASELINE, 0)
    gain, proven = 0.0, None
    for tick in range(conversations):
        candidate, _ = Table.of(1, policy.weights).draw(f"{seed}:{tick}", b"salt")
        votes, turns, _ = talk(rng, habits, RATES[candidate])
        gain += RATES[candidate] - RATES[BASELINE]
        value = weigh(rules, votes, turns)
        if value is not None:
            policy.observe(Observation(candidate, str(tick), tick, tick, value))
        if policy.due:
            policy.refresh(tick)
        if proven is None and "better" in policy.certified:
            proven = tick
    return proven, gain / conversations


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--seeds", type=int, default=40)
    asked.add_argument("--conversations", type=int, default=3000)
    given = asked.parse_args()
    print(f"{'users rate':12} {'rule':11} {'proven after':>12} {'proven':>7} {'gain':>7}")
    overall: dict[str, list[float]] = {rule: [] for rule in RULES}
    for name, habits in WORLDS.items():
        for rule in RULES:
            runs = [run(rule, habits, seed, given.conversations) for seed in range(given.seeds)]
            after = statistics.median(given.conversations if p is None else p for p, _ in runs)
            share = sum(p is not None for p, _ in runs) / len(runs)
            gain = statistics.fmean(g for _, g in runs)
            overall[rule].append(gain)
            print(f"{name:12} {rule:11} {after:12.0f} {share:7.0%} {gain:+7.4f}")
    for rule, gains in overall.items():
        print(f"{'all':12} {rule:11} {'':12} {'':7} {statistics.fmean(gains):+7.4f}")


if __name__ == "__main__":
    main()
