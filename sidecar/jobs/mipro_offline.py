"""MIPRO for offline jobs, as MIPROv2 does it (Opsahl-Ong et al., arXiv 2406.11695).

Demonstrations are bootstrapped from rollouts of the baseline that went well, instructions are
proposed from the task, its examples and what was tried before, and a tree-structured Parzen
estimator searches the combinations on minibatches; every iteration ends with a full evaluation of
the combination that did best on them.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import product
from statistics import fmean

from sidecar.core.prompt import Demo
from sidecar.engine import demos, tpe
from sidecar.engine.factored import ORIGIN, Cell
from sidecar.jobs.base import Prompt, Score
from sidecar.jobs.book import Candidate
from sidecar.jobs.meter import Ask, LimitReached
from sidecar.jobs.mipro_propose import Proposals
from sidecar.jobs.work import Work

_BOOTSTRAP_PASSES = 3
_PULL = 5.0
"""Rewards' worth of the average with which a combination's own few are smoothed."""


class MiproSearch:
    """One search."""

    def __init__(self, work: Work, proposals: Proposals) -> None:
        self._config = work.config
        self._dials = work.config.mipro
        self._meter = work.meter
        self._proposals = proposals
        self._book = work.book
        self._journal = work.journal
        self._rng = random.Random(f"{work.seed}:mipro")
        self._texts = [work.config.baseline]
        self._sets: list[tuple[Demo, ...]] = [()]
        self._pool: list[int] = []
        self._seen: dict[Cell, list[float]] = defaultdict(list)
        """Rewards of a cell's trials."""
        self._trials: list[tpe.Tried] = []
        self._best_trial = 0.0
        self.stopped_by = "iterations"

    async def run(self) -> None:
        """Search until a limit is reached. Raises `JobCancelled`, `JobFailed`."""
        try:
            await self._bootstrap()
            await self._baseline()
            for number in range(self._dials.iterations):
                if not await self._iteration(number):
                    return
        except LimitReached as limit:
            self.stopped_by = str(limit)

    @property
    def best_minibatch(self) -> float:
        """The best average of a trial, which luck had a part in."""
        return self._best_trial

    # -- bootstrap ------------------------------------------------------------------------------

    async def _bootstrap(self) -> None:
        await self._journal.phase("bootstrap", "Looking for rollouts that went well")
        seeds = self._affordable(self._config.bootstrap_seeds)
        good: list[Score] = []
        open_ = seeds
        for repeat in range(_BOOTSTRAP_PASSES):
            scores = await self._rollouts(self._book.baseline.prompt, open_, repeat)
            self._proposals.saw(scores)
            good += [s for s in scores if s.reward >= self._dials.threshold and not s.error]
            open_ = sorted(set(open_) - {s.seed for s in good})
            if len(good) >= self._dials.min_demos or not open_:
                break
        self._choose(good)
        await self._journal.tell(
            "bootstrap.completed",
            f"{len(good)} rollouts went well, {len(self._sets) - 1} sets of demonstrations",
            {"successes": len(good), "demo_sets": len(self._sets) - 1, "seeds": len(seeds)},
            key="once",
        )

    def _choose(self, good: Sequence[Score]) -> None:
        """Demonstration sets, and seeds to search on that are in none of them if enough are."""
        found = [
            demos.Success(f"seed_{s.seed}", s.reward, 0, str(s.seed), s.asked, s.replied)
            for s in good
        ]
        chosen = demos.choose(found, threshold=self._dials.threshold, mature_at=0)
        self._sets += demos.sets(
            chosen,
            size=self._dials.demo_size,
            wanted=self._dials.demo_sets,
            known=[],
            rng=self._rng,
        )
        shown = {demo.rollout_id for demos_ in self._sets for demo in demos_}
        pool = list(self._config.train_seeds)
        apart = [seed for seed in pool if f"seed_{seed}" not in shown]
        enough = max(self._dials.batch_size, len(pool) // 2)
        self._pool = self._affordable(apart if len(apart) >= enough else pool)

    def _affordable(self, seeds: Sequence[int]) -> list[int]:
        """No more of them than a small budget can run again and again."""
        left = self._meter.left
        if left is None or len(seeds) <= max(1, left // 4):
            return list(seeds)
        return sorted(self._rng.sample(list(seeds), max(1, left // 4)))

    # -- search ---------------------------------------------------------------------------------

    async def _baseline(self) -> None:
        await self._journal.phase("search", "Searching instructions and demonstrations")
        mean = fmean(await self._full(self._book.baseline))
        self._trials.append(tpe.Tried(ORIGIN, mean))

    async def _iteration(self, number: int) -> bool:
        """One of them; whether there may be another."""
        if number in self._dials.generate_at:
            await self._propose(number)
        batch = self._rng.sample(self._pool, min(self._dials.batch_size, len(self._pool)))
        done: set[Cell] = set()
        for _ in range(self._dials.evaluations):
            cells = [c for c in self._open_cells() if c not in done]
            if self._over() or not cells:
                break
            cell = self._next(cells)
            done.add(cell)
            await self._trial(cell, batch, number)
        await self._promote()
        await self._journal.frame(
            "iteration.completed", "iteration", number + 1, {"trials": self._book.trials}
        )
        more = any(later > number for later in self._dials.generate_at)
        if not more and not self._open_cells():
            self.stopped_by = "nothing left to try"
            return False
        return not self._over()

    def _next(self, cells: list[Cell]) -> Cell:
        """The estimator's choice. Until it has seen enough, every choice is tried as often as any
        other, new instructions first by themselves: what luck leaves out it could never suggest."""
        if len(self._trials) >= self._dials.tpe.n_startup_trials:
            return tpe.suggest(cells, self._trials, self._dials.tpe, self._rng)
        texts = Counter(trial.cell[0] for trial in self._trials)
        sets = Counter(trial.cell[1] for trial in self._trials)
        least = min(texts[cell[0]] for cell in cells)
        rare = [cell for cell in cells if texts[cell[0]] == least]
        bare = [cell for cell in rare if not least and not cell[1]]
        return bare[0] if bare else min(rare, key=lambda cell: sets[cell[1]])

    def _open_cells(self) -> list[Cell]:
        """Combinations that were not evaluated in full."""
        grid = product(range(len(self._texts)), range(len(self._sets)))
        return [cell for cell in grid if not self._candidate(cell).search]

    def _candidate(self, cell: Cell) -> Candidate:
        """The candidate of a combination; one that was not tried yet stands for itself only."""
        text, shown = self._texts[cell[0]], self._sets[cell[1]]
        known = self._book.of(text, shown)
        return known or Candidate("", Prompt(text, shown), (), "combination", 0)

    def _over(self) -> bool:
        limits, book = self._config.limits, self._book
        if limits.trials is not None and book.trials >= limits.trials:
            self.stopped_by = "max_trials"
        elif limits.idle_trials is not None and book.idle >= limits.idle_trials:
            self.stopped_by = "max_trials_without_improvement"
        else:
            return False
        return True

    async def _trial(self, cell: Cell, batch: Sequence[int], number: int) -> None:
        """A combination on a minibatch."""
        prompt = Prompt(self._texts[cell[0]], self._sets[cell[1]])
        scores = await self._rollouts(prompt, batch)
        rewards = [s.reward for s in scores]
        candidate = self._book.add(prompt, self._parents(cell), "combination", number + 1)
        self._book.trials += 1
        self._book.idle += 1
        self._seen[cell] += rewards
        mean = fmean(rewards)
        candidate.trial = fmean(self._seen[cell])
        self._best_trial = max(self._best_trial, mean)
        self._trials.append(tpe.Tried(cell, mean))
        self._proposals.tried(candidate.prompt.text, candidate.trial)
        if not prompt.demos:
            self._proposals.saw(scores)
        await self._journal.tell(
            "trial.completed",
            f"trial {self._book.trials}: {mean:.3f} on {len(batch)} seeds",
            {
                "trial": self._book.trials,
                "iteration": number + 1,
                "candidate_id": candidate.candidate_id,
                "instruction": cell[0],
                "demo_set": cell[1],
                "minibatch_score": round(mean, 6),
            },
            key=str(self._book.trials),
        )
        await self._journal.progress(trial=self._book.trials)

    def _parents(self, cell: Cell) -> tuple[str, ...]:
        """The instruction without demonstrations, or the baseline for that one itself."""
        bare = self._book.of(self._texts[cell[0]])
        own = [bare.candidate_id] if bare is not None and cell[1] else []
        return (*own, *(() if own == [self._book.baseline.candidate_id] else ("baseline",)))

    async def _promote(self) -> None:
        """Evaluate in full the combination that did best on its minibatches."""
        open_ = [cell for cell in self._open_cells() if self._seen[cell]]
        if not open_:
            return
        middle = fmean(x for rewards in self._seen.values() for x in rewards)
        best = max(open_, key=lambda cell: _smoothed(self._seen[cell], middle))
        mean = fmean(await self._full(self._candidate(best)))
        self._trials.append(tpe.Tried(best, mean))
        self._proposals.tried(self._texts[best[0]], mean)

    async def _full(self, candidate: Candidate) -> list[float]:
        scores = await self._rollouts(candidate.prompt, self._pool)
        candidate.search = {s.seed: s.reward for s in scores}
        if not candidate.prompt.demos:
            self._proposals.saw(scores)
        await self._journal.evaluated(candidate, accepted=True)
        value = self._book.crown()
        if value is not None:
            await self._journal.new_best(self._book.best, value)
        await self._journal.progress()
        return list(candidate.search.values())

    async def _rollouts(self, prompt: Prompt, seeds: Sequence[int], repeat: int = 0) -> list[Score]:
        (scores,) = await self._meter.evaluate([Ask(prompt, seeds, repeat=repeat)])
        self._book.saw(scores)
        return scores

    # -- proposals ------------------------------------------------------------------------------

    async def _propose(self, number: int) -> None:
        texts = await self._proposals.write(
            self._book.best.prompt.text, self._dials.per_batch, self._texts, self._shown()
        )
        self._texts += texts
        await self._journal.tell(
            "proposals.completed",
            f"{len(texts)} new instructions",
            {"iteration": number + 1, "instructions": len(texts)},
            key=str(number + 1),
        )

    def _shown(self) -> Iterable[Demo]:
        return {demo.rollout_id: demo for demos_ in self._sets for demo in demos_}.values()


def _smoothed(rewards: Sequence[float], middle: float) -> float:
    return (sum(rewards) + _PULL * middle) / (len(rewards) + _PULL)
