"""The demo without sockets and prose: the real engine in its world, a run in about a second.

    python bench/engine/demo_twin.py --seeds 1-5 --luck 10
    python bench/engine/demo_twin.py --seeds 4 --feedback true --safety share_unsure=0.4 --each

`sidecar demo` takes over a minute a run, and two runs of a seed differ, because calls are
concurrent and each session draws its own salt. Here the salt is the `--luck`: so many runs of each
seed. The engine is the real one (a `SessionState` fed with journal entries, its plans, its table,
the reflection prompt, the screen for duplicates); so are the world, the reflection model and the
mail that delays thumbs and shuffles them in the control. Only the customers are abridged: what a
reply shows is drawn by the odds that the prompt gives it, and no conversation is written out.

The table: truth of what was served less the baseline's, in points, over the whole run and over its
last fifth (mean, standard deviation, least, most); runs that promoted; promotions below the
baseline; proposals; the challengers' share of the traffic, and the mean truth of what they served.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from hashlib import blake2b

from sidecar.core.rollout import Outcome, Turn
from sidecar.core.session import Entry, JournalEntry
from sidecar.engine import algorithms, reflect, screen
from sidecar.engine.influence import ANONYMOUS
from sidecar.engine.reflect import Experience
from sidecar.engine.session import Plan
from sidecar.engine.table import Table
from sidecar.simulation.instructions import probabilities
from sidecar.simulation.opinions import Mail, Thumb
from sidecar.simulation.people import Habits
from sidecar.simulation.reflection_model import ReflectionModel
from sidecar.simulation.topics import TOPICS
from sidecar.simulation.traits import CONTRACT_AT, TERSE_AT, TRAITS
from sidecar.simulation.world import BASELINE, GRID, World

_BATCH = 10
"""Conversations between deliveries of rewards: a tenth of a second in the demo."""
_LATENCY = 10
"""Conversations that a proposal takes."""
_ASKED_AT_MOST = 3
_NOTICEABLE = 0.1 * GRID


class Run:
    """One session from its first customer to its last."""

    def __init__(self, seed: int, luck: int, feedback: str, safety: Mapping[str, float]) -> None:
        self.world = World.seeded(seed)
        self.truth = self.world.success_rate(BASELINE)
        self.rng = random.Random(f"{seed}|{luck}")
        self.mail = Mail(seed, shuffle=feedback == "shuffled")
        self.model = ReflectionModel(seed)
        self.calls = 0
        self.habits = Habits()
        self.key = blake2b(f"{seed}|{luck}".encode(), digest_size=16).digest()
        prompt = {"messages": [{"role": "system", "pattern": BASELINE}]}
        gepa = {"mode": "online", "online_proposer_min_rollouts": 20, "safety": dict(safety)}
        body = {"algorithm": "gepa", "initial_prompt": prompt, "gepa": gepa}
        config = algorithms.parse({"prompt_learning": body})
        self.state = algorithms.begin(config, self.key.hex(), 0.0)
        self.table = Table.of(1, {})
        self.assigned: dict[str, tuple[str, int, int]] = {}
        """Rollout → candidate, tick and topic."""
        self.said: dict[str, str] = {}
        self.pending: tuple[int, Plan] | None = None
        """A proposal in flight, and when it is there."""
        self.served: list[float] = []
        """Truth of the prompt of each conversation, less the baseline's."""
        self.tried: list[float] = []
        """… of those that a challenger served."""

    def through(self, conversations: int) -> "Run":
        """Serve so many customers."""
        for number in range(conversations):
            self._serve(number)
            if number % _BATCH == _BATCH - 1:
                self._deliver(number)
        return self

    def _serve(self, number: int) -> None:
        rollout = f"r{number}"
        candidate, _ = self.table.draw(rollout, self.key)
        text = self.state.candidates[candidate].text
        gained = self.world.success_rate(text) - self.truth
        self.served.append(gained)
        if candidate in self.state.policy.challengers:
            self.tried.append(gained)
        if self.rng.random() >= self.habits.answering:
            return
        topic = self.rng.choices(range(len(TOPICS)), self.world.mix)[0]
        shown = self._shown(text)
        happy = self.rng.random() < self.world.chance(shown, topic)
        says = not happy and self.rng.random() < self.habits.commenting
        comment = self._comment(shown, topic) if says else ""
        self.assigned[rollout] = candidate, number, topic
        thumb = Thumb(f"t{number:07d}", ("rollout_id", rollout), happy, comment)
        self.mail.post(thumb, number + int(self.rng.expovariate(1 / self.habits.delay)))

    def _shown(self, text: str) -> int:
        """A terse reply shows nothing else but, perhaps, the broken contract."""
        shown = sum(1 << i for i, p in enumerate(probabilities(text)) if self.rng.random() < p)
        terse = 1 << TERSE_AT
        return shown & (terse | 1 << CONTRACT_AT) if shown & terse else shown

    def _comment(self, shown: int, topic: int) -> str:
        """Names one thing that was missing or unwelcome, the more likely the more it mattered."""
        if self.rng.random() < self.habits.misleading:
            texts = [t.wishes if t.harmful else t.complaints for t in TRAITS]
            return self.rng.choice(self.rng.choice([t for t in texts if t]))
        troubles = {
            index: abs(effect)
            for index, effect in enumerate(self.world.effects[topic])
            if abs(effect) > _NOTICEABLE and bool(shown >> index & 1) == (effect < 0)
        }
        if not troubles:
            return ""
        index = self.rng.choices([*troubles], [*troubles.values()])[0]
        return self.rng.choice(TRAITS[index].complaints)

    def _deliver(self, now: int) -> None:
        for thumb in self.mail.due(now):
            rollout = thumb.about[1]
            candidate, tick, topic = self.assigned[rollout]
            self.said[rollout] = thumb.comment
            value = float(thumb.up)
            payload = {
                "candidate_id": candidate, "value": value, "stated": value, "replaces": None,
                "tick": tick, "now": now, "said": bool(thumb.comment), "cluster": str(topic),
                "revision": 1, "scored": 1, "actors": [ANONYMOUS], "before": [],
            }  # fmt: skip
            self._append(Entry.REWARD, rollout, payload)
        if self.pending is not None and now >= self.pending[0]:
            plan, self.pending = self.pending[1], None
            self._write(plan, now)
        plan = None if self.pending else self.state.plan(now, 0.0, 10_000)
        if plan is not None:
            self.pending = now + _LATENCY, plan
        self.table = Table.of(self.state.version, self.state.weights)

    def _append(self, kind: Entry, subject: str, payload: Mapping[str, object]) -> None:
        entry = JournalEntry("", kind, subject, payload, 0.0, self.state.seq + 1)
        self.state.apply(entry)

    def _write(self, plan: Plan, now: int) -> None:
        question = reflect.prompt(plan.parent, [self._experience(r) for r in plan.examples], ())
        for _ in range(_ASKED_AT_MOST):
            self.calls += 1
            text = reflect.extract(self.model.reply(question, self.calls))
            if screen.normal(text) not in {screen.normal(known) for known in self.state.texts}:
                entropy = self.calls.to_bytes(6)
                entry = self.state.proposed_entry(text, plan, now, 0.0, entropy)
                self._append(entry.kind, entry.subject, entry.payload)
                return
        self._append(Entry.REFUSED, "", {"why": "duplicate", "now": now})

    def _experience(self, rewarded: object) -> Experience:
        said = self.said[rewarded.rollout_id]
        turn = Turn("", "", rewarded.rollout_id, 0.0, 0.0, Outcome.DONE, 200, None, None)
        return Experience([turn], rewarded.value, (said,) if said else ())

    def result(self) -> dict[str, float]:
        """What came of it, in 0..1 and counts."""
        promoted = [
            self.world.success_rate(self.state.candidates[e["candidate_id"]].text)
            for e in self.state.events
            if e["kind"] == "promoted"
        ]
        return {
            "gain": statistics.fmean(self.served),
            "tail": statistics.fmean(self.served[-len(self.served) // 5 :]),
            "promoted": len(promoted),
            "below": sum(truth < self.truth for truth in promoted),
            "proposed": self.state.proposed,
            "share": len(self.tried) / len(self.served),
            "tried": statistics.fmean(self.tried) if self.tried else 0.0,
        }


def run(job: tuple[int, int, str, int, Mapping[str, float]]) -> dict[str, float]:
    """One run, in a process of its own."""
    seed, luck, feedback, conversations, safety = job
    begun = time.process_time()
    result = Run(seed, luck, feedback, safety).through(conversations).result()
    return result | {"cpu": time.process_time() - begun}


def line(name: str, results: list[dict[str, float]]) -> str:
    """A row of the table."""

    def points(key: str) -> str:
        seen = [100 * r[key] for r in results]
        sd = statistics.stdev(seen) if len(seen) > 1 else 0.0
        return f"{statistics.fmean(seen):+.1f} | {sd:.1f} | {min(seen):+.1f} | {max(seen):+.1f}"

    def mean(key: str) -> float:
        return statistics.fmean(r[key] for r in results)

    return (
        f"| {name} | {len(results)} | {points('gain')} | {points('tail')} "
        f"| {sum(r['promoted'] > 0 for r in results)} | {sum(r['below'] for r in results)} "
        f"| {mean('proposed'):.0f} | {mean('share'):.0%} | {100 * mean('tried'):+.1f} "
        f"| {mean('cpu'):.1f} |"
    )


def jobs(args: argparse.Namespace, feedback: str) -> Iterator[tuple]:
    """All runs that were asked for with one kind of feedback."""
    first, _, last = args.seeds.partition("-")
    safety = {k: float(v) for k, v in (x.split("=") for x in args.safety.split(",") if x)}
    safety = {k: int(v) if v.is_integer() else v for k, v in safety.items()}
    for seed in range(int(first), int(last or first) + 1):
        for luck in range(args.luck):
            yield seed, luck, feedback, args.conversations, safety


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seeds", default="1-5", help="worlds, like 1-5 or 4")
    parser.add_argument("--luck", type=int, default=10, help="runs of each world")
    parser.add_argument("--feedback", default="true,shuffled")
    parser.add_argument("--conversations", type=int, default=8000)
    parser.add_argument("--safety", default="", help="dials, like share_unsure=0.4,risk=0.01")
    parser.add_argument("--each", action="store_true", help="print each run too")
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    print(
        "| feedback | runs | gain | sd | least | most | last fifth | sd | least | most | promoting "
        "| below | proposals | challengers | their truth | CPU s |"
    )
    print("|" + "---|" * 16)
    with ProcessPoolExecutor(args.jobs) as pool:
        for feedback in args.feedback.split(","):
            todo = list(jobs(args, feedback))
            results = []
            for job, result in zip(todo, pool.map(run, todo), strict=True):
                results.append(result)
                if args.each:
                    print(line(f"seed {job[0]} luck {job[1]} {feedback}", [result]))
                    sys.stdout.flush()
            print(line(feedback, results), flush=True)


if __name__ == "__main__":
    main()
