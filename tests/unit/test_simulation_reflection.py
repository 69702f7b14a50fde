"""The reflection model reads, and knows nothing that it has not read."""

from collections import Counter
from statistics import fmean

import pytest
from gepa.strategies.instruction_proposal import InstructionProposalSignature

from sidecar.simulation.english import base_form, wishes
from sidecar.simulation.instructions import probabilities
from sidecar.simulation.reflection_model import ReflectionModel
from sidecar.simulation.traits import TRAITS
from sidecar.simulation.world import BASELINE, World


def prompt(instruction, *feedback, asked="I never got it. You should have called my order number."):
    examples = [
        {"Inputs": asked, "Generated Outputs": "Please don't ask.", "Feedback": text}
        for text in feedback
    ]
    return InstructionProposalSignature.prompt_renderer(
        {"current_instruction_doc": instruction, "dataset_with_feedback": examples}
    )


def new_instruction(answer):
    return InstructionProposalSignature.output_extractor(answer)["new_instruction"]


def complaining(*comments):
    return [f'Reward 0.00 (0 is worst, 1 is best).\nThe user wrote: "{c}"' for c in comments]


@pytest.mark.parametrize(
    ("said", "instruction"),
    [
        ("You never asked for my order number.", "Ask for the customer's order number"),
        ("Hm. You should have told me who pays.", "Tell the customer who pays"),
        ("I wish you had stated the price", "State the price"),
        ("Please don't shout at me!", "Do not shout at the customer"),
        ("Please stop calling me madam.", "Stop calling the customer madam"),
        ("You shouldn't have promised it.", "Do not promise it"),
        ("You did not say when I would hear back.", "Say when they would hear back"),
        ("Why didn't you read my mail?", "Read the customer's mail"),
    ],
)
def test_a_complaint_becomes_an_instruction_by_grammar(said, instruction):
    assert [wish.instruction for wish in wishes(said, "customer")] == [instruction]


@pytest.mark.parametrize("said", ["Thanks.", "Bad answer", "It is broken", "You are late."])
def test_what_asks_for_nothing_becomes_nothing(said):
    assert list(wishes(said, "customer")) == []


@pytest.mark.parametrize(
    ("past", "base"),
    [
        ("promised", "promise"),
        ("summed", "sum"),
        ("tried", "try"),
        ("offered", "offer"),
        ("repeated", "repeat"),
        ("charged", "charge"),
        ("added", "add"),
        ("told", "tell"),
        ("included", "include"),
    ],
)
def test_verbs_find_their_base_form(past, base):
    assert base_form(past) == base


def test_the_policy_model_understands_what_becomes_of_every_complaint():
    for index, trait in enumerate(TRAITS):
        for said in (*trait.complaints, *trait.wishes):
            [wish] = wishes(f'The user wrote: "No. {said}"', "customer")
            told = probabilities(f"Be polite.\n- {wish.instruction}.")
            if not trait.harmful or said in trait.wishes:
                assert told[index] > 0.9, said
            else:
                assert told[index] <= 0.01, said


def test_the_answer_depends_on_the_prompt_the_seed_and_the_call_alone():
    text = prompt(BASELINE, *complaining("You never asked for my order number."))
    model = ReflectionModel(1)
    answers = [model.reply(text, call) for call in range(30)]
    assert answers == [ReflectionModel(1).reply(text, call) for call in range(30)]
    assert answers != [ReflectionModel(2).reply(text, call) for call in range(30)]
    assert len(set(answers)) > 5


def test_the_most_frequent_complaint_is_followed_about_half_of_the_time():
    text = prompt(
        BASELINE,
        *complaining(
            "You never asked for my order number.",
            "You should have asked me for the order number.",
            "Please don't blame me.",
        ),
    )
    answers = [new_instruction(ReflectionModel(3).reply(text, call)) for call in range(500)]
    followed = [answer for answer in answers if "order number" in answer]
    assert len(followed) / 500 == pytest.approx(0.55, abs=0.07)
    assert not any("blame" in answer for answer in answers)


def test_only_feedback_is_read_for_complaints():
    text = prompt(BASELINE, "Reward 0.00", asked="You never asked for my order number.")
    answers = [ReflectionModel(1).reply(text, call) for call in range(200)]
    assert not any("order number" in answer for answer in answers)


def test_what_the_instruction_says_already_is_not_written_twice():
    told = f"{BASELINE}\n- Ask for the customer's order number."
    text = prompt(told, *complaining("You never asked for my order number."))
    for call in range(100):
        answer = new_instruction(ReflectionModel(1).reply(text, call))
        assert answer.lower().count("order number") <= 1


def test_it_forgets_rewords_and_breaks_now_and_then():
    told = f"{BASELINE}\n- Say when the customer will hear back.\n- Offer a person to talk to."
    text = prompt(told, *complaining("You never asked for my order number."))
    seen = Counter()
    for call in range(1000):
        answer = new_instruction(ReflectionModel(5).reply(text, call))
        lines = answer.splitlines()
        assert lines[0] == BASELINE.splitlines()[0] or "You act as" in lines[0]
        seen["breaks"] += "JSON" in answer
        seen["rewords"] += len(lines) == len(told.splitlines()) and "order number" not in answer
        seen["forgets"] += "hear back" not in answer
    assert 10 <= seen["breaks"] <= 45
    assert 60 <= seen["rewords"] <= 200
    assert 15 <= seen["forgets"] <= 80


@pytest.mark.parametrize("seed", range(1, 6))
def test_without_feedback_text_it_does_not_improve_on_average(seed):
    world = World.seeded(seed)
    text = prompt(BASELINE, "Reward 0.00 (0 is worst, 1 is best).", "Reward 1.00")
    before = world.success_rate(BASELINE)
    changes = [
        world.success_rate(new_instruction(ReflectionModel(seed).reply(text, call))) - before
        for call in range(400)
    ]
    assert -0.05 < fmean(changes) < 0
    assert any(change > 0.04 for change in changes)


@pytest.mark.parametrize("text", ["", "no fence at all", "```\n```", "```\nonly an instruction"])
def test_any_text_gets_an_answer(text):
    for call in range(20):
        assert ReflectionModel(1).reply(text, call).count("```") == 2
