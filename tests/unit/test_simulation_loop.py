"""Feedback is what drives the simulation: a plain hill climb, with and without information.

One proposal at a time is tried against what is served, on as many conversations as it takes to see
the difference. With thumbs and words it finds a good prompt; with neither it finds nothing.
"""

import random
from statistics import fmean

import pytest
from gepa.strategies.instruction_proposal import InstructionProposalSignature

from sidecar.simulation.people import Customer, Habits
from sidecar.simulation.policy_model import PolicyModel
from sidecar.simulation.reflection_model import ReflectionModel
from sidecar.simulation.world import BASELINE, World

ROUNDS = 25
TALKS = 500


def serve(world, model, prompt, first):
    """What customers thought of a prompt, and what they wrote."""
    opinions = []
    for number in range(first, first + TALKS):
        customer = Customer(world, world.seed, number, Habits())
        question = {"role": "user", "content": customer.messages[0]}
        reply = model.reply([{"role": "system", "content": prompt}, question])
        opinions.append(customer.judge(reply))
    return fmean(o.happy for o in opinions), [o.comment for o in opinions if o.comment]


def propose(model, prompt, comments, call):
    examples = [
        {"Inputs": "a question", "Generated Outputs": "a reply", "Feedback": f"Reward 0. {said}"}
        for said in comments
    ]
    text = InstructionProposalSignature.prompt_renderer(
        {"current_instruction_doc": prompt, "dataset_with_feedback": examples}
    )
    answer = model.reply(text, call)
    return InstructionProposalSignature.output_extractor(answer)["new_instruction"]


def climb(seed):
    """How much better than the baseline the prompt is that the climb ends with."""
    world, policy, reflection = World.seeded(seed), PolicyModel(seed), ReflectionModel(seed)
    best = BASELINE
    for number in range(ROUNDS):
        rate, comments = serve(world, policy, best, 2 * number * TALKS)
        rival = propose(reflection, best, comments[:10], number)
        rival_rate, _ = serve(world, policy, rival, (2 * number + 1) * TALKS)
        best = rival if rival_rate > rate + 0.02 else best
    return world.success_rate(best) - world.success_rate(BASELINE)


def wander(seed):
    """The same without feedback: proposals see no words, and are kept by the toss of a coin."""
    world, reflection, rng = World.seeded(seed), ReflectionModel(seed), random.Random(seed)
    best = BASELINE
    for number in range(ROUNDS):
        rival = propose(reflection, best, [""], number)
        best = rng.choice([rival, best])
    return world.success_rate(best) - world.success_rate(BASELINE)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_hill_climb_on_true_feedback_finds_a_good_prompt(seed):
    assert climb(seed) > 0.20


def test_without_information_it_goes_nowhere_good():
    assert fmean(wander(seed) for seed in range(20)) < 0
