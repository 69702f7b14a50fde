"""P17: one user cannot steer the prompt, and neither can a few, nor many that come for it.

The simulation of `bench/attacks`, small: the same brigades fail with the defences on and succeed
with them off, so this test can fail.
"""

import pytest

from bench.attacks.arena import OFF, Arena, Attack
from sidecar.core.feedback import APPLICATION, FeedbackEvent, Kind, merge
from sidecar.core.ids import BASELINE
from sidecar.core.rollout import Assignment
from sidecar.core.session import Entry, JournalEntry
from sidecar.engine import algorithms, ledger, snapshot
from sidecar.engine.config import parse
from sidecar.engine.session import SessionState

BRIGADES = [
    Attack("push", 0.20, 4),
    Attack("push", 0.20, 200),
    Attack("push", 0.05, 200, burst=True),
]


@pytest.mark.parametrize("attack", BRIGADES, ids=str)
def test_a_brigade_does_not_get_its_candidate_promoted(attack):
    assert not Arena(attack, seed=1, conversations=2600).run().succeeded


def test_without_the_defences_it_does():
    undefended = [
        Arena(attack, seed=1, conversations=2600, influence=OFF).run() for attack in BRIGADES[1:]
    ]
    assert all(arena.succeeded for arena in undefended)


def test_honest_users_get_the_best_promoted_and_are_not_slowed_down_much():
    arena = Arena(None, seed=1, conversations=2600).run()
    assert arena.happened("promoted", "best")
    assert arena.state.influences.capped < 50


# -- the parts ----------------------------------------------------------------------------------


class Session:
    """A session that is told of rewards one by one."""

    def __init__(self, **influence):
        prompt = {"messages": [{"role": "system", "pattern": "Help."}]}
        section = {"algorithm": "gepa", "initial_prompt": prompt, "influence": influence}
        self.config = parse({"prompt_learning": section})
        self.state = SessionState.begin(self.config, "5a" * 16, 0.0)
        self.last = {}
        self.told = 0

    def admit(self, candidate):
        payload = {"text": candidate, "parent_id": BASELINE, "origin": "reflection", "now": 0}
        self._apply(JournalEntry(candidate, Entry.CANDIDATE, candidate, payload, 0.0))

    def tell(self, actor, score, rollout=None, candidate=BASELINE):
        self.told += 1
        rollout = rollout or f"r{self.told}"
        said = FeedbackEvent(
            f"e{self.told}", "api", Kind.THUMBS, self.told, score=score, actor=actor
        )
        events = [*(self.last[rollout][0] if rollout in self.last else []), said]
        entry = ledger.reward_entry(
            self.state, self.state.influences, merge("s", rollout, events),
            Assignment("s", rollout, candidate, 1.0, 1, self.told, 0.0),
            prior=self.last[rollout][1] if rollout in self.last else None,
            turns=(), sketch=(), now=self.told, at=float(self.told),
        )  # fmt: skip
        self.last[rollout] = events, entry
        self._apply(entry)
        return entry.payload

    def _apply(self, entry):
        self.state.apply(
            JournalEntry(
                entry.key, entry.kind, entry.subject, entry.payload, entry.at, self.state.seq + 1
            )
        )


def test_an_actor_counts_for_a_candidate_only_so_often():
    session = Session()
    for n in range(40):
        session.tell(f"user{n}", 0.5)
    told = [session.tell("loud", 1.0) for _ in range(10)]
    assert [payload["value"] for payload in told] == [1.0] * 3 + [None] * 7
    assert told[-1]["held"] == "capped"
    assert session.state.policy.arms[BASELINE].n == 43


def test_who_has_had_their_share_may_still_change_their_mind():
    session = Session()
    for n in range(40):
        session.tell(f"user{n}", 0.5)
    for n in range(4):
        session.tell("loud", 1.0, rollout=f"theirs{n}")
    assert session.tell("loud", 0.0, rollout="theirs0")["value"] == 0.0
    assert session.tell("loud", 0.0, rollout="theirs3")["value"] is None


def test_a_small_team_is_not_held_to_the_measure_of_a_crowd():
    session = Session()
    told = [session.tell(f"tester{n % 3}", 1.0) for n in range(60)]
    assert all(payload["value"] == 1.0 for payload in told)


@pytest.mark.parametrize("actor", [None, APPLICATION, "judge"])
def test_the_application_and_those_it_trusts_have_no_limit(actor):
    session = Session(trusted=["judge"])
    for n in range(40):
        session.tell(f"user{n}", 0.5)
    assert all(session.tell(actor, 1.0)["value"] == 1.0 for _ in range(20))


def test_events_without_an_actor_can_be_taken_for_one():
    session = Session(anonymous="shared")
    for n in range(40):
        session.tell(f"user{n}", 0.5)
    assert session.tell(None, 1.0)["value"] == 1.0
    assert [session.tell(None, 1.0)["value"] for _ in range(9)][-1] is None


def test_a_candidate_of_a_few_actors_is_barred():
    session = Session(min_actors=3)
    session.admit("new")
    for n in range(40):
        session.tell(f"user{n % 2}", 1.0, candidate="new")
    assert session.state.policy.barred == {"new"}
    for n in range(40):
        session.tell(f"user{n % 3}", 1.0, candidate="new")
    assert session.state.policy.barred == set()


def test_no_name_of_an_actor_is_in_the_journal_or_the_snapshot():
    session = Session()
    payload = session.tell("ann@example.com", 1.0)
    assert "ann" not in repr(payload)
    assert b"ann" not in snapshot.dump(session.state)


def test_a_state_under_attack_is_the_same_after_a_restart():
    arena = Arena(BRIGADES[2], seed=1, conversations=1300).run()
    state = arena.state
    assert state.influences.quarantined
    kept = snapshot.dump(state)
    assert snapshot.dump(snapshot.load(kept, state.config, state.salt)) == kept
    replayed = algorithms.begin(state.config, state.salt, 0.0)
    for entry in arena.journal:
        replayed.apply(entry)
    assert snapshot.dump(replayed) == kept
