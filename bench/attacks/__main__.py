"""Brigades against a session: what they reach, with the defences and without.

    python -m bench.attacks [--seeds 10] [--no-defences] [--jobs 2]

Exit code 1 when a brigade reached its goal although the defences are on.
"""

import argparse
import statistics
from concurrent.futures import ProcessPoolExecutor

from bench.attacks.arena import OFF, Arena, Attack

FEW, MANY = 4, 200
ATTACKS = [
    Attack(goal, share, identities, burst)
    for goal in ("push", "block", "topple")
    for share in (0.05, 0.20)
    for identities in (FEW, MANY)
    for burst in (False, True)
]


def play(attack: Attack | None, seed: int, defended: bool) -> tuple[bool, bool, int, float]:
    """Reached its goal; newcomers were held back; votes it took; what each conversation lost."""
    arena = Arena(attack, seed, influence={} if defended else OFF).run()
    held = any(e["kind"] == "quarantined" for e in arena.events)
    return arena.succeeded, held, arena.votes, arena.lost


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--seeds", type=int, default=10)
    asked.add_argument("--no-defences", action="store_true")
    asked.add_argument("--jobs", type=int, default=2)
    given = asked.parse_args()
    print(f"{'goal':8}{'share':>6}{'actors':>8}{'when':>9}{'reached':>9}{'held':>7}"
          f"{'votes':>7}{'gain':>9}")  # fmt: skip
    reached = 0
    with ProcessPoolExecutor(given.jobs) as pool:
        for attack in [None, *ATTACKS]:
            runs = [
                pool.submit(play, attack, seed, not given.no_defences)
                for seed in range(given.seeds)
            ]
            found = [one.result() for one in runs]
            won, held, votes, lost = (
                statistics.fmean(column) for column in zip(*found, strict=True)
            )
            reached += attack is not None and won > 0
            what = (
                f"{attack.goal:8}{attack.share:6.0%}{attack.identities:8}"
                f"{'burst' if attack.burst else 'steady':>9}"
                if attack
                else f"{'nobody':8}{'':23}"
            )
            print(f"{what}{won:9.0%}{held:7.0%}{votes:7.0f}{-lost:+9.4f}", flush=True)
    return int(reached > 0 and not given.no_defences)


if __name__ == "__main__":
    raise SystemExit(main())
