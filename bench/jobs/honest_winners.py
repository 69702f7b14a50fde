"""What offline jobs report against what is true, in worlds whose truth is known.

    PYTHONPATH=.:tests python bench/jobs/honest_winners.py --jobs 60

One line for each algorithm and world: reported minus true (mean, its standard error, and the same
for the winner's plain average over the seeds it was searched on, which is the winner's curse), the
true gain over the baseline, and how many jobs named a prompt that is truly worse.
"""

import argparse
import asyncio
import statistics
from concurrent.futures import ProcessPoolExecutor

from support.policy_jobs import PolicyJob, World, body, gaps, gepa, mipro

WORLDS = {
    "usual": {},
    "null": {"effects": {}},
    "calm": {"noisy": False},
    "hard": {"level": 0.15},
    "easy": {"level": 0.75},
    "uneven": {"difficulty": 0.35},
}


def one(args):
    number, algorithm, world, budget = args
    section = gepa(rollout={"minibatch_size": 6}) if algorithm == "gepa" else mipro()
    config = body(algorithm, section, termination_config={"max_rollouts": budget})
    job = PolicyJob(
        config, job_id=f"pl_{number}", world=World(salt=f"{world}{number}", **WORLDS[world])
    )
    result = asyncio.run(job.run())
    ((gap, gain),) = gaps([(job, result)])
    plain = max(c["outcome_reward"] for c in result["attempted_candidates"] if c["accepted"])
    return gap, gain, plain - job.true_value(result), job.rollouts


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=60)
    options.add_argument("--budget", type=int, nargs="*", default=[150, 400, 800])
    options.add_argument("--processes", type=int, default=2)
    given = options.parse_args()
    print(f"{'':24} reported - true      plain - true   gain  worse  rollouts")
    with ProcessPoolExecutor(given.processes) as pool:
        for algorithm in ("gepa", "mipro"):
            for budget in given.budget:
                for world in WORLDS:
                    asks = [(k, algorithm, world, budget) for k in range(given.jobs)]
                    gap, gain, plain, ran = zip(*pool.map(one, asks), strict=True)
                    error = statistics.stdev(gap) / len(gap) ** 0.5
                    print(
                        f"{algorithm:6}{world:8}{budget:6}    {100 * statistics.fmean(gap):+6.2f} "
                        f"+- {100 * error:4.2f}       {100 * statistics.fmean(plain):+6.2f}     "
                        f"{100 * statistics.fmean(gain):+6.2f}  {sum(g < -0.005 for g in gain):3}  "
                        f"{statistics.fmean(ran):6.0f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
