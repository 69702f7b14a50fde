"""A MIPRO session's state: rows and columns from the journal, cells from what is known."""

import json

import pytest

from sidecar.core.ids import BASELINE
from sidecar.core.prompt import Demo
from sidecar.core.session import Entry, JournalEntry
from sidecar.engine import config_mipro, snapshot
from sidecar.engine.mipro_session import ROWS, GridState

PROMPT = {"messages": [{"role": "system", "pattern": "You help."}]}


def config(**mipro):
    section = {"algorithm": "mipro", "initial_prompt": PROMPT, "mipro": mipro}
    return config_mipro.parse({"prompt_learning": section})


class Session:
    """A state, its journal, and rewards for whoever is asked for."""

    def __init__(self, **mipro):
        self.config = config(**mipro)
        self.state = GridState.begin(self.config, "salt", 0.0)
        self.journal = []
        self.tick = 0

    def append(self, kind, subject="", at=0.0, **payload):
        entry = JournalEntry(
            f"k{len(self.journal)}", kind, subject, payload, at, len(self.journal) + 1
        )
        self.journal.append(entry)
        return self.state.apply(entry)

    def enter(self):
        """Let cells begin their trial as long as the session wants one to."""
        while entry := self.state.entrant(self.tick, 0.0):
            self.append(entry.kind, entry.subject, **entry.payload)

    def row(self, text, parent=BASELINE):
        self.append(Entry.INSTRUCTION, text=text, parent_id=parent, rationale="r", now=self.tick)
        self.enter()

    def columns(self, *sets):
        plain = [[{"rollout_id": d, "user": d, "assistant": "a"} for d in s] for s in sets]
        self.append(Entry.DEMONSTRATIONS, sets=plain, now=self.tick)
        self.enter()

    def reward(self, value, candidate=BASELINE, rollout=None, replaces=None, kind=None):
        sketch = [hash(kind) % 97] * 8 if kind else []
        self.append(
            Entry.REWARD, rollout or f"r{self.tick}", revision=1, value=value, replaces=replaces,
            candidate_id=candidate, tick=self.tick, now=self.tick, random=True, sketch=sketch,
            cluster=kind or "", said=False, propensity=1.0,
        )  # fmt: skip
        self.tick += 1
        self.enter()

    @property
    def cells(self):
        return {c.cell for c in self.state.candidates.values()}


def test_a_new_instruction_is_a_row_and_its_cells_are_tried():
    session = Session()
    session.row("You help well.")
    tried = {c.cell: c for c in session.state.candidates.values()}
    assert set(tried) == {(0, 0), (1, 0)}
    assert tried[1, 0].text == "You help well."
    assert tried[1, 0].demos == ()
    assert tried[1, 0].parent_id == BASELINE


def test_demonstrations_are_columns_under_every_row():
    session = Session()
    session.row("You help well.")
    session.columns(["d1"], ["d1", "d2"])
    assert session.cells == {(row, column) for row in (0, 1) for column in (0, 1, 2)}
    both = next(c for c in session.state.candidates.values() if c.cell == (1, 2))
    assert both.demos == (Demo("d1", "d1", "a"), Demo("d2", "d2", "a"))


def test_the_grid_keeps_to_its_size_and_gives_up_rows_that_are_not_served():
    session = Session()
    for number in range(3 * ROWS):
        session.row(f"You help in way {number}.")
    rows = {row for row, _ in session.state.grid.grid}
    assert len(rows) <= ROWS
    assert 0 in rows
    assert {cell[0] for cell in session.cells} >= {0}
    assert len(session.state.instructions) == 3 * ROWS + 1


@pytest.mark.parametrize("surrogate", ["factored", "tpe"])
def test_the_journal_and_the_snapshot_give_the_same_state(surrogate):
    session = Session(surrogate=surrogate)
    session.row("You help well.")
    session.columns(["d1"])
    for number in range(130):
        weights = session.state.policy.weights
        session.reward(float(number % 3 > 0), sorted(weights)[number % len(weights)])
    again = GridState.begin(session.config, "salt", 0.0)
    for entry in session.journal:
        again.apply(entry)
    saved = snapshot.load(snapshot.dump(session.state), session.config, "salt")
    expected = json.loads(snapshot.dump(session.state))
    assert json.loads(snapshot.dump(again)) == json.loads(snapshot.dump(saved)) == expected
    session.reward(1.0)
    assert again.apply(session.journal[-1]) == saved.apply(session.journal[-1])
    assert again.policy.weights == saved.policy.weights == session.state.policy.weights


def test_a_paused_session_lets_nothing_new_in():
    session = Session()
    session.append(Entry.PAUSE)
    session.row("You help well.")
    assert session.cells == {(0, 0)}
    session.append(Entry.RESUME)
    session.enter()
    assert session.cells == {(0, 0), (1, 0)}


def good(session):
    return [r.rollout_id for r in session.state.demonstrations(session.tick)]


def test_demonstrations_come_from_settled_rollouts_above_the_threshold():
    session = Session(online_proposer_min_rollouts=3, few_shot_score_threshold=0.7)
    session.reward(0.9, rollout="fine")
    session.reward(0.6, rollout="poor")
    assert good(session) == []  # too early
    session.reward(1.0, rollout="taken back")
    assert good(session) == ["fine", "taken back"]
    session.reward(None, rollout="taken back", replaces=1.0)
    assert good(session) == ["fine"]
    session.state.policy.maturity = 100
    assert good(session) == []


def test_demonstrations_are_looked_for_again_after_as_many_rewards_until_there_are_enough():
    session = Session(online_proposer_min_rollouts=2, demo={"sets_per_size": 3})
    session.reward(1.0), session.reward(1.0)
    assert good(session)
    assert session.state.wanted_sets == 2
    session.columns()
    assert not good(session)
    session.reward(1.0), session.reward(1.0)
    assert good(session)
    session.columns(["a"], ["b"])
    assert session.state.wanted_sets == 1
    session.columns(["c"])
    session.reward(1.0), session.reward(1.0)
    assert session.state.wanted_sets == 0
    assert not good(session)


@pytest.mark.parametrize("demo", [{"sets_per_size": 0}, {"max_few_shot_examples": 0}])
def test_a_session_may_do_without_demonstrations(demo):
    session = Session(online_proposer_min_rollouts=1, demo=demo)
    session.reward(1.0)
    assert not good(session)


def plan(session, at=10.0):
    return session.state.plan(session.tick, at, 1000)


def test_a_proposal_asks_for_a_batch_and_shows_what_was_tried():
    session = Session(online_proposer_min_rollouts=4, proposer={"instructions_per_batch": 3})
    session.row("You help well.")
    other = next(c for c in session.state.candidates if c != BASELINE)
    for _ in range(3):
        session.reward(0.0)
        session.reward(1.0, other)
    due = plan(session)
    assert due.wanted == 3
    assert {r.candidate_id for r in due.examples} == {due.parent.candidate_id}
    assert [text for text, _ in due.tried] == ["You help.", "You help well."]


def test_there_is_no_proposal_before_the_earlier_ones_were_tried():
    session = Session(online_proposer_min_rollouts=2, proposer={"instructions_per_batch": 1})
    session.reward(0.0), session.reward(0.0)
    assert plan(session)
    session.append(Entry.PAUSE)
    session.row("You help well.")  # nobody is let in
    session.append(Entry.RESUME)
    session.reward(0.0), session.reward(0.0)
    assert session.cells == {(0, 0)}
    assert plan(session) is None


def test_proposals_keep_their_distance_and_their_number():
    session = Session(
        online_proposer_min_rollouts=2,
        online_proposer_min_seconds=60,
        online_proposer_max_candidates=3,
    )
    session.append(
        Entry.INSTRUCTION, at=1000.0, text="One.", parent_id=BASELINE, rationale="", now=0
    )
    session.enter()
    session.reward(0.0), session.reward(0.0)
    assert plan(session, at=1059.0) is None
    assert plan(session, at=1060.0).wanted == 2
    session.row("Two.")
    session.row("Three.")
    session.reward(0.0), session.reward(0.0)
    assert plan(session, at=5000.0) is None
