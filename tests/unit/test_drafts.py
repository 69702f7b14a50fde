"""Texts from the reflection model: asked again where they are no news, screened, reproducible."""

from sidecar.jobs.base import Score
from sidecar.jobs.drafts import Drafts, record
from sidecar.jobs.policy_config import parse


class Scripted:
    def __init__(self, *answers):
        self.answers = list(answers)
        self.keys = []

    async def write(self, prompt, *, key):
        self.keys.append(key)
        return self.answers.pop(0)


def config(baseline="You help {name}.", **own):
    return parse(
        {
            "prompt_learning": {
                "algorithm": "gepa",
                "task_app_url": "http://localhost:1",
                "initial_prompt": {
                    "messages": [{"role": "system", "pattern": baseline}],
                    "wildcards": {"name": "REQUIRED"},
                },
                "gepa": {"evaluation": {"seeds": [1], "validation_seeds": [2]}, **own},
            }
        }
    )


async def test_a_text_that_is_known_is_asked_for_again_under_another_key():
    writer = Scripted("```\nYou help {name}.\n```", "```\nHelp {name} well.\n```")
    drafts = Drafts(writer, config())
    question = drafts.reflection("You help {name}.", [])
    assert await drafts.write([question], lambda: ["You help {name}."]) == ["Help {name} well."]
    assert len(set(writer.keys)) == 2
    assert drafts.refused == {"duplicate": 1}


async def test_a_text_without_the_placeholder_is_not_tried():
    drafts = Drafts(Scripted(*["```\nHelp well.\n```"] * 3), config())
    assert await drafts.write([drafts.reflection("x", [])], list) == [None]
    assert drafts.refused == {"lost_placeholder": 3}


async def test_two_questions_do_not_bring_the_same_text_twice():
    writer = Scripted(*["```\nHelp {name} a.\n```"] * 2, "```\nHelp {name} b.\n```")
    drafts = Drafts(writer, config())
    asked = drafts.reflection("x", [])
    texts = await drafts.write([asked, asked], list)
    assert texts == ["Help {name} a.", "Help {name} b."]


async def test_a_long_text_is_refused_by_the_owners_limit_only():
    long = "```\nHelp {name} " + "very " * 2000 + "\n```"
    allowed, refused = (
        Drafts(Scripted(long), config()),
        Drafts(Scripted(long, long, long), config(token={"max_limit": 100})),
    )
    assert await allowed.write([allowed.reflection("x", [])], list) != [None]
    assert await refused.write([refused.reflection("x", [])], list) == [None]


def test_the_owners_guidance_and_the_placeholders_are_in_every_question():
    drafts = Drafts(Scripted(), config(metaprompt="Be brief.", mutation={"prompt": "No lists."}))
    for question in (drafts.reflection("x", []), drafts.crossing(("a", 0.1), ("b", 0.2))):
        assert all(said in question.text for said in ("Be brief.", "No lists.", "{name}"))


def test_a_failed_rollout_is_shown_with_its_error_and_without_secrets():
    shown = record(Score(3, 0.0, error="timeout with sk-abcdefghijklmnopqrstuv", feedback="late"))
    assert "This run failed: timeout with [secret]" in shown["Feedback"]
    assert "late" in shown["Feedback"]
    assert "seed 3" in shown["Inputs"]
