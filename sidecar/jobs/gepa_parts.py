"""GEPA's choices, made for rewards that are noisy: parents, children per generation, acceptance."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gepa.gepa_utils import remove_dominated_programs
from gepa.strategies.proposal_sampling import ProposalTask

from sidecar.jobs.estimate import better
from sidecar.jobs.policy import GepaDials

ACCEPT = 0.65
"""Probability of being better than its parent from which a child is accepted at once …"""
REJECT = 0.45
"""… under which it is dropped, more seeds being tried in between …"""
ACCEPT_AT_LAST = 0.6
"""… and from which it is accepted when there are no more."""
_MOST_BATCHES = 3
"""Minibatches of one comparison, at most."""


class Frontier:
    """Chooses parents: in proportion to the seeds on which nobody is better, among the candidates
    of the archive that are not dominated."""

    def __init__(self, dials: GepaDials, rng: random.Random) -> None:
        self._dials = dials
        self._rng = rng

    def select_candidate_idx(self, state: Any) -> int:
        """The next parent."""
        weights = self.weights(state)
        return self._rng.choices(list(weights), list(weights.values()))[0]

    def mate(self, state: Any, parent: int) -> int | None:
        """Another candidate of the frontier; None when there is none."""
        weights = {c: w for c, w in self.weights(state).items() if c != parent}
        return self._rng.choices(list(weights), list(weights.values()))[0] if weights else None

    def weights(self, state: Any) -> dict[int, float]:
        """Every candidate of the frontier and its share."""
        scores: Sequence[Mapping[Any, float]] = state.prog_candidate_val_subscores
        means = [sum(own.values()) / len(own) for own in scores]
        archive = sorted(range(len(means)), key=lambda c: (-means[c], c))
        kept = sorted(archive[: self._dials.archive_size])
        front: dict[Any, set[int]] = {}
        for seed in scores[0]:
            best = max(scores[c][seed] for c in kept) - self._dials.pareto_eps
            front[seed] = {c for c in kept if scores[c][seed] >= best}
        lean = remove_dominated_programs(front, scores=dict(enumerate(means)))
        wins: dict[int, float] = {}
        for winners in lean.values():
            for c in sorted(winners):
                wins[c] = wins.get(c, 0) + 1
        return {c: wins[c] ** self._dials.selection_pressure for c in sorted(wins)}


class Generations:
    """How many children a generation has: the first as many as fill the population, and never more
    than there is room for."""

    def __init__(self, dials: GepaDials, room: Callable[[], int]) -> None:
        """`room` says for how many children there is budget."""
        self._dials = dials
        self._room = room

    def sample_tasks(self, state: Any, selector: Any, batches: Any, trainset: Any) -> list[Any]:
        """Pairs of a parent and the seeds to reflect on."""
        wanted = self._dials.initial_size - 1 if state.i == 0 else self._dials.children
        tasks = []
        for _ in range(max(1, min(wanted, self._room()))):
            parent = selector.select_candidate_idx(state)
            ids = batches.next_minibatch_ids(trainset, state)
            text = state.program_candidates[parent]
            tasks.append(ProposalTask(parent, text, ids, trainset.fetch(ids)))
        return tasks


class Batches:
    """Minibatches without a seed twice: shuffled epochs, the last batch of each filled up."""

    def __init__(self, size: int, rng: random.Random) -> None:
        self._size = size
        self._rng = rng
        self._waiting: list[int] = []

    def next_minibatch_ids(self, loader: Any, _state: Any) -> list[int]:
        """The ids of the next one."""
        every = list(loader.all_ids())
        taken, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
        if len(taken) < min(self._size, len(every)):
            self._rng.shuffle(every)
            more = [i for i in every if i not in taken][: self._size - len(taken)]
            self._waiting = [i for i in every if i not in more]
            taken += more
        return taken


class PairedAcceptance:
    """Accepts a child that is probably better than its parent, seed by seed; while that is open,
    both are run on more seeds (sequential testing instead of "the larger sum")."""

    def __init__(
        self,
        seeds: Sequence[int],
        more: Callable[[str, str, Sequence[int]], tuple[list[float], list[float]]],
        told: Callable[[Any, bool, float], None],
    ) -> None:
        """`seeds` are those that there are, `more` scores two texts on some of them, and `told` is
        told the verdict and the child's average."""
        self._seeds = seeds
        self._more = more
        self._told = told

    def should_accept(self, proposal: Any, state: Any) -> bool:
        """Whether the child enters the population."""
        before = list(proposal.subsample_scores_before)
        after = list(proposal.subsample_scores_after)
        parent = state.program_candidates[proposal.parent_program_ids[0]]
        used = set(proposal.subsample_indices)
        rest = [s for i, s in enumerate(self._seeds) if i not in used]
        step = len(before)
        rest = rest[: step * (_MOST_BATCHES - 1)]
        while REJECT < better(before, after) < ACCEPT and rest:
            batch, rest = rest[:step], rest[step:]
            old, new = self._more(
                next(iter(parent.values())), next(iter(proposal.candidate.values())), batch
            )
            before += old
            after += new
        accepted = better(before, after) >= ACCEPT_AT_LAST
        self._told(proposal, accepted, sum(after) / len(after))
        return accepted
