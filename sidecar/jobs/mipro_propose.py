"""MIPRO's proposals: instructions grounded in the task, its examples and what was tried before."""

import random
from collections.abc import Iterable, Sequence

from sidecar.core.prompt import Demo
from sidecar.engine.reflect import data
from sidecar.jobs.base import Score
from sidecar.jobs.drafts import Drafts, Question, record

TIPS = (
    "",
    "Do not be afraid to be creative.",
    "Keep the instruction clear and concise.",
    "Make sure the instruction is informative and describes the task in detail.",
    "Write the instruction as if much depended on getting the task right.",
    "Give the assistant a persona that fits the task.",
)
"""MIPROv2's, one at random for each proposal; they make the proposals differ."""
_TIP = "\n\nTip: {tip}"
_TASK = "\n\nThis is what is known of the task and its data:\n{text}"
_WELL = "\n\nThese inputs were answered well:{pairs}"
_TRIED = "\n\nThese instructions have been tried before, the best last. Write a better one.{tried}"
_EXAMPLES = 4
_HISTORY = 5
_HISTORY_CHANCE = 0.5
_TEXT = 4000
_SHORT = 500


class Proposals:
    """What proposals are made from, and how they are asked for."""

    def __init__(self, drafts: Drafts, description: str, seed: int) -> None:
        """`description` is what the task app says about itself."""
        self._drafts = drafts
        self._description = data(description, _TEXT)
        self._rng = random.Random(f"{seed}:proposals")
        self._scores: dict[int, Score] = {}
        self._tried: dict[str, float] = {}

    def saw(self, scores: Iterable[Score]) -> None:
        """Rollouts that may serve as examples."""
        self._scores |= {s.seed: s for s in scores}

    def tried(self, text: str, mean: float) -> None:
        """An instruction's average reward so far."""
        self._tried[text] = mean

    async def write(
        self, parent: str, wanted: int, known: Sequence[str], demos: Iterable[Demo]
    ) -> list[str]:
        """New instructions, as many as wanted or fewer."""
        shown = list(demos)
        questions = [self._question(parent, shown) for _ in range(wanted)]
        texts = await self._drafts.write(questions, lambda: known)
        return [text for text in texts if text is not None]

    def _question(self, parent: str, demos: Sequence[Demo]) -> Question:
        """About some of the examples, mostly of those that went badly."""
        ranked = sorted(self._scores.values(), key=lambda s: (s.reward, self._rng.random()))
        examples = ranked[:_EXAMPLES]
        asked = self._drafts.reflection(parent, [record(s) for s in examples])
        text = asked.text
        if self._description:
            text += _TASK.format(text=self._description)
        if demos:
            some = self._rng.sample(demos, min(2, len(demos)))
            pairs = "".join(
                f"\n\nInput: {data(d.user, _SHORT)}\nAnswer: {data(d.assistant, _SHORT)}"
                for d in some
            )
            text += _WELL.format(pairs=pairs)
        if len(self._tried) > 1 and self._rng.random() < _HISTORY_CHANCE:
            text += _TRIED.format(tried=self._history())
        tip = self._rng.choice(TIPS)
        return Question(text + (_TIP.format(tip=tip) if tip else ""), parent)

    def _history(self) -> str:
        best = sorted(self._tried.items(), key=lambda item: item[1])[-_HISTORY:]
        return "".join(
            f"\n\nAverage reward {mean:.2f}:\n{data(text, _TEXT)}" for text, mean in best
        )
