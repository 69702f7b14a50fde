"""Policy jobs on a task whose truth is known, GEPA and MIPRO: better, honest, within their limits,
and the same after any death."""

import asyncio
import itertools
import threading
from statistics import fmean

import pytest
from support.policy_jobs import (
    BASELINE,
    Killed,
    PolicyJob,
    World,
    body,
    gaps,
    gepa,
    many,
    mipro,
)

from sidecar.core.ids import BASELINE as BASELINE_ID
from sidecar.jobs.base import JobCancelled, JobFailed, Prompt
from sidecar.jobs.winner import reserve

SMALL_GEPA = gepa(
    evaluation={"seeds": list(range(24)), "validation_seeds": list(range(100, 116))},
    rollout={"budget": 220, "minibatch_size": 5},
)
SMALL_MIPRO = mipro(online_pool=list(range(24)), val_seeds=list(range(100, 116)), num_iterations=3)
PATIENT = {
    "gepa": {
        **SMALL_GEPA,
        "rollout": {},
        "population": {"initial_size": 6, "patience_generations": 50},
    },
    "mipro": SMALL_MIPRO,
}
HONEST = {
    "gepa": {
        **SMALL_GEPA,
        "rollout": {"minibatch_size": 5},
        "evaluation": {"seeds": list(range(30)), "validation_seeds": list(range(100, 150))},
    },
    "mipro": {**SMALL_MIPRO, "val_seeds": list(range(100, 150))},
}
ALGORITHMS = ("gepa", "mipro")


def job(algorithm, number=0, *, budget=220, term=None, section=None, **options):
    limits = {"max_rollouts": budget, **(term or {})}
    own = section or (SMALL_GEPA if algorithm == "gepa" else SMALL_MIPRO)
    return PolicyJob(
        body(algorithm, own, termination_config=limits), job_id=f"pl_{algorithm}{number}", **options
    )


def calm(number):
    """A world in which rewards are no dice, so what is better shows at once."""
    return World(noisy=False, salt=f"calm{number}")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_job_ends_with_a_truly_better_prompt(algorithm):
    done = await many(lambda k: job(algorithm, k, budget=400), 6)
    gains = [gain for _, gain in gaps(done)]
    assert fmean(gains) > 0.04
    assert min(gains) > -0.02


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_over_twenty_jobs_the_reported_score_is_the_true_one(algorithm, record_property):
    done = await many(lambda k: job(algorithm, k, section=HONEST[algorithm]), 20)
    difference = fmean(gap for gap, _ in gaps(done))
    record_property("reported_minus_true", difference)
    assert abs(difference) <= 0.03, f"reported - true = {100 * difference:+.2f} points"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_where_nothing_helps_the_reported_score_is_no_lucky_one(algorithm):
    nothing = [World(effects={}, salt=f"null{algorithm}{k}") for k in range(20)]
    done = await many(
        lambda k: job(algorithm, k, budget=300, section=HONEST[algorithm], world=nothing[k]), 20
    )
    assert abs(fmean(gap for gap, _ in gaps(done))) <= 0.03


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("budget", [1, 2, 5, 17, 60, 150])
async def test_no_rollout_is_run_beyond_the_budget(algorithm, budget):
    one = job(algorithm, budget, budget=budget)
    result = await one.run()
    assert one.rollouts == result["total_rollouts"] <= budget
    assert 0 <= result["best_score"] <= 1
    assert result["best_prompt"]["messages"][0]["role"] == "system"


async def test_most_of_the_budget_is_used_and_a_part_is_kept_for_the_final_scoring():
    one = job("mipro", budget=200)
    result = await one.run()
    fresh = sum(":validation:" in key for key in one.bill.rollouts)
    assert 150 <= one.rollouts <= 200
    assert 40 <= fresh <= 0.35 * 200 + 30
    assert result["best_score_on_fresh_seeds"] is True


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_the_search_never_sees_a_fresh_seed(algorithm):
    one = job(algorithm)
    await one.run()
    split = {int(key.split(":")[3]): key.split(":")[2] for key in one.bill.rollouts}
    assert {seed for seed, name in split.items() if name == "validation"} == set(range(100, 116))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("term", "reason"),
    [
        ({"max_trials": 3}, "max_trials"),
        ({"max_trials_without_improvement": 2}, "max_trials_without_improvement"),
        ({"max_cost_usd": 1.2}, "cost"),
    ],
)
async def test_a_termination_config_is_honoured_and_named(algorithm, term, reason):
    one = job(algorithm, budget=5000, term=term, cost=0.01, section=PATIENT[algorithm])
    result = await one.run()
    assert result["stopped_by"] == reason
    assert result["total_cost_usd"] <= term.get("max_cost_usd", 100)
    assert result["trials_tried"] <= term.get("max_trials", 100)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_job_whose_time_is_over_still_scores_what_it_has(algorithm):
    ticks = itertools.count()
    one = job(algorithm, budget=5000, term={"max_seconds": 40}, clock=lambda: next(ticks))
    result = await one.run()
    assert result["stopped_by"] == "seconds"
    assert (await one.events("limit.reached"))[0].data["limit"] == "seconds"


async def test_generations_and_children_are_bounded_as_configured():
    population = {"initial_size": 3, "num_generations": 2, "children_per_generation": 2,
                  "patience_generations": 9}  # fmt: skip
    section = {**SMALL_GEPA, "population": population, "rollout": {"budget": 3000}}
    result = await job("gepa", budget=3000, section=section).run()
    assert result["trials_tried"] == 2 + 2 * 2
    assert result["stopped_by"] == "num_generations"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_cancel_takes_effect_at_the_next_gate(algorithm):
    one = job(algorithm)
    one.evaluators.on_rollout = lambda: one.rollouts == 60 and one.control.cancel()
    with pytest.raises(JobCancelled):
        await one.run()
    assert one.rollouts == 60
    assert not [t for t in threading.enumerate() if t.name == "policy-job"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_paused_job_runs_nothing_until_it_is_resumed(algorithm):
    undisturbed = await job(algorithm).run()
    one = job(algorithm)
    paused = asyncio.Event()

    def pause():
        if one.rollouts == 70 and not paused.is_set():
            one.control.pause()
            paused.set()

    one.evaluators.on_rollout = pause
    task = asyncio.create_task(one.run())
    await paused.wait()
    done, _ = await asyncio.wait({task}, timeout=0.1)
    assert (len(done), one.rollouts) == (0, 70)
    one.control.resume()
    assert await task == undisturbed


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_job_that_is_let_go_of_leaves_no_thread_and_goes_on_later(algorithm):
    undisturbed = await job(algorithm).run()
    one = job(algorithm)
    half_way = asyncio.Event()
    one.evaluators.on_rollout = lambda: (
        one.rollouts == 80
        and (
            one.control.pause(),
            half_way.set(),
        )
    )
    task = asyncio.create_task(one.run())
    await half_way.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [t for t in threading.enumerate() if t.name == "policy-job"]
    one.evaluators.on_rollout = lambda: None
    one.control.resume()
    assert await one.run() == undisturbed


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("step", [1, 7, 29])
async def test_a_job_killed_again_and_again_ends_the_same_and_pays_nothing_twice(algorithm, step):
    undisturbed = job(algorithm, budget=110)
    expected = await undisturbed.run()
    one = job(algorithm, budget=110)
    deaths, result = 0, None
    while result is None:
        one.bill.die_after = step
        try:
            result = await one.run()
        except Killed:
            deaths += 1
    assert deaths > 2
    assert result == expected
    assert one.bill.rollouts == undisturbed.bill.rollouts
    assert set(one.bill.rollouts.values()) == {1}
    assert one.bill.questions == undisturbed.bill.questions
    told, once = await one.events(), await undisturbed.events()
    assert [e.key for e in told] == [e.key for e in once]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_failed_rollout_scores_zero_and_its_error_is_shown_to_the_reflection_model(
    algorithm,
):
    one = job(algorithm, fail=lambda seed: "connection reset by peer" if seed % 5 == 0 else "")
    result = await one.run()
    assert result["failed_rollouts"] > 10
    shown = [q for q in one.bill.questions if "This run failed: connection reset by peer" in q]
    assert shown
    assert "Reward 0.00 (0 is worst, 1 is best).\nThis run failed" in shown[0]


async def test_a_job_whose_every_rollout_fails_ends_all_the_same():
    result = await job("gepa", fail=lambda _: "no reward").run()
    assert result["best_score"] < 0.1
    assert result["failed_rollouts"] == result["total_rollouts"]


async def test_a_reflection_model_that_is_down_for_a_moment_is_asked_again(monkeypatch):
    monkeypatch.setattr("sidecar.jobs.writer._FIRST_PAUSE", 0.0)
    assert (await job("gepa", down=2).run())["trials_tried"] > 0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_reflection_model_that_stays_down_fails_the_job_and_says_so(algorithm, monkeypatch):
    monkeypatch.setattr("sidecar.jobs.writer._FIRST_PAUSE", 0.0)
    with pytest.raises(JobFailed, match="reflection model could not be reached"):
        await job(algorithm, down=10_000).run()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_the_winner_is_told_in_the_published_form(algorithm):
    one = job(algorithm, world=calm(1))
    result = await one.run()
    events = await one.events()
    best = next(e for e in reversed(events) if e.type.endswith("candidate.new_best"))
    assert best.data["best_prompt"] == result["best_prompt"]
    assert best.data["best_score"] == best.data["outcome_reward"] == result["best_score"]
    ranked = [e.data for e in events if e.data.get("rank") and "full_text" in e.data]
    assert [c["rank"] for c in ranked] == list(range(1, len(ranked) + 1))
    assert ranked[0]["full_text"] == result["best_prompt"]["messages"][0]["pattern"]
    assert {"pattern", "train_accuracy", "val_accuracy"} <= ranked[0].keys()
    validated = [e.data for e in events if e.type.endswith("validation.completed")]
    assert [v["rank"] for v in validated] == [v["rank"] for v in result["validation"]]
    assert sum(v["is_baseline"] for v in validated) == 1
    scores = [c["outcome_reward"] for c in result["optimized_candidates"]]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == result["best_score"] > result["baseline_score"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_levers_name_every_candidate_and_frames_the_rollouts_behind_them(algorithm):
    one = job(algorithm)
    result = await one.run()
    lever = result["lever_summary"]
    assert lever["candidate_lever_versions"][BASELINE_ID] == 0
    assert lever["best_candidate_id"] == result["best_candidate_id"]
    assert lever["latest_version"] == len(lever["candidate_lever_versions"]) - 1
    assert result["lever_versions"] == {lever["prompt_lever_id"]: result["best_lever_version"]}
    assert result["sensor_frames"]
    for frame in result["sensor_frames"]:
        assert all(trace.startswith("trace_") for trace in frame["trace_ids"])
        assert frame["sensor_count"] == 3 * len(frame["trace_ids"])


@pytest.mark.parametrize(
    ("algorithm", "what"), [("gepa", "generation.completed"), ("mipro", "iteration.completed")]
)
async def test_progress_and_history_are_told_while_it_runs(algorithm, what):
    one = job(algorithm)
    result = await one.run()
    frames = [e.data for e in await one.events("." + what)]
    assert [f["best_reward"] for f in frames] == [h["best_reward"] for h in result["history"]]
    progress = [e.data for e in await one.events(".progress")]
    counts = [p["rollouts"] for p in progress]
    assert counts == sorted(counts)
    assert counts[-1] == result["total_rollouts"]
    assert all(isinstance(p["best_score"], float) for p in progress[-3:])


async def test_the_applications_other_messages_stay_in_the_best_prompt():
    config = body("gepa", SMALL_GEPA)
    messages = config["prompt_learning"]["initial_prompt"]["messages"]
    messages.append({"role": "user", "pattern": "Message {text}", "order": 1})
    result = await PolicyJob(config).run()
    assert result["best_prompt"]["messages"][-1] == {"role": "user", "pattern": "Message {text}"}


async def test_the_demonstrations_of_a_winner_are_in_its_prompt():
    world = World(effects={}, salt="demos", noisy=False)
    world.chance = lambda prompt, seed: min(0.98, 0.6 + 0.1 * len(prompt.demos) + seed % 2 * 0.3)
    result = await job("mipro", world=world).run()
    roles = [m["role"] for m in result["best_prompt"]["messages"]]
    assert roles[:3] == ["system", "user", "assistant"]
    assert result["best_prompt"]["messages"][1]["pattern"].startswith("Message")


async def test_with_few_trials_mipro_tries_every_new_instruction_by_itself():
    section = {**SMALL_MIPRO, "num_iterations": 1, "num_evaluations_per_iteration": 3}
    one = job("mipro", section=section)
    await one.run()
    tried = [(e.data["instruction"], e.data["demo_set"]) for e in await one.events("al.completed")]
    assert tried[:2] == [(1, 0), (2, 0)]
    assert tried[2][1] > 0


async def test_a_prompt_without_a_system_message_can_be_optimised():
    config = body("gepa", SMALL_GEPA)
    config["prompt_learning"]["initial_prompt"]["messages"] = [
        {"role": "user", "pattern": "Message {text}"}
    ]
    result = await PolicyJob(config, world=calm(2)).run()
    assert result["best_prompt"]["messages"][-1]["role"] == "user"


def test_what_is_kept_for_the_final_scoring_is_a_part_of_the_budget():
    one = job("gepa", budget=100)
    from_record = type("Config", (), {"limits": type("L", (), {"rollouts": 100}), "finalists": 3})
    assert reserve(from_record) == 35
    assert one.world.value(Prompt(BASELINE)) > 0
