"""Prompts: recognising the application's own system prompt, and putting a candidate in its place.

A prompt is text with placeholders `{name}`; only names that the session declares as wildcards are
placeholders, every other brace is itself. The baseline's text is matched against the application's
system message; the values its wildcards had there are carried over into the candidate's text. User,
assistant and tool content is never touched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Messages = Sequence[Mapping[str, Any]]

SYSTEM_ROLES = frozenset({"system", "developer"})


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A part of a prompt that the application fills in."""

    name: str
    required: bool = True
    """Whether it must stand for at least one character."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A prompt's text, cut at its placeholders: `literals` has one item more than `holes`."""

    literals: tuple[str, ...]
    holes: tuple[Wildcard, ...]

    @staticmethod
    def parse(text: str, wildcards: Sequence[Wildcard] = ()) -> "Pattern":
        """Cut `text` at the placeholders of the declared wildcards."""
        raise NotImplementedError

    def match(self, text: str) -> dict[str, str] | None:
        """The wildcards' values in `text`, or None if it is not this prompt.

        Linear in the length of the text: the first and last literals are anchored, the others are
        found leftmost-first, a name that occurs twice must have the same value twice. White space
        at both ends of the text does not matter.
        """
        raise NotImplementedError

    def render(self, values: Mapping[str, str]) -> str:
        """The text with values in place; a wildcard without one becomes empty."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """The text with its placeholders, as it was parsed."""
        raise NotImplementedError


def substitute(messages: Messages, baseline: Pattern, candidate: Pattern) -> list[Any] | None:
    """The messages with the candidate in place of the baseline, or None when they are not ours.

    The first system or developer message that the baseline matches is replaced (its other fields
    and its role kept; of a message in content parts, the text part that matches). When there is no
    system or developer message at all and the baseline needs no value, one is put first. When there
    are some but none matches, the request is not ours: None, and it passes through untouched.
    """
    raise NotImplementedError
