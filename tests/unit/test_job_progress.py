"""A job's progress as people see it."""

import io

import pytest

from sidecar.client.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock():
    now = [100.0]

    def clock():
        return now[0]

    clock.passes = lambda seconds: now.__setitem__(0, now[0] + seconds)
    return clock


def status(rollouts, **more):
    return {"progress": {"rollouts": rollouts, "budget": 60, "generation": 2, **more}}


def test_a_terminal_has_one_line_that_changes(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out = Terminal()
    progress = Progress(out, clock)
    progress.show({}, "pending")
    clock.passes(10)
    progress.show(status(5), "running")
    clock.passes(60)
    progress.show(status(35, best_score=0.51234, cost_usd=0.5), "running")
    progress.close()
    assert out.getvalue().split("\r") == [
        "",
        "[00:00] pending\x1b[K",
        "[00:10] running | 5/60 rollouts | generation 2\x1b[K",
        "[01:10] running | 35/60 rollouts | 0.5/s | generation 2 | best 0.512 | $0.5000\x1b[K\n",
    ]


def test_a_line_does_not_wrap(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    out = Terminal()
    Progress(out, clock).show(status(5), "running")
    assert out.getvalue() == "\r[00:00] running | 5\x1b[K"


def test_elsewhere_there_is_a_line_for_each_change_and_no_escape(clock):
    out = io.StringIO()
    progress = Progress(out, clock)
    for rollouts in (5, 5, 6):
        progress.show(status(rollouts), "running")
        clock.passes(2)
    progress.close()
    assert out.getvalue() == (
        "[00:00] running | 5/60 rollouts | generation 2\n"
        "[00:04] running | 6/60 rollouts | 0.2/s | generation 2\n"
    )


def test_an_eval_counts_seeds_and_shows_their_mean(clock):
    out = io.StringIO()
    results = {"completed": 3, "total": 8, "mean_reward": 0.25, "total_cost_usd": 0.0}
    Progress(out, clock).show({"results": results, "progress": {}}, "running")
    assert out.getvalue() == "[00:00] running | 3/8 seeds | mean 0.250\n"


def test_a_server_that_says_little_is_shown_as_it_is(clock):
    out = io.StringIO()
    progress = Progress(out, clock)
    progress.show({"progress": None, "results": [], "best_score": 0.5}, "running")
    progress.show({"progress": {"rollouts": "many", "budget": None}}, "running")
    assert out.getvalue() == "[00:00] running | best 0.500\n[00:00] running\n"
