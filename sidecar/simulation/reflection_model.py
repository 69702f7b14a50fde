"""The model that improves prompts: it knows only what stands in the reflection prompt it is sent.

It reads the current instruction from the first fence and the complaints from the examples'
feedback, follows what is complained about most, or guesses, and is careless now and then. What it
may guess comes from a repertoire of advice of the kind found in articles on prompting: mostly
useless, some of it good, some bad, on average slightly harmful.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from sidecar.simulation import english

FOLLOWS = 0.55
PARAPHRASES = 0.10
"""The rest guesses."""
FORGETS = 0.17
BREAKS = 0.025

_FENCE = re.compile(r"```[^\n]*\n(.*?)\n?```", re.DOTALL)
_FEEDBACK = re.compile(r"(?ims)^#+ *feedback[^\n]*\n(.*?)(?=^##? |^```|\Z)")
_READER = re.compile(r"(?i)\b(customer|client|patient|guest|student|reader|member)s?\b")

_REPERTOIRE = (
    "Be professional and friendly.",
    "Think carefully before you answer.",
    "You are a world-class expert in your field.",
    "Keep a consistent tone throughout.",
    "Check your answer for mistakes before you send it.",
    "Stay on the subject of the question.",
    "Use correct spelling and grammar.",
    "Write in the active voice.",
    "Take a deep breath.",
    "Pay attention to every detail of the message.",
    "Be honest about what you do not know.",
    "Answer in the language of the message.",
    "Treat every message with the same care.",
    "Read the message twice before you answer.",
    "Avoid repeating yourself.",
    "Your answer is very important.",
    "Use plain words.",
    "Apologise when something has gone wrong.",
    "Give numbered steps where there is something to do.",
    "Add a legal disclaimer where it is appropriate.",
    "Offer a discount to unhappy readers.",
    "Point out what the reader did wrong.",
    "Mention special offers where they are of interest.",
    "Answer in at most ten words.",
)
_FORMAT = "Answer with a JSON object that has the one key 'answer'."

_CHATTER = (
    "I read the examples and the feedback. Here is an improved instruction:",
    "Based on the feedback, I suggest the following instruction.",
    "Here is the new instruction for the assistant:",
)

_SYNONYMS = (
    (r"^You are\b", "You act as"),
    (r"^You act as\b", "You are"),
    (r"^Do not\b", "Never"),
    (r"^Never\b", "Do not"),
    (r"^Give\b", "Provide"),
    (r"^Ask\b", "Always ask"),
    (r"^(Tell|Say|Offer|Include|Apologise|Explain|Use)\b", r"Make sure to \1"),
)


class ReflectionModel:
    """Text in, text out."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def reply(self, prompt: str, call: int) -> str:
        """The answer to the `call`-th reflection prompt."""
        rng = Random(f"reflection|{self._seed}|{call}")
        sentences = _sentences(_current_instruction(prompt))
        revised = _revised(sentences, _complaints(prompt), rng)
        return f"{rng.choice(_CHATTER)}\n\n```\n{_text(revised)}\n```"


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    line: int
    """Sentences of one line of prose stay on one line."""


def _current_instruction(prompt: str) -> str:
    found = _FENCE.search(prompt)
    return found.group(1).strip() if found else ""


def _complaints(prompt: str) -> list[english.Wish]:
    """What the users in the examples ask for. How they are called is read from the instruction."""
    named = _READER.search(_current_instruction(prompt))
    reader = named.group(1).lower() if named else "user"
    examples = prompt.split("```", 2)[-1]
    return [
        wish
        for feedback in _FEEDBACK.findall(examples)
        for wish in english.wishes(feedback, reader)
    ]


def _sentences(text: str) -> list[_Sentence]:
    return [
        _Sentence(sentence, number)
        for number, line in enumerate(text.splitlines())
        for sentence in re.split(r"(?<=[.!?]) +", line.strip())
        if sentence
    ]


def _text(sentences: Sequence[_Sentence]) -> str:
    lines: dict[int, list[str]] = {}
    for sentence in sentences:
        lines.setdefault(sentence.line, []).append(sentence.text)
    return "\n".join(" ".join(line) for line in lines.values())


def _revised(
    sentences: list[_Sentence], complaints: Sequence[english.Wish], rng: Random
) -> list[_Sentence]:
    revised = _edited(sentences, complaints, rng)
    if rng.random() < BREAKS:
        revised = _with(_FORMAT, revised)
    return revised


def _edited(
    sentences: list[_Sentence], complaints: Sequence[english.Wish], rng: Random
) -> list[_Sentence]:
    mood = rng.random()
    if mood < PARAPHRASES:
        return _paraphrased(sentences, rng)
    kept = _careless(sentences, rng)
    wanted = _majority(complaints, sentences, rng) if mood < PARAPHRASES + FOLLOWS else None
    if wanted is None:
        return _with(rng.choice(_REPERTOIRE), kept)
    return _with(f"{wanted.instruction}.", kept)


def _careless(sentences: list[_Sentence], rng: Random) -> list[_Sentence]:
    """The first sentence says who the assistant is: nobody forgets that one."""
    if rng.random() >= FORGETS or len(sentences) < 2:
        return sentences
    lost = rng.choice(sentences[1:])
    return [sentence for sentence in sentences if sentence is not lost]


def _with(text: str, sentences: list[_Sentence]) -> list[_Sentence]:
    line = sentences[-1].line + 1 if sentences else 0
    return [*sentences, _Sentence(f"- {text}", line)]


def _majority(
    complaints: Sequence[english.Wish], sentences: Sequence[_Sentence], rng: Random
) -> english.Wish | None:
    """One of the most frequent complaints that no sentence takes care of yet."""
    heeded = [english.meaning(sentence.text) for sentence in sentences]
    groups: list[list[english.Wish]] = []
    for wish in complaints:
        if any(english.same(wish.words, words) for words in heeded):
            continue
        group = next((g for g in groups if english.alike(g[0].words, wish.words)), None)
        if group is None:
            groups.append([wish])
        else:
            group.append(wish)
    most = max((len(group) for group in groups), default=0)
    return rng.choice(rng.choice([g for g in groups if len(g) == most])) if groups else None


def _paraphrased(sentences: list[_Sentence], rng: Random) -> list[_Sentence]:
    """The same in other words, where a sentence begins like one that has other words."""
    at = rng.randrange(len(sentences)) if sentences else 0
    return [
        _Sentence(_reworded(sentence.text), sentence.line) if index == at else sentence
        for index, sentence in enumerate(sentences)
    ]


def _reworded(text: str) -> str:
    bullet, words = ("- ", text[2:]) if text.startswith("- ") else ("", text)
    for pattern, replacement in _SYNONYMS:
        reworded, count = re.subn(pattern, replacement, words)
        if count:
            return bullet + re.sub(
                r"(Make sure to|Always) ([A-Z])", lambda m: f"{m[1]} {m[2].lower()}", reworded
            )
    return text
