"""Feedback on its way: late, complete, and in the control without any information."""

import random
from collections import Counter

from sidecar.simulation.opinions import POOL, Mail, Thumb, shuffled


def thumbs(number):
    rng = random.Random(1)
    return [
        Thumb(f"t{n:04}", ("rollout_id", f"r{n}"), rng.random() < 0.3, "You never asked.")
        for n in range(number)
    ]


def test_shuffling_keeps_the_rewards_and_the_rollouts():
    before = thumbs(200)
    after = shuffled(before, random.Random(1))
    assert [thumb.about for thumb in after] == [thumb.about for thumb in before]
    assert Counter(thumb.up for thumb in after) == Counter(thumb.up for thumb in before)
    assert [thumb.up for thumb in after] != [thumb.up for thumb in before]


def test_shuffled_rewards_tell_nothing_about_their_rollout():
    before = thumbs(4000)
    after = shuffled(before, random.Random(2))
    ups = [new.up for old, new in zip(before, after, strict=True) if old.up]
    assert abs(sum(ups) / len(ups) - 0.3) < 0.05


def test_shuffled_feedback_says_nothing_in_words():
    assert not any(thumb.comment for thumb in shuffled(thumbs(50), random.Random(1)))


def test_thumbs_arrive_when_they_are_due_and_all_in_the_end():
    mail = Mail(1, shuffle=False)
    sent = thumbs(10)
    for n, thumb in enumerate(sent):
        mail.post(thumb, due=n)
    assert mail.due(3) == sent[:4]
    assert mail.due(3) == []
    assert mail.rest() == sent[4:]


def test_the_control_hands_out_whole_pools_and_the_rest():
    mail = Mail(1, shuffle=True)
    sent = thumbs(2 * POOL + 7)
    received = []
    for n, thumb in enumerate(sent):
        mail.post(thumb, due=n)
        received += mail.due(n)
        assert len(received) % POOL == 0
    received += mail.rest()
    assert {thumb.about for thumb in received} == {thumb.about for thumb in sent}
    assert Counter(thumb.up for thumb in received) == Counter(thumb.up for thumb in sent)


def test_an_event_is_what_the_feedback_route_takes():
    thumb = Thumb("t1", ("completion_id", "chatcmpl-1"), up=False, comment="No.")
    assert thumb.event() == {
        "event_id": "t1",
        "completion_id": "chatcmpl-1",
        "thumbs": "down",
        "comment": "No.",
    }
    assert Thumb("t2", ("rollout_id", "r"), up=True).event() == {
        "event_id": "t2",
        "rollout_id": "r",
        "thumbs": "up",
    }
