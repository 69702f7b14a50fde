"""Whatever happens, the allocation stays a distribution, within its risk, and reproducible."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.ids import BASELINE
from sidecar.core.session import Entry, JournalEntry
from sidecar.engine import snapshot
from sidecar.engine.allocation import hope, limit
from sidecar.engine.config import SessionConfig
from sidecar.engine.options import Options
from sidecar.engine.policy import Observation, Policy
from sidecar.engine.session import SessionState
from sidecar.engine.table import Table

SALT = "00" * 16


def drive(policy, seed, steps, rates):
    """Random traffic: draws by the shares, rewards by each candidate's true rate."""
    rng = random.Random(seed)
    moves = []
    for tick in range(steps):
        if tick % 150 == 100:
            moves += policy.admit(f"c{tick}", BASELINE, tick)
        chosen = rng.choices(list(policy.weights), list(policy.weights.values()))[0]
        rate = rates.get(chosen, 0.5)
        value = 1.0 if rng.random() < rate else 0.0
        policy.observe(Observation(chosen, f"r{tick}", tick, tick + 1, value))
        if policy.due:
            moves += policy.refresh(tick + 1)
    return moves


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_shares_are_a_distribution_and_the_baseline_always_has_some(seed, base, child):
    policy = Policy()
    rates = {BASELINE: base, **{f"c{t}": child for t in range(100, 900, 150)}}
    drive(policy, seed, 900, rates)
    assert abs(sum(policy.weights.values()) - 1) < 1e-9
    assert all(share >= 0 for share in policy.weights.values())
    assert policy.weights[BASELINE] >= policy.options.control / 1.2
    live = {BASELINE, policy.incumbent, *policy.certified, *policy.challengers}
    assert set(policy.weights) == live
    assert len(policy.challengers) <= policy.options.challengers + policy.options.tested


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_a_correction_leaves_the_same_averages_as_the_right_reward_at_once(seed):
    rng = random.Random(seed)
    right, corrected = Policy(), Policy()
    for tick in range(100):
        value = rng.random()
        right.observe(Observation(BASELINE, f"r{tick}", tick, tick, value))
        wrong = rng.random()
        corrected.observe(Observation(BASELINE, f"r{tick}", tick, tick, wrong))
        corrected.observe(Observation(BASELINE, f"r{tick}", tick, tick, value, wrong))
    one, two = right.arms[BASELINE], corrected.arms[BASELINE]
    assert one.n == two.n == 100
    assert abs(one.total - two.total) < 1e-6
    assert one.waiting == two.waiting


def test_a_bad_candidate_is_retired_and_a_good_one_promoted():
    policy = Policy()
    rates = {BASELINE: 0.5, "c100": 0.1, "c250": 0.8}
    kinds = {(m.kind, m.candidate_id) for m in drive(policy, 7, 2500, rates)}
    assert ("retired", "c100") in kinds
    assert ("promoted", "c250") in kinds
    assert policy.incumbent == "c250"


def test_an_incumbent_that_turns_bad_is_rolled_back():
    policy = Policy()
    drive(policy, 7, 600, {BASELINE: 0.3, "c100": 0.9})
    assert policy.incumbent == "c100"
    rng, moves = random.Random(3), []
    for tick in range(600, 6000):
        chosen = rng.choices(list(policy.weights), list(policy.weights.values()))[0]
        rate = 0.2 if chosen == "c100" else 0.7
        value = 1.0 if rng.random() < rate else 0.0
        policy.observe(Observation(chosen, f"r{tick}", tick, tick + 1, value))
        moves += policy.refresh(tick + 1) if policy.due else []
        if policy.incumbent != "c100":
            break
    assert policy.incumbent != "c100"
    assert tick < 2500


def test_rewards_that_were_not_drawn_at_random_are_no_evidence():
    policy = Policy()
    policy.admit("c1", BASELINE, 0)
    for tick in range(500):
        value = 1.0 if tick % 2 else 0.0
        arm = "c1" if tick % 2 else BASELINE
        policy.observe(Observation(arm, f"r{tick}", tick, tick, value, random=False))
    policy.refresh(500)
    assert policy.incumbent == BASELINE
    assert policy.trials["c1"].comparisons == 0
    assert policy.belief("c1", BASELINE, 500).n == 0


@settings(max_examples=50)
@given(st.dictionaries(st.text(min_size=1), st.floats(0.001, 1), min_size=1), st.text(min_size=1))
def test_a_draw_is_the_same_every_time_and_has_its_share(weights, correlation):
    table = Table.of(3, weights)
    one = table.draw(correlation, b"key")
    assert one == table.draw(correlation, b"key")
    assert abs(sum(table.shares) - 1) < 1e-9
    assert one[1] == table.shares[table.candidates.index(one[0])]


def test_draws_follow_the_shares():
    table = Table.of(1, {"a": 0.7, "b": 0.2, "c": 0.1})
    drawn = [table.draw(f"conversation {i}", b"salt")[0] for i in range(20_000)]
    for candidate, share in zip(table.candidates, table.shares, strict=True):
        assert abs(drawn.count(candidate) / 20_000 - share) < 0.015


def journal(seed, n):
    """A journal as a real session writes it, with every kind of entry."""
    rng = random.Random(seed)
    entries, known = [], [BASELINE]
    for seq in range(1, n + 1):
        kind, subject, payload = Entry.REWARD, f"r{rng.randrange(n)}", {}
        roll = rng.random()
        if roll < 0.02:
            subject = f"c{seq}"
            kind = Entry.CANDIDATE
            payload = {
                "text": f"text {seq}",
                "parent_id": rng.choice(known),
                "origin": "reflection",
            }
            known.append(subject)
        elif roll < 0.03:
            kind, subject = rng.choice([Entry.PAUSE, Entry.RESUME, Entry.UNPIN, Entry.ROLLBACK]), ""
        elif roll < 0.035:
            kind, subject = Entry.PIN, rng.choice(known)
        else:
            value = float(rng.random() < 0.6)
            payload = {"candidate_id": rng.choice(known), "value": value, "replaces": None}
            payload |= {"tick": seq, "random": True, "sketch": [1, 2, seq % 9]}
        entries.append(
            JournalEntry(f"k{seq}", kind, subject, {**payload, "now": seq}, float(seq), seq)
        )
    return entries


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 400))
def test_a_snapshot_and_the_rest_of_the_journal_give_the_same_state(seed, cut):
    entries = journal(seed, 400)
    config = SessionConfig("You help.")
    whole = SessionState.begin(config, SALT, 0.0)
    for entry in entries:
        whole.apply(entry)
    first = SessionState.begin(config, SALT, 0.0)
    for entry in entries[:cut]:
        first.apply(entry)
    resumed = snapshot.load(snapshot.dump(first), config, SALT)
    for entry in entries:  # from the start: what is in the snapshot must not count again
        resumed.apply(entry)
    assert snapshot.dump(resumed) == snapshot.dump(whole)
    assert resumed.weights == whole.weights


def test_candidates_that_make_no_difference_are_tried_less_and_less():
    def tried(steps):
        policies = [Policy() for _ in range(4)]
        for seed, policy in enumerate(policies):
            drive(policy, seed, steps, {})
        assert all(policy.incumbent == BASELINE for policy in policies)
        return sum(1 - policy.arms[BASELINE].n / policy.seen for policy in policies) / 4

    assert tried(5000) < 0.75 * tried(1000)


@given(st.floats(-0.2, 0.3), st.floats(0.01, 0.12), st.integers(0, 5000), st.integers(1, 5000))
def test_the_more_was_tried_in_vain_the_less_is_tried_but_never_nothing(mean, sd, vain, more):
    options = Options()
    now, later = (
        limit({"c": (mean, sd)}, options, hope(spent, options)) for spent in (vain, vain + more)
    )
    assert later <= now + 1e-9
    assert later >= 0.3 * options.share_unsure


def test_a_proof_and_a_return_to_the_baseline_give_hope_again():
    policy = Policy()
    policy.vain = 1000
    drive(policy, 7, 1000, {"c100": 0.9})
    assert policy.incumbent == "c100"
    assert policy.vain < 1000
    policy.vain = 1000
    policy.roll_back(1000, "by hand")
    assert policy.vain == 0


def test_rewards_of_a_time_when_a_candidate_was_pinned_are_no_evidence():
    """They show in its average; nothing was drawn, so they are compared with nothing."""
    state = SessionState.begin(SessionConfig("You help."), SALT, 0.0)
    payload = {"candidate_id": BASELINE, "value": 1.0, "replaces": None, "tick": 1, "now": 9}
    for seq, drawn in enumerate((True, False, False), 1):
        entry = JournalEntry(
            f"k{seq}", Entry.REWARD, f"r{seq}", {**payload, "random": drawn}, 1.0, seq
        )
        state.apply(entry)
    arm = state.policy.arms[BASELINE]
    assert arm.n == 3
    assert sum(n for n, _ in arm.buckets.values()) == 1
