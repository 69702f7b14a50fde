"""GEPA's choices: parents, minibatches, acceptance."""

import random
from collections import Counter
from types import SimpleNamespace

from sidecar.jobs.gepa_parts import Batches, Frontier, PairedAcceptance
from sidecar.jobs.policy import GepaDials


def state(*scores):
    rows = [dict(enumerate(row)) for row in scores]
    return SimpleNamespace(
        prog_candidate_val_subscores=rows, program_candidates=[{"p": str(k)} for k in range(9)]
    )


def frontier(**dials):
    return Frontier(GepaDials(**dials), random.Random(0))


def test_a_dominated_candidate_is_no_parent():
    assert frontier().weights(state([0, 0, 0], [1, 1, 0], [0, 0, 1])) == {1: 2, 2: 1}


def test_selection_pressure_favours_those_that_win_more_seeds():
    seen = state([1, 1, 1, 0], [0, 0, 0, 1])
    assert frontier(selection_pressure=2.0).weights(seen) == {0: 9, 1: 1}


def test_scores_within_epsilon_are_equal():
    seen = state([0.50, 1.0], [0.51, 0.0])
    assert set(frontier().weights(seen)) == {0, 1}
    assert set(frontier(pareto_eps=0.05).weights(seen)) == {0}


def test_what_is_not_in_the_archive_is_no_parent():
    seen = state([1, 0, 0], [0, 1, 1])
    assert set(frontier(archive_size=1).weights(seen)) == {1}


def test_a_mate_is_another_candidate():
    seen = state([1, 0], [0, 1])
    assert frontier().mate(seen, 0) == 1
    assert frontier().mate(state([1, 1]), 0) is None


def test_minibatches_go_through_all_seeds_and_have_none_twice():
    loader = SimpleNamespace(all_ids=lambda: list(range(10)))
    batches = Batches(4, random.Random(0))
    drawn = [batches.next_minibatch_ids(loader, None) for _ in range(10)]
    assert all(len(set(batch)) == 4 for batch in drawn)
    counts = Counter(i for batch in drawn for i in batch)
    assert set(counts) == set(range(10))
    assert max(counts.values()) - min(counts.values()) <= 2


def test_a_minibatch_is_no_larger_than_what_there_is():
    loader = SimpleNamespace(all_ids=lambda: [0, 1])
    batches = Batches(8, random.Random(0))
    assert [len(batches.next_minibatch_ids(loader, None)) for _ in range(3)] == [2, 2, 2]


def verdict(before, after, more=lambda *_: ([0.0], [0.0]), seeds=range(30)):
    told = []
    rule = PairedAcceptance(list(seeds), more, lambda *args: told.append(args))
    proposal = SimpleNamespace(
        subsample_scores_before=before, subsample_scores_after=after,
        parent_program_ids=[0], subsample_indices=list(range(len(before))),
        candidate={"p": "new"},
    )  # fmt: skip
    accepted = rule.should_accept(proposal, state([0]))
    assert told[0][1] is accepted
    return accepted


def test_a_child_that_is_clearly_better_or_worse_needs_no_more_seeds():
    def none(*_):
        raise AssertionError("ran more seeds")

    assert verdict([0.0] * 6, [1.0] * 6, none)
    assert not verdict([1.0] * 6, [0.0] * 6, none)


def test_a_child_that_is_in_doubt_is_run_on_more_seeds_until_it_is_not():
    asked = []

    def more(parent, child, seeds):
        asked.append((parent, child, list(seeds)))
        return [0.0] * len(seeds), [1.0] * len(seeds)

    assert verdict([1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0], more)
    assert asked[0] == ("0", "new", [4, 5, 6, 7])


def test_a_child_that_stays_in_doubt_is_dropped():
    assert not verdict([1.0, 0.0], [0.0, 1.0], lambda _p, _c, s: ([0.0] * len(s), [0.0] * len(s)))
