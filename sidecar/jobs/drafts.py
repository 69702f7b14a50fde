"""New instructions from the reflection model: what it is asked, and which answers may be tried."""

from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from sidecar.engine import screen
from sidecar.engine.reflect import data, extract, keep_placeholders, render
from sidecar.jobs.base import Score, Writer
from sidecar.jobs.policy import PolicyConfig
from sidecar.jobs.together import all_of

_ASKED_AT_MOST = 3
"""Times per wanted text; a text that is known already is no news."""
_SHOWN = 2000
_INSTRUCTION = 8000
_CROSS = """I have two instructions for the same assistant. Each does well where the other does not.

First instruction, average reward {first_mean:.2f}:
```
{first}
```

Second instruction, average reward {second_mean:.2f}:
```
{second}
```

Write one instruction that unites what is good in both, without repeating or contradicting itself. \
Provide the new instruction within ``` blocks."""
_MATE = """

This other instruction does well where the one above does not (average reward {mean:.2f}). Take \
over what is good in it:
```
{text}
```"""
_GUIDANCE = """

The owner of the assistant says about the instruction to write:
{text}"""


class Question(NamedTuple):
    """What to ask, and whose text the answer would replace."""

    text: str
    parent: str


class Drafts:
    """Asks for texts and screens them."""

    def __init__(self, writer: Writer, config: PolicyConfig) -> None:
        self._writer = writer
        self._config = config
        self._asked: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        """Reasons for which answers were not tried."""

    async def write(
        self, questions: Sequence[Question], known: Callable[[], Sequence[str]]
    ) -> list[str | None]:
        """A new text for each question; None where the model had none that may be tried. Raises
        `JobFailed`, `JobCancelled`."""
        out: list[str | None] = [None] * len(questions)
        for _ in range(_ASKED_AT_MOST):
            open_ = [i for i, text in enumerate(out) if text is None]
            keys = [self._key(questions[i].text) for i in open_]
            answers = await all_of(
                self._writer.write(questions[i].text, key=key)
                for i, key in zip(open_, keys, strict=True)
            )
            for i, answer in zip(open_, answers, strict=True):
                text = extract(answer.strip())
                tried = [*known(), *(t for t in out if t is not None)]
                why = self._refusal(text, questions[i].parent, tried)
                if why:
                    self.refused[why] += 1
                else:
                    out[i] = text
            if None not in out:
                break
        return out

    def _key(self, question: str) -> str:
        """The same for the same question asked for the same time."""
        digest = sha256(question.encode()).hexdigest()[:16]
        self._asked[digest] += 1
        return f"reflection:{digest}:{self._asked[digest]}"

    def _refusal(self, text: str, parent: str, known: Sequence[str]) -> str:
        """The owner's own seeds may be quoted: telling facts of the task is what this is for."""
        return screen.refusal(
            text,
            baseline=self._config.baseline,
            parent=parent,
            placeholders=self._config.placeholders,
            known=known,
            shown=(),
            limit=self._config.prompt_chars,
        )

    def reflection(
        self, parent: str, records: Sequence[dict[str, Any]], mate: tuple[str, float] | None = None
    ) -> Question:
        """How to do better than `parent`, given what came of it; `mate` is another text to take
        from, and its average reward."""
        text = render(parent, records)
        if mate is not None:
            text += _MATE.format(text=data(mate[0], _INSTRUCTION), mean=mate[1])
        return Question(text + self.rules, parent)

    def crossing(self, first: tuple[str, float], second: tuple[str, float]) -> Question:
        """How to unite two texts, each with its average reward."""
        text = _CROSS.format(
            first=data(first[0], _INSTRUCTION),
            first_mean=first[1],
            second=data(second[0], _INSTRUCTION),
            second_mean=second[1],
        )
        return Question(text + self.rules, first[0])

    @property
    def rules(self) -> str:
        """What every question ends with."""
        guidance = self._config.guidance
        said = _GUIDANCE.format(text=data(guidance, _INSTRUCTION)) if guidance else ""
        return said + keep_placeholders(self._config.placeholders)


def record(score: Score) -> dict[str, Any]:
    """A rollout as the reflection model sees it; a failed one with its error."""
    feedback = f"Reward {score.reward:.2f} (0 is worst, 1 is best)."
    if score.error:
        feedback += f"\nThis run failed: {data(score.error, _SHOWN)}"
    if score.feedback:
        feedback += f"\n{data(score.feedback, _SHOWN)}"
    return {
        "Inputs": data(score.asked, _SHOWN) or f"(nothing was captured; task seed {score.seed})",
        "Generated Outputs": data(score.replied, _SHOWN) or "(nothing was captured)",
        "Feedback": feedback,
    }
