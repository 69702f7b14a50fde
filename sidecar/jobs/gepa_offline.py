"""GEPA for offline jobs: the `gepa` package in a thread, with our rollouts, texts and choices.

The package keeps no state of ours: no run directory, no pickle. A job that runs again evolves the
same population from the same seed, and finds every rollout and every text in its journal.
"""

import random
from collections.abc import Sequence
from typing import Any

import gepa
from gepa.core.adapter import EvaluationBatch
from gepa.proposer.reflective_mutation.reflection_lm import ReflectionProposal

from sidecar.jobs.base import Prompt, Score
from sidecar.jobs.book import Candidate
from sidecar.jobs.bridge import Bridge
from sidecar.jobs.drafts import Drafts, Question, record
from sidecar.jobs.gepa_parts import Batches, Frontier, Generations, PairedAcceptance
from sidecar.jobs.meter import Ask, LimitReached
from sidecar.jobs.policy import PolicyConfig
from sidecar.jobs.work import Work

COMPONENT = "system_prompt"
_FEW = 6
"""Seeds under which all are for both, scoring and reflection."""
_LEFT = 3
_PARETO_MOST = 64


class GepaSearch:
    """One evolution."""

    def __init__(self, work: Work, drafts: Drafts) -> None:
        config, seed = work.config, work.seed
        self._config = config
        self._dials = config.gepa
        self._meter = work.meter
        self._drafts = drafts
        self._book = work.book
        self._journal = work.journal
        self._seed = seed
        self._rng = random.Random(f"{seed}:crossover")
        self._pareto, self._feedback = split(
            config, work.meter.left, random.Random(f"{seed}:split")
        )
        self._frontier = Frontier(self._dials, random.Random(f"{seed}:parents"))
        self._planned = (
            self._dials.initial_size - 1 + self._dials.generations * self._dials.children
        )
        """Children of all generations."""
        self._state: Any = None
        self._ids: list[str] = []
        self._kinds: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._generation = 0
        self._empty = 0
        """Generations in a row without a single new text."""
        self._in_generation = False
        self._trials_before = 0
        self.stopped_by = ""

    async def run(self) -> None:
        """Evolve until a limit is reached. Raises `JobCancelled`, `JobFailed`."""
        self._bridge = Bridge()
        try:
            await self._bridge.run(self._evolve)
        except LimitReached as limit:
            self.stopped_by = str(limit)
            if self._in_generation:
                await self._tell_generation()

    def _evolve(self) -> None:
        """In the thread."""
        gepa.optimize(
            seed_candidate={COMPONENT: self._config.baseline},
            trainset=list(self._feedback),
            valset=list(self._pareto),
            adapter=_Adapter(self),
            reflection_strategy=_Reflector(self),
            candidate_selection_strategy=self._frontier,
            sampling_strategy=Generations(self._dials, self._room),
            batch_sampler=Batches(self._dials.minibatch, random.Random(f"{self._seed}:batches")),
            acceptance_criterion=PairedAcceptance(self._feedback, self._compare, self._judged),
            stop_callbacks=[self._over],
            callbacks=[_Observer(self)],
            logger=_Quiet(),
            track_best_outputs=False,
            raise_on_exception=True,
            seed=self._seed,
        )

    # -- limits ---------------------------------------------------------------------------------

    def _over(self, _state: Any) -> bool:
        """Whether the evolution has ended. A small budget makes generations smaller, not fewer
        children altogether, so generations are counted in children."""
        limits, book = self._config.limits, self._book
        reasons = {
            "num_generations": book.trials >= self._planned,
            "patience_generations": self._empty >= self._dials.patience
            or book.idle >= self._dials.patience * self._dials.children,
            "max_trials": limits.trials is not None and book.trials >= limits.trials,
            "max_trials_without_improvement": limits.idle_trials is not None
            and book.idle >= limits.idle_trials,
        }
        reason = next((name for name, holds in reasons.items() if holds), "")
        self.stopped_by = reason or self.stopped_by
        return bool(reason)

    def _room(self) -> int:
        """Children for which there is budget, keeping some for their own children."""
        trials = self._config.limits.trials
        most = max(1, min(self._planned, trials or self._planned) - self._book.trials)
        left = self._meter.left
        if left is None:
            return most
        each = 2 * min(self._dials.minibatch, len(self._feedback)) + len(self._pareto) // 2
        return min(most, max(1, left // 3 // max(1, each)))

    # -- what the package asks for, in the thread -------------------------------------------------

    def score(self, asks: Sequence[tuple[str, Sequence[int]]]) -> list[list[Score]]:
        """Scores of texts on training seeds."""
        return self._bridge.call(self._score([Ask(Prompt(text), seeds) for text, seeds in asks]))

    async def _score(self, asks: Sequence[Ask]) -> list[list[Score]]:
        out = await self._meter.evaluate(asks)
        for row in out:
            self._book.saw(row)
        await self._journal.progress(generation=self._generation)
        return out

    def _compare(
        self, parent: str, child: str, seeds: Sequence[int]
    ) -> tuple[list[float], list[float]]:
        old, new = self.score([(parent, seeds), (child, seeds)])
        return [s.reward for s in old], [s.reward for s in new]

    def _judged(self, proposal: Any, accepted: bool, mean: float) -> None:
        text = proposal.candidate[COMPONENT]
        kind, parents = self._kinds[text]
        candidate = self._book.add(Prompt(text), parents, kind, self._generation)
        candidate.trial = mean
        self._book.trials += 1
        self._book.idle += 1
        if not accepted:
            self._bridge.call(self._journal.evaluated(candidate, accepted=False))

    def write(self, jobs: Sequence[tuple[str, list[dict[str, Any]]]]) -> list[str | None]:
        """A new text for each parent, given what came of it."""
        questions, made = [], []
        for parent, records in jobs:
            question, kind, parents = self._question(parent, records)
            questions.append(question)
            made.append((kind, parents))
        texts = self._bridge.call(self._drafts.write(questions, self._tried))
        for text, how in zip(texts, made, strict=True):
            if text is not None:
                self._kinds[text] = how
        return texts

    def _tried(self) -> list[str]:
        return [c.prompt.text for c in self._book]

    def _question(
        self, parent: str, records: list[dict[str, Any]]
    ) -> tuple[Question, str, tuple[str, ...]]:
        """Reflect on what came of the parent, cross it with another one, or both."""
        crossed = self._rng.random() < self._dials.crossover_rate
        mutated = self._rng.random() < self._dials.mutation_rate
        own = [c[COMPONENT] for c in self._state.program_candidates].index(parent)
        first = self._book.candidates[self._ids[own]]
        mate = self._frontier.mate(self._state, own) if crossed else None
        if mate is None:
            return self._drafts.reflection(parent, records), "mutation", (first.candidate_id,)
        second = self._book.candidates[self._ids[mate]]
        parents = (first.candidate_id, second.candidate_id)
        other = (second.prompt.text, self._worth(second))
        if mutated:
            return self._drafts.reflection(parent, records, other), "crossover_mutation", parents
        return self._drafts.crossing((parent, self._worth(first)), other), "crossover", parents

    def _worth(self, candidate: Candidate) -> float:
        return candidate.search_mean or 0.0

    # -- what the package tells, in the thread ----------------------------------------------------

    def began(self, state: Any) -> None:
        """A generation begins."""
        self._state = state
        self._in_generation = True
        self._trials_before = self._book.trials
        self._generation = state.i + 1

    def scored(self, text: str, scores: Sequence[float]) -> None:
        """A candidate was run on the Pareto seeds."""
        candidate = self._book.of(text)
        assert candidate is not None  # the baseline, or accepted just before
        candidate.search = dict(zip(self._pareto, scores, strict=True))
        self._ids.append(candidate.candidate_id)
        self._bridge.call(self._entered(candidate))

    async def _entered(self, candidate: Candidate) -> None:
        await self._journal.evaluated(candidate, accepted=True)
        value = self._book.crown()
        if value is not None:
            await self._journal.new_best(self._book.best, value)

    def ended(self) -> None:
        """A generation is over, unless the thread is being ended in the middle of it."""
        self._empty = 0 if self._book.trials > self._trials_before else self._empty + 1
        self._bridge.call(self._tell_generation())
        self._in_generation = False

    async def _tell_generation(self) -> None:
        number = self._generation
        front = {self._ids[c]: round(w, 3) for c, w in self._frontier.weights(self._state).items()}
        await self._journal.tell(
            "frontier.updated",
            f"{len(front)} candidates are on the frontier",
            {"generation": number, "frontier": front},
            key=str(number),
        )
        extra = {"candidates": len(self._ids), "trials": self._book.trials}
        await self._journal.frame("generation.completed", "generation", number, extra)


class _Adapter:
    """Rollouts, as the package wants them."""

    propose_new_texts = None

    def __init__(self, search: GepaSearch) -> None:
        self._search = search

    def evaluate(
        self, batch: list[int], candidate: dict[str, str], capture_traces: bool = False
    ) -> Any:  # fmt: skip
        """One text on a batch of seeds."""
        (scores,) = self._search.score([(candidate[COMPONENT], batch)])
        return _batch(scores, with_traces=capture_traces)

    def batch_evaluate(self, items: list[tuple[dict[str, str], list[int]]]) -> list[Any]:
        """Several at once."""
        rows = self._search.score([(candidate[COMPONENT], batch) for candidate, batch in items])
        return [_batch(row, with_traces=True) for row in rows]

    def make_reflective_dataset(
        self, _candidate: dict[str, str], evaluated: Any, _components: list[str]
    ) -> dict[str, list[dict[str, Any]]]:
        """What the reflection model sees; failed rollouts with their errors."""
        return {COMPONENT: [record(score) for score in evaluated.trajectories]}


def _batch(scores: list[Score], *, with_traces: bool) -> Any:
    return EvaluationBatch(
        outputs=[s.replied for s in scores],
        scores=[s.reward for s in scores],
        trajectories=scores if with_traces else None,
    )


class _Reflector:
    """Texts, as the package wants them: all of a generation at once."""

    def __init__(self, search: GepaSearch) -> None:
        self._search = search

    def reflect_many(self, jobs: list[Any]) -> list[tuple[Any, "_Reflector"]]:
        """New texts; none where there was none that may be tried."""
        wanted = [(parent[COMPONENT], list(data[COMPONENT])) for parent, data, _ in jobs]
        texts = self._search.write(wanted)
        return [
            (ReflectionProposal(new_texts={} if text is None else {COMPONENT: text}), self)
            for text in texts
        ]

    def reflect(self, parent: Any, data: Any, components: Any) -> tuple[Any, "_Reflector"]:
        """One of them."""
        return self.reflect_many([(parent, data, components)])[0]


class _Observer:
    """What the package reports."""

    def __init__(self, search: GepaSearch) -> None:
        self._search = search

    def on_iteration_start(self, event: Any) -> None:
        """A generation begins."""
        self._search.began(event["state"])

    def on_valset_evaluated(self, event: Any) -> None:
        """A candidate was run on the Pareto seeds."""
        scores = event["scores_by_val_id"]
        self._search.scored(event["candidate"][COMPONENT], [scores[i] for i in sorted(scores)])

    def on_iteration_end(self, _event: Any) -> None:
        """A generation is over."""
        self._search.ended()


class _Quiet:
    """The package's log goes nowhere: it holds prompts."""

    def log(self, _message: str) -> None:
        """Nothing."""


def split(
    config: PolicyConfig, room: int | None, rng: random.Random
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Training seeds for scoring, and those to reflect on; a small budget scores on fewer."""
    seeds, dials = list(config.train_seeds), config.gepa
    rng.shuffle(seeds)
    most = len(seeds) if room is None else max(1, room // 4)
    if dials.pareto_size is None and len(seeds) < _FEW:
        return tuple(seeds[:most]), tuple(seeds)
    usual = min(_PARETO_MOST, round(len(seeds) * (1 - dials.feedback_fraction)))
    usual = min(max(usual, _LEFT), len(seeds) - _LEFT)
    size = min(dials.pareto_size or usual, most)
    return tuple(seeds[:size]), tuple(seeds[size:])
