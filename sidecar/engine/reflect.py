"""The reflection prompt and what comes back: GEPA's own template and parser.

What users wrote is data. It goes in fenced by the template, trimmed, stripped of control characters
and of anything that would close the fence, with credentials masked; it is never an instruction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from gepa.strategies.instruction_proposal import InstructionProposalSignature

from sidecar.core.rollout import Turn
from sidecar.core.session import Candidate
from sidecar.engine.screen import mask_secrets

_TEXT = 2000
_COMMENT = 500
_PLACEHOLDERS = """

Keep these placeholders exactly as they are written, each at least once, because the application \
fills them in: {names}."""
_TRIED = """

These instructions have been tried before. Write one that differs from all of them in what it \
says, and keep what made the better ones better."""


@dataclass(frozen=True, slots=True)
class Experience:
    """One rollout as reflection sees it."""

    turns: Sequence[Turn]
    value: float
    comments: Sequence[str]

    @property
    def asked(self) -> str:
        """What the users of the application wrote, turn by turn."""
        last = self.turns[-1].request if self.turns else ()
        return "\n".join(f"{role}: {text}" for role, text in last if role != "system")

    @property
    def replied(self) -> str:
        """The last answer."""
        return self.turns[-1].reply if self.turns else ""

    @property
    def exchange(self) -> tuple[str, str] | None:
        """What was asked and answered in the first turn; None unless that was all there was."""
        first = self.turns[0] if self.turns else None
        asked = [text for role, text in first.request if role == "user"] if first else []
        return (asked[0], first.reply) if first and len(asked) == 1 else None

    @property
    def opening(self) -> str:
        """The first thing a user wrote: what kind of input this is."""
        first = self.turns[0].request if self.turns else ()
        return next((text for role, text in first if role == "user"), "")


def prompt(
    parent: Candidate,
    experiences: Sequence[Experience],
    placeholders: Sequence[str],
    *,
    tried: Sequence[tuple[str, float]] = (),
) -> str:
    """The text to send to the reflection model; `tried` are earlier instructions and the average
    reward of each, the best last (Yang et al., arXiv 2309.03409)."""
    rendered = render(parent.text, [_record(e) for e in experiences])
    if len(tried) > 1:
        rendered += _TRIED + "".join(
            f"\n\nAverage reward {mean:.2f}:\n{data(text, _TEXT)}" for text, mean in tried
        )
    return rendered + keep_placeholders(placeholders)


def render(text: str, records: Sequence[Mapping[str, Any]]) -> str:
    """GEPA's question about an instruction and what came of it, record by record."""
    rendered: str = InstructionProposalSignature.prompt_renderer(
        {"current_instruction_doc": text, "dataset_with_feedback": records}
    )
    return rendered


def keep_placeholders(names: Sequence[str]) -> str:
    """What to add to a question about an instruction with placeholders."""
    shown = ", ".join(f"{{{name}}}" for name in names)
    return _PLACEHOLDERS.format(names=shown) if names else ""


def extract(answer: str) -> str:
    """The new instruction in the model's answer: in a fence, or as JSON `{"instruction": …}`."""
    text: str = InstructionProposalSignature.output_extractor(answer)["new_instruction"]
    if text.startswith("{"):
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
        if isinstance(found, dict) and isinstance(found.get("instruction"), str):
            return str(found["instruction"]).strip()
    return text


def _record(experience: Experience) -> dict[str, Any]:
    feedback = f"Reward {experience.value:.2f} (0 is worst, 1 is best)."
    for comment in experience.comments:
        feedback += f'\nThe user wrote: "{data(comment, _COMMENT)}"'
    return {
        "Inputs": data(experience.asked, _TEXT),
        "Generated Outputs": data(experience.replied, _TEXT),
        "Feedback": feedback,
    }


def data(text: str, limit: int) -> str:
    """Foreign text made harmless: masked, trimmed, without fences and control characters."""
    plain = "".join(c for c in mask_secrets(text) if c.isprintable() or c == "\n")
    plain = plain.replace("```", "'''").strip()
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"
