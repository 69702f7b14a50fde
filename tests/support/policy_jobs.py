"""A task with a known truth, and policy jobs on it: no network, no sleeping, rewards by dice.

The right words in a prompt (`SKILLS`) make it better, the wrong ones (`HARMS`) worse,
demonstrations a little better; seeds differ in how hard they are. A rollout's dice go by what is
asked, so the same question has the same answer and another repeat another one.
"""

import contextlib
import functools
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from statistics import fmean

from sidecar.core.job import JobKind, JobRecord
from sidecar.engine.propose import ProposalFailed
from sidecar.jobs.base import Control, JobLog, Prompt, Score
from sidecar.jobs.policy_config import parse
from sidecar.jobs.run_policy import PolicyRunner
from sidecar.store.memory import MemoryStore

BASELINE = "You sort messages of bank customers."
SKILLS = {"labels": 0.12, "steps": 0.08, "short": 0.06, "examples": 0.05, "tone": 0.0, "care": 0.0}
HARMS = {"joke": -0.12, "poem": -0.2}
WORDS = [*SKILLS, *HARMS]


@functools.cache
def _hard(salt, seed):
    return random.Random(f"{salt}:hard:{seed}").gauss(0, 1)


@dataclass
class World:
    """What is true."""

    level: float = 0.45
    """The baseline's value."""
    effects: dict = field(default_factory=lambda: {**SKILLS, **HARMS})
    difficulty: float = 0.15
    """Standard deviation of what seeds add."""
    noisy: bool = True
    """Whether rewards are dice; otherwise they are the probabilities themselves."""
    salt: str = ""

    def chance(self, prompt, seed):
        hard = self.difficulty * _hard(self.salt, seed)
        words = set(re.findall(r"\w+", prompt.text))
        gain = sum(effect for word, effect in self.effects.items() if word in words)
        return min(0.98, max(0.02, self.level + gain + 0.02 * len(prompt.demos) + hard))

    def value(self, prompt, seeds=range(10_000, 12_000)):
        """The true value: over many seeds that no job has."""
        return fmean(self.chance(prompt, seed) for seed in seeds)

    def reward(self, prompt, seed, split, repeat):
        chance = self.chance(prompt, seed)
        if not self.noisy:
            return round(chance, 3)
        key = f"{self.salt}:{prompt.digest}:{seed}:{split}:{repeat}"
        dice = int.from_bytes(sha256(key.encode()).digest()[:8], "big") / 2**64
        return float(dice < chance)


class Killed(BaseException):
    """The process died."""


@dataclass
class Bill:
    """What was paid for over all runs of a job, and when the process dies."""

    rollouts: Counter = field(default_factory=Counter)
    questions: list = field(default_factory=list)
    die_after: int | None = None
    """Payments until the process dies."""

    def pay(self):
        if self.die_after is not None:
            if self.die_after == 0:
                raise Killed
            self.die_after -= 1


class SimulatedEvaluator:
    """`jobs.base.Evaluator` over a world; remembers in the journal as the real one does."""

    def __init__(self, world, log, control, bill, *, fail=lambda seed: "", cost=0.0):
        self.world, self.log, self.control, self.bill = world, log, control, bill
        self.fail, self.cost = fail, cost
        self.on_rollout = lambda: None

    async def evaluate(self, prompt, seeds, *, split="train", repeat=0):
        assert len(set(seeds)) == len(seeds)
        return [await self._one(prompt, seed, split, repeat) for seed in seeds]

    async def _one(self, prompt: Prompt, seed: int, split: str, repeat: int) -> Score:
        key = f"rollout:{prompt.digest}:{split}:{seed}:{repeat}"
        known = self.log.known(key)
        if known is None:
            await self.control.gate()
            self.bill.pay()
            self.bill.rollouts[key] += 1
            self.on_rollout()
            error = self.fail(seed)
            reward = 0.0 if error else self.world.reward(prompt, seed, split, repeat)
            known = await self.log.add(
                "rollout.completed", "", {"reward": reward, "error": error}, key=key
            )
        reward, error = known.data["reward"], known.data["error"]
        return Score(
            seed,
            reward,
            error,
            correlation_id=f"trace_{sha256(key.encode()).hexdigest()[:12]}",
            tokens=10,
            cost_usd=self.cost,
            asked=f"Message {seed}: where is my card?",
            replied=f"label {seed}",
            feedback="" if reward else "wrong label",
        )


class SimulatedReflection:
    """`engine.propose.Reflection` that adds, swaps or unites words, by the question's own dice."""

    def __init__(self, bill, *, down=0):
        self.bill, self.down = bill, down

    async def ask(self, prompt, proposer):
        if self.down:
            self.down -= 1
            raise ProposalFailed("APIConnectionError")
        self.bill.pay()
        rng = random.Random(f"{self.bill.questions.count(prompt)}:{prompt}")
        self.bill.questions.append(prompt)
        fences = re.findall(r"```\n(.*?)\n```", prompt, re.DOTALL)
        own = set(fences[0].split()) & set(WORDS)
        other = set(fences[1].split()) & set(WORDS) if len(fences) > 1 else set()
        if prompt.startswith("I have two instructions"):
            words = own | other
        else:
            words = own | {rng.choice(WORDS)}
            if rng.random() < 0.2:
                words -= {rng.choice(WORDS)}
        text = " ".join([BASELINE, *sorted(words)])
        return f"```\n{text}\n```"


class SimulatedEvaluators:
    """Where the runner gets its evaluator."""

    def __init__(self, world, bill, **options):
        self.world, self.bill, self.options = world, bill, options
        self.on_rollout = lambda: None

    @contextlib.asynccontextmanager
    async def open(self, record, spec, log, control):
        evaluator = SimulatedEvaluator(self.world, log, control, self.bill, **self.options)
        evaluator.on_rollout = self.on_rollout
        yield evaluator


def gepa(**changes):
    return {
        "evaluation": {"seeds": list(range(40)), "validation_seeds": list(range(100, 130))},
        "rollout": {"budget": 400, "minibatch_size": 6},
        "population": {"initial_size": 6, "num_generations": 8, "children_per_generation": 3},
        **changes,
    }


def mipro(**changes):
    return {
        "bootstrap_train_seeds": list(range(12)), "online_pool": list(range(40)),
        "val_seeds": list(range(100, 130)), "num_iterations": 6, "batch_size": 8,
        "num_evaluations_per_iteration": 5, **changes,
    }  # fmt: skip


def body(algorithm, section, **more):
    return {
        "prompt_learning": {
            "algorithm": algorithm,
            "task_app_url": "http://127.0.0.1:9",
            "initial_prompt": {"messages": [{"role": "system", "pattern": BASELINE}]},
            "policy": {"model": "m", "provider": "openai"},
            algorithm: section,
            **more,
        }
    }


class PolicyJob:
    """One job, which may be run, killed and run again over its journal."""

    def __init__(self, config_body, *, world=None, job_id="pl_0", clock=None, down=0, **options):
        config = parse(config_body)
        self.record = JobRecord(job_id, JobKind.POLICY, config.algorithm, config.dump(), 0.0)
        self.world = world or World(salt=job_id)
        self.bill = Bill()
        self.store = MemoryStore()
        self.control = Control()
        self.evaluators = SimulatedEvaluators(self.world, self.bill, **options)
        self.reflection = SimulatedReflection(self.bill, down=down)
        self.clock = {"clock": clock} if clock else {}
        self.stored = False

    async def run(self):
        """To the end, or to its death."""
        if not self.stored:
            await self.store.add_job(self.record)
            self.stored = True
        log = JobLog(self.record, self.store, lambda: 0.0)
        await log.restore()
        runner = PolicyRunner(self.evaluators, self.reflection, **self.clock)
        return await runner(self.record, log, self.control)

    async def events(self, what=""):
        found, after = [], 0
        while page := await self.store.job_events(self.record.job_id, after, 1000):
            found += page
            after = page[-1].seq
        return [e for e in found if e.type.endswith(what)]

    @property
    def rollouts(self):
        return sum(self.bill.rollouts.values())

    def true_value(self, result):
        return self.world.value(prompt_of(result["best_prompt"]))


def prompt_of(shown):
    """The prompt in a `best_prompt`, its demonstrations only counted."""
    messages = shown["messages"]
    text = next((m["pattern"] for m in messages if m["role"] == "system"), "")
    shown_pairs = sum(m["role"] == "assistant" for m in messages)
    return Prompt(text, tuple(range(shown_pairs)))


async def many(make, count):
    """Results of `count` jobs, each with its job."""
    jobs = [make(k) for k in range(count)]
    return [(job, await job.run()) for job in jobs]


def gaps(done):
    """Reported minus true, and true minus the baseline's, of each job."""
    out = []
    for job, result in done:
        true = job.true_value(result)
        out.append((result["best_score"] - true, true - job.world.value(Prompt(BASELINE))))
    return out
