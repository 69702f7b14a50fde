"""What `store/base.py` promises, asked of every store.

`place.written()` stands between writing and reading: everything recorded so far is stored after it.
One of the stores is closed and reopened there, so that each promise is also one about the file.
"""

import asyncio
import random
from dataclasses import replace

from support.stores import assigned, attributed, event, turned

from sidecar.core.feedback import Kind
from sidecar.core.rollout import Outcome
from sidecar.store.base import LOCATED, Counts, DeadLetter, DueReward

# Assignments and turns


async def test_an_assignment_comes_back_as_it_was(place):
    wanted = assigned("r1", weight=0.0, propensity=1 / 3)
    assert await place.store.record_assignment(wanted)
    store = await place.written()
    assert await store.assignment("s", "r1") == wanted
    assert await store.assignment("s", "other") is None
    assert await store.assignment("other", "r1") is None


async def test_the_first_assignment_of_a_rollout_wins(place):
    first = place.store.record_assignment(assigned("r1"))
    second = place.store.record_assignment(assigned("r1", candidate_id="cand_2"))
    assert await asyncio.gather(first, second) == [assigned("r1")] * 2
    store = await place.written()
    assert await store.assignment("s", "r1") == assigned("r1")
    assert await store.recent_assignments("s", 9) == [assigned("r1")]


async def test_the_newest_assignments_come_first(place):
    for number in range(5):
        place.store.record_assignment(assigned(f"r{number}", tick=number))
    place.store.record_assignment(assigned("r9", session="other"))
    store = await place.written()
    assert [a.rollout_id for a in await store.recent_assignments("s", 3)] == ["r4", "r3", "r2"]


async def test_the_tally_counts_each_candidates_assignments_in_the_session(place):
    for number, candidate in enumerate(["baseline", "cand_1", "baseline"]):
        place.store.record_assignment(assigned(f"r{number}", candidate_id=candidate))
    place.store.record_assignment(assigned("r0", session="other"))
    store = await place.written()
    assert await store.tally("s") == {"baseline": 2, "cand_1": 1}
    assert await store.tally("unheard-of") == {}


async def test_a_rollout_id_is_located_in_every_session_that_has_it(place):
    there = [assigned("r1", "s1"), assigned("r1", "s2")]
    for assignment in [*there, assigned("r2", "s1")]:
        place.store.record_assignment(assignment)
    store = await place.written()
    found = await store.locate(rollout_id="r1")
    assert sorted(found, key=lambda a: a.session_id) == there
    assert await store.locate(rollout_id="unheard-of") == []


async def test_a_completion_id_is_located_by_any_turn_that_holds_it(place):
    for rollout in ("r1", "r2"):
        place.store.record_assignment(assigned(rollout))
    for turn, rollout, completion in (("a", "r1", "c-1"), ("b", "r1", "c-2"), ("c", "r2", "c-3")):
        place.store.record_turn(turned(turn, rollout, completion_id=completion))
    place.store.record_turn(turned("d", "without-assignment", completion_id="c-4"))
    store = await place.written()
    assert await store.locate(completion_id="c-2") == [assigned("r1")]
    assert await store.locate(completion_id="c-3") == [assigned("r2")]
    assert await store.locate(completion_id="c-4") == []


async def test_a_replys_text_leads_to_every_rollout_that_gave_it(place):
    for rollout, session in (("r1", "s"), ("r2", "s"), ("r1", "other")):
        place.store.record_assignment(assigned(rollout, session))
    said = (
        *(("a", "r1", "s", "yes"), ("b", "r1", "s", "yes"), ("c", "r1", "other", "yes")),
        *(("d", "r2", "s", "no"), ("e", "nowhere", "s", "lost"), ("f", "r2", "s", None)),
    )
    for turn, rollout, session, fingerprint in said:
        place.store.record_turn(turned(turn, rollout, session, fingerprint=fingerprint))
    store = await place.written()
    found = await store.locate(fingerprint="yes")
    both = [assigned("r1", "other"), assigned("r1")]
    assert sorted(found, key=lambda a: a.session_id) == both
    assert await store.locate(fingerprint="no") == [assigned("r2")]
    assert await store.locate(fingerprint="lost") == []
    assert await store.locate(fingerprint="unheard-of") == []


async def test_a_text_that_very_many_gave_leads_to_a_bounded_number_of_them(place):
    for number in range(LOCATED + 7):
        place.store.record_assignment(assigned(f"r{number}"))
        place.store.record_turn(turned(f"t{number}", f"r{number}", fingerprint="yes"))
    store = await place.written()
    assert len(set(await store.locate(fingerprint="yes"))) == LOCATED


async def test_a_turn_comes_back_as_it_was_whatever_users_wrote(place):
    request = (("system", 'Say "hi"\n\0'), ("user", "half a pair: \ud83d, a whole one: 😀"))
    wanted = turned(
        "a",
        outcome=Outcome.ABORTED,
        status=None,
        completion_id="c",
        chain_key="k",
        fingerprint="f",
        request=request,
        reply="ünïcode \ud800",
        prompt_tokens=2**40,
    )
    plain = turned("b")
    assert place.store.record_turn(wanted)
    assert place.store.record_turn(plain)
    store = await place.written()
    assert await store.turns("s", ["r1"]) == [wanted, plain]


async def test_turns_of_the_asked_rollouts_come_oldest_first(place):
    for turn, rollout, at in (("a", "r1", 3.0), ("b", "r2", 1.0), ("c", "r3", 0.0), ("d", "r1", 2)):
        place.store.record_turn(turned(turn, rollout, started_at=at))
    place.store.record_turn(turned("e", "r1", session="other"))
    store = await place.written()
    assert [turn.turn_id for turn in await store.turns("s", ["r1", "r2"])] == ["b", "d", "a"]
    assert await store.turns("s", []) == []


async def test_a_turn_is_stored_once(place):
    place.store.record_turn(turned("a"))
    place.store.record_turn(turned("a", outcome=Outcome.FAILED))
    store = await place.written()
    assert await store.turns("s", ["r1"]) == [turned("a")]


async def test_the_newest_chains_come_first_and_turns_without_one_are_left_out(place):
    for turn, chain in (("a", "k1"), ("b", None), ("c", "k2"), ("d", "k3")):
        place.store.record_turn(turned(turn, f"r-{turn}", chain_key=chain))
    place.store.record_turn(turned("e", session="other", chain_key="k4"))
    store = await place.written()
    assert await store.recent_chains("s", 2) == [("k3", "r-d"), ("k2", "r-c")]
    assert len(await store.recent_chains("s", 9)) == 3


async def test_a_chain_leads_to_the_newest_turn_that_has_it_the_best_key_first(place):
    for turn, chain in (("a", "k1"), ("b", "k2"), ("c", "k1"), ("d", None)):
        place.store.record_turn(turned(turn, f"r-{turn}", chain_key=chain))
    place.store.record_turn(turned("e", "r-e", session="other", chain_key="k3"))
    store = await place.written()
    assert await store.chained("s", ["k1"]) == "r-c"
    assert await store.chained("s", ["unheard-of", "k2", "k1"]) == "r-b"
    assert await store.chained("s", ["k3"]) is None
    assert await store.chained("s", []) is None


async def test_pruning_empties_old_content_and_keeps_the_turns(place):
    old = turned("a", started_at=10.0, request=(("user", "secret"),), reply="secret", chain_key="k")
    young = turned("b", started_at=20.0, reply="kept")
    for turn in (old, young, turned("c", started_at=5.0)):
        place.store.record_turn(turn)
    assert await place.store.prune(before=20.0) == 1
    assert await place.store.prune(before=20.0) == 0
    store = await place.written()
    assert (await store.turns("s", ["r1"]))[1:] == [replace(old, request=(), reply=""), young]


# Feedback and its attribution


async def test_an_event_comes_back_as_it_was(place):
    wanted = event("e1", kind=Kind.CORRECTION, score=None, correction="\ud83d 😀", actor="u")
    assert await place.store.add_feedback([wanted], 2000.0) == [None]
    store = await place.written()
    assert await store.waiting_feedback(9) == [wanted]


async def test_a_repeated_event_changes_nothing_and_shows_the_first(place):
    assert await place.store.add_feedback([event("e1")], 2000.0) == [None]
    store = await place.written()
    late = [event("e1", score=0.0), event("e2")]
    assert await store.add_feedback(late, 9000.0) == [event("e1"), None]
    assert await store.expire_feedback(2000.0) == 1
    assert await store.waiting_feedback(9) == [event("e2")]


async def test_an_event_repeated_within_one_call_counts_once(place):
    sent = [event("e1"), event("e1", score=0.0), event("e2")]
    assert await place.store.add_feedback(sent, 2000.0) == [None, event("e1"), None]
    store = await place.written()
    assert await store.waiting_feedback(9) == [event("e1"), event("e2")]


async def test_nothing_sent_is_nothing_stored(place):
    assert await place.store.add_feedback([], 2000.0) == []
    assert await place.store.append("s", []) == []


async def test_waiting_events_are_read_page_by_page(place):
    names = [f"e{number}" for number in range(7)]
    shuffled = random.Random(7).sample(names, len(names))
    await place.store.add_feedback([event(name) for name in shuffled], 2000.0)
    store = await place.written()
    read, after = [], ""
    while page := await store.waiting_feedback(3, after):
        read += [waiting.event_id for waiting in page]
        after = read[-1]
    assert read == names


async def test_an_attributed_event_belongs_to_its_rollout_and_waits_no_more(place):
    await attributed(place.store, "e1")
    store = await place.written()
    owned = event("e1", session_id="s", rollout_id="r1")
    assert await store.events_of("s", "r1") == [owned]
    assert await store.events_of("other", "r1") == []
    assert await store.waiting_feedback(9) == []
    assert await store.add_feedback([event("e1")], 2000.0) == [owned]


async def test_an_event_is_attributed_once_even_when_many_try(place):
    await place.store.add_feedback([event("e1")], 2000.0)
    tries = (place.store.attribute("e1", "s", f"r{number}") for number in range(20))
    assert sum(await asyncio.gather(*tries)) == 1
    store = await place.written()
    assert not await store.attribute("e1", "s", "late")
    owners = [bool(await store.events_of("s", f"r{number}")) for number in range(20)]
    assert sum(owners) == 1
    assert len(await store.due_rewards(2000.0, 99)) == 1


async def test_an_unknown_event_cannot_be_attributed(place):
    assert not await place.store.attribute("unheard-of", "s", "r1")
    assert await place.store.due_rewards(2000.0, 9) == []


async def test_an_event_expires_when_its_time_has_come_and_stays_known(place):
    await place.store.add_feedback([event("e1"), event("e2")], 2000.0)
    await place.store.add_feedback([event("e3")], 2001.0)
    assert await place.store.attribute("e2", "s", "r1")
    assert await place.store.expire_feedback(1999.0) == 0
    assert await place.store.expire_feedback(2000.0) == 1
    store = await place.written()
    assert [waiting.event_id for waiting in await store.waiting_feedback(9)] == ["e3"]
    assert not await store.attribute("e1", "s", "r1")
    assert await store.add_feedback([event("e1")], 9000.0) == [event("e1")]
    assert len(await store.events_of("s", "r1")) == 1


# The outbox


async def test_a_rollout_with_news_is_due_at_once_with_all_its_events(place):
    await attributed(place.store, "e1", "e2")
    store = await place.written()
    assert await store.due_rewards(0.0, 9) == [DueReward("s", "r1", 2, 0, 0)]


async def test_what_was_reported_is_not_due_until_there_is_news(place):
    await attributed(place.store, "e1")
    await place.store.mark_reported("s", "r1", 1)
    store = await place.written()
    assert await store.due_rewards(9e9, 9) == []
    await attributed(store, "e2")
    assert await store.due_rewards(9e9, 9) == [DueReward("s", "r1", 2, 1, 0)]


async def test_a_late_report_of_an_older_revision_takes_nothing_back(place):
    await attributed(place.store, "e1", "e2")
    await place.store.mark_reported("s", "r1", 2)
    await place.store.mark_reported("s", "r1", 1)
    store = await place.written()
    assert await store.due_rewards(9e9, 9) == []


async def test_news_that_came_during_a_delivery_is_still_due_after_it(place):
    await attributed(place.store, "e1", "e2")
    await place.store.mark_reported("s", "r1", 1)
    store = await place.written()
    assert await store.due_rewards(9e9, 9) == [DueReward("s", "r1", 2, 1, 0)]


async def test_a_reward_that_was_put_off_is_due_when_its_time_comes(place):
    await attributed(place.store, "e1")
    await place.store.put_off("s", "r1", 1500.0, "refused", dead=False)
    await place.store.put_off("s", "r1", 1600.0, "refused", dead=False)
    store = await place.written()
    assert await store.due_rewards(1599.0, 9) == []
    assert await store.due_rewards(1600.0, 9) == [DueReward("s", "r1", 1, 0, 2)]


async def test_news_brings_a_reward_that_was_put_off_back_at_once(place):
    await attributed(place.store, "e1")
    await place.store.put_off("s", "r1", 1600.0, "refused", dead=False)
    await attributed(place.store, "e2")
    store = await place.written()
    assert await store.due_rewards(1001.0, 9) == [DueReward("s", "r1", 2, 0, 0)]


async def test_a_delivery_starts_the_count_of_attempts_again(place):
    await attributed(place.store, "e1", "e2")
    await place.store.put_off("s", "r1", 1100.0, "refused", dead=False)
    await place.store.mark_reported("s", "r1", 1)
    store = await place.written()
    assert await store.due_rewards(1100.0, 9) == [DueReward("s", "r1", 2, 1, 0)]


async def test_the_reward_that_has_been_due_for_longest_comes_first(place):
    for name, rollout, at in (("e1", "r1", 1003.0), ("e2", "r2", 1001.0), ("e3", "r3", 1002.0)):
        await place.store.add_feedback([event(name, received_at=at)], 2000.0)
        await place.store.attribute(name, "s", rollout)
    await place.store.put_off("s", "r2", 1010.0, "refused", dead=False)
    store = await place.written()
    assert [due.rollout_id for due in await store.due_rewards(1005.0, 9)] == ["r3", "r1"]
    assert [due.rollout_id for due in await store.due_rewards(1010.0, 9)] == ["r3", "r1", "r2"]
    assert [due.rollout_id for due in await store.due_rewards(1010.0, 1)] == ["r3"]


async def test_a_busy_rollout_keeps_its_place_in_the_line(place):
    for name, rollout, at in (("e1", "r1", 1001.0), ("e2", "r2", 1002.0), ("e3", "r1", 1003.0)):
        await place.store.add_feedback([event(name, received_at=at)], 2000.0)
        await place.store.attribute(name, "s", rollout)
    store = await place.written()
    assert [due.rollout_id for due in await store.due_rewards(1005.0, 9)] == ["r1", "r2"]


async def test_news_takes_the_place_in_the_line_of_when_it_came(place):
    for name, rollout, at in (("e1", "r1", 1001.0), ("e2", "r2", 1003.0)):
        await place.store.add_feedback([event(name, received_at=at)], 2000.0)
        await place.store.attribute(name, "s", rollout)
    await place.store.put_off("s", "r1", 1100.0, "refused", dead=False)
    await place.store.add_feedback([event("e3", received_at=1002.0)], 2000.0)
    await place.store.attribute("e3", "s", "r1")
    store = await place.written()
    assert [due.rollout_id for due in await store.due_rewards(1005.0, 9)] == ["r1", "r2"]


async def test_dead_letters_are_listed_oldest_first_and_are_not_due(place):
    for number, at in (("1", 1200.0), ("2", 1100.0)):
        await attributed(place.store, f"e{number}", rollout=f"r{number}")
        await place.store.put_off("s", f"r{number}", at, f"gone {number}", dead=True)
    store = await place.written()
    newer, older = (
        DeadLetter("s", "r1", 1, "gone 1", 1200.0),
        DeadLetter("s", "r2", 1, "gone 2", 1100),
    )
    assert await store.dead_letters(9) == [older, newer]
    assert await store.dead_letters(1) == [older]
    assert await store.due_rewards(9e9, 9) == []


async def test_a_dead_letter_can_be_replayed_once(place):
    await attributed(place.store, "e1")
    assert not await place.store.replay("s", "r1")
    await place.store.put_off("s", "r1", 1200.0, "gone", dead=True)
    assert await place.store.replay("s", "r1")
    store = await place.written()
    assert not await store.replay("s", "r1")
    assert not await store.replay("s", "unheard-of")
    assert await store.dead_letters(9) == []
    assert await store.due_rewards(0.0, 9) == [DueReward("s", "r1", 1, 0, 0)]


async def test_news_brings_a_dead_letter_back(place):
    await attributed(place.store, "e1")
    await place.store.put_off("s", "r1", 1200.0, "gone", dead=True)
    await attributed(place.store, "e2")
    store = await place.written()
    assert await store.dead_letters(9) == []
    assert await store.due_rewards(0.0, 9) == [DueReward("s", "r1", 2, 0, 0)]


async def test_a_delivery_that_came_through_after_all_takes_the_dead_letter_away(place):
    await attributed(place.store, "e1")
    await place.store.put_off("s", "r1", 1200.0, "timed out", dead=True)
    await place.store.mark_reported("s", "r1", 1)
    await place.store.put_off("s", "r1", 1300.0, "timed out", dead=True)
    store = await place.written()
    assert await store.dead_letters(9) == []
    assert await store.due_rewards(9e9, 9) == []


async def test_a_rollout_that_owes_nothing_cannot_be_marked_or_put_off(place):
    await place.store.mark_reported("s", "r1", 3)
    await place.store.put_off("s", "r1", 1200.0, "gone", dead=True)
    store = await place.written()
    assert await store.dead_letters(9) == []
    assert await store.counts() == Counts(0, 0, 0, 0, 0)
