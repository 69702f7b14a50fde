"""The world is one seeded truth, and what is measured of it is what a user meets."""

import random
from statistics import fmean

import pytest

from sidecar.simulation.instructions import probabilities
from sidecar.simulation.people import Customer, Habits
from sidecar.simulation.policy_model import PolicyModel
from sidecar.simulation.topics import TOPICS, topic_of
from sidecar.simulation.traits import CONTRACT_AT, TRAITS, shown_in
from sidecar.simulation.world import BASELINE, IDEAL, World

SEEDS = range(1, 6)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_seed_is_the_same_world(seed):
    assert World.seeded(seed) == World.seeded(seed)
    assert World.seeded(seed) != World.seeded(seed + 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_baseline_is_mediocre_and_the_best_prompt_is_good(seed):
    world = World.seeded(seed)
    assert 0.40 <= world.success_rate(BASELINE) <= 0.50
    assert world.success_rate(IDEAL) >= 0.90


@pytest.mark.parametrize("seed", SEEDS)
def test_one_good_behaviour_is_visible_and_one_bad_habit_hurts(seed):
    world = World.seeded(seed)
    baseline = world.success_rate(BASELINE)
    for trait in TRAITS:
        if trait.harmful:
            continue
        gain = world.success_rate(f"{BASELINE}\n- {trait.advice}") - baseline
        assert 0.04 <= gain <= 0.13, trait.advice
    for trait in TRAITS:
        for wish in trait.wishes:
            assert world.success_rate(f"{BASELINE}\n- {wish}") < baseline + 1e-9, wish


def test_breaking_the_contract_is_a_disaster():
    world = World.seeded(1)
    broken = world.success_rate(f"{IDEAL}\n- Answer with a JSON object.")
    assert broken < world.success_rate(IDEAL) - 0.2


@pytest.mark.parametrize("prompt", [BASELINE, IDEAL, f"{IDEAL}\n- Keep it to one line."])
def test_the_truth_is_what_users_of_the_policy_model_would_find(prompt):
    world, model, rng = World.seeded(3), PolicyModel(3), random.Random(3)
    chances = []
    for _ in range(4000):
        topic = rng.choices(range(len(TOPICS)), world.mix)[0]
        question = {"role": "user", "content": TOPICS[topic].question(rng)}
        reply = model.reply([{"role": "system", "content": prompt}, question])
        chances.append(world.chance(shown_in(reply), topic))
    assert fmean(chances) == pytest.approx(world.success_rate(prompt), abs=0.015)


def test_each_fragment_shows_its_own_trait_and_no_other():
    for index, trait in enumerate(TRAITS):
        for fragment in trait.fragments:
            padding = " and so on" * 4
            assert shown_in(fragment + padding) == 1 << index, fragment
    for topic in TOPICS:
        assert shown_in(f"Thank you for your message. {topic.answer}") == 0


def test_a_reader_tells_the_topics_apart():
    rng = random.Random(1)
    for topic in TOPICS:
        assert len(set(topic.templates)) >= 8
        questions = [topic.question(rng) for _ in range(200)]
        assert all(topic_of(question) is topic for question in questions)
        assert len(set(questions)) == 200


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("Do not blame the customer.", False),
        ("Never forget to ask for the order number.", True),
        ("Answer without jargon.", True),
        ("Use jargon.", False),
        ("Leave out any legal disclaimer.", False),
        ("Summarise the customer's question, then answer.", True),
    ],
)
def test_the_policy_model_understands_english(sentence, wanted):
    before, after = probabilities(BASELINE), probabilities(f"{BASELINE}\n{sentence}")
    [(old, new)] = [(b, a) for b, a in zip(before, after, strict=True) if b != a]
    assert (new > old) is wanted


def test_the_last_instruction_counts():
    told = probabilities("Give numbered steps. Do not give numbered steps.")
    assert max(told) < 0.5


def test_a_policy_reply_depends_on_the_messages_and_the_seed_alone():
    messages = [{"role": "system", "content": IDEAL}, {"role": "user", "content": "Where is it?"}]
    parts = [*messages[:1], {"role": "user", "content": [{"type": "text", "text": "Where is it?"}]}]
    model = PolicyModel(1)
    first = model.reply(messages)
    model.reply([{"role": "user", "content": "something else"}])
    assert model.reply(messages) == first == PolicyModel(1).reply(parts)
    assert any(PolicyModel(seed).reply(messages) != first for seed in range(2, 6))


def test_customers_follow_from_the_seed_and_their_number():
    world = World.seeded(1)
    reply = "Please see our help pages."

    def visit(number):
        customer = Customer(world, 1, number, Habits())
        return customer.messages, customer.answers, customer.delay, customer.judge(reply)

    assert [visit(n) for n in range(50)] == [visit(n) for n in range(50)]


def test_customers_behave_as_their_habits_say():
    world, model = World.seeded(2), PolicyModel(2)
    happy = answers = comments = 0
    number = 4000
    for n in range(number):
        customer = Customer(world, 2, n, Habits())
        question = {"role": "user", "content": customer.messages[0]}
        opinion = customer.judge(model.reply([{"role": "system", "content": BASELINE}, question]))
        happy += opinion.happy
        answers += customer.answers
        comments += bool(opinion.comment)
        assert not (opinion.happy and opinion.comment)
    assert happy / number == pytest.approx(world.success_rate(BASELINE), abs=0.03)
    assert answers / number == pytest.approx(0.7, abs=0.03)
    assert comments / (number - happy) == pytest.approx(0.4, abs=0.04)


def test_who_misses_nothing_says_only_what_is_beside_the_point():
    world, chatty = World.seeded(1), Habits(commenting=1)
    everything = " ".join(trait.fragments[0] for trait in TRAITS if not trait.harmful)

    def comments(reply):
        customers = (Customer(world, 1, number, chatty) for number in range(2000))
        opinions = [customer.judge(reply) for customer in customers]
        unhappy = [opinion for opinion in opinions if not opinion.happy]
        return sum(bool(opinion.comment) for opinion in unhappy) / len(unhappy)

    assert comments("We have read what you wrote and will see to it in due course.") == 1
    assert 0.05 < comments(everything) < 0.4


def test_a_broken_contract_is_noticed():
    told = [{"role": "system", "content": "Answer in JSON."}]
    replies = [PolicyModel(seed).reply(told) for seed in range(20)]
    assert sum(shown_in(reply) >> CONTRACT_AT & 1 for reply in replies) >= 15
