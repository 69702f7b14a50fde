"""Prompts: recognising the application's own system prompt, and putting a candidate in its place.

A prompt is text with placeholders `{name}`; only names that the session declares as wildcards are
placeholders, every other brace is itself. The baseline's text is matched against the application's
system message; the values its wildcards had there are carried over into the candidate's text. User,
assistant and tool content is never touched.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Messages = Sequence[Mapping[str, Any]]

SYSTEM_ROLES = frozenset({"system", "developer"})


@dataclass(frozen=True, slots=True)
class Demo:
    """A demonstration: what a user wrote and a good answer, both made harmless."""

    rollout_id: str
    """Where it comes from."""
    user: str
    assistant: str


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
        return _parse(text, tuple(wildcards))

    def match(self, text: str) -> dict[str, str] | None:
        """The wildcards' values in `text`, or None if it is not this prompt.

        Linear in the length of the text: the first and last literals are anchored, the others are
        found leftmost-first, a name that occurs twice must have the same value twice. White space
        at both ends of the text does not matter.
        """
        exact = _values(self.literals, self.holes, text)
        if exact is not None:
            return exact
        trimmed = list(self.literals)
        trimmed[0] = trimmed[0].lstrip()
        trimmed[-1] = trimmed[-1].rstrip()
        return _values(trimmed, self.holes, text.strip())

    def render(self, values: Mapping[str, str]) -> str:
        """The text with values in place; a wildcard without one becomes empty."""
        return self._fill([values.get(hole.name, "") for hole in self.holes])

    @property
    def text(self) -> str:
        """The text with its placeholders, as it was parsed."""
        return self._fill([f"{{{hole.name}}}" for hole in self.holes])

    @property
    def needs_values(self) -> bool:
        """Whether it cannot be rendered without the application's own text."""
        return any(hole.required for hole in self.holes)

    def _fill(self, values: Sequence[str]) -> str:
        pairs = zip(values, self.literals[1:], strict=True)
        return self.literals[0] + "".join(value + literal for value, literal in pairs)


@lru_cache(maxsize=4096)
def _parse(text: str, wildcards: tuple[Wildcard, ...]) -> Pattern:
    """Cached: the same few candidates are parsed for every call."""
    if not wildcards:
        return Pattern((text,), ())
    names = {wildcard.name: wildcard for wildcard in wildcards}
    pieces = re.split(r"\{(" + "|".join(map(re.escape, names)) + r")\}", text)
    return Pattern(tuple(pieces[::2]), tuple(names[name] for name in pieces[1::2]))


def _values(literals: Sequence[str], holes: Sequence[Wildcard], text: str) -> dict[str, str] | None:
    """The holes' values when the literals are anchored at both ends of `text` as it is."""
    if not holes:
        return {} if text == literals[0] else None
    position, end = len(literals[0]), len(text) - len(literals[-1])
    if position > end or not (text.startswith(literals[0]) and text.endswith(literals[-1])):
        return None
    values: dict[str, str] = {}
    for hole, literal in zip(holes[:-1], literals[1:-1], strict=True):
        stop = _hole_end(hole, literal, text, (position, end), values)
        if stop < 0:
            return None
        values[hole.name] = text[position:stop]
        position = stop + len(literal)
    rest, last = text[position:end], holes[-1]
    if (last.required and not rest) or values.get(last.name, rest) != rest:
        return None
    values[last.name] = rest
    return values


def _hole_end(
    hole: Wildcard, literal: str, text: str, span: tuple[int, int], known: Mapping[str, str]
) -> int:
    """Where the hole's value ends and `literal` begins, or -1."""
    start, end = span
    value = known.get(hole.name)
    if value is None:
        return text.find(literal, start + hole.required, end)
    stop = start + len(value)
    fits = text.startswith(value, start, end) and text.startswith(literal, stop, end)
    return stop if fits and stop <= end else -1


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a request the system prompt belongs, and what the application filled in there."""

    index: int | None
    """Of the message to replace; None: there is none, one is put first."""
    part: int | None
    """Of the text part in that message's content; None: the content is plain text."""
    values: Mapping[str, str]

    def fill(self, messages: Messages, candidate: Pattern, demos: Sequence[Demo] = ()) -> list[Any]:
        """The messages with the candidate in this place and its demonstrations right after it, as
        turns of a conversation. A text that would differ in outer white space only stays as the
        application wrote it."""
        text = candidate.render(self.values)
        shown = [
            {"role": role, "content": content}
            for demo in demos
            for role, content in (("user", demo.user), ("assistant", demo.assistant))
        ]
        if self.index is None:
            system = [{"role": "system", "content": text}] if text else []
            return [*system, *shown, *messages]
        own = _with_text(messages[self.index], self.part, text)
        return [*messages[: self.index], own, *shown, *messages[self.index + 1 :]]


def locate(messages: Messages, baseline: Pattern) -> Place | None:
    """The place of the baseline in these messages, or None when they are not ours.

    It is the first system or developer message that the baseline matches (of a message in content
    parts, the text part that matches). When there is no system or developer message at all and the
    baseline needs no value, the place is before all messages. When there are some but none
    matches, the request is not ours.
    """
    own = False
    for index, message in enumerate(messages):
        if message.get("role") not in SYSTEM_ROLES:
            continue
        own = True
        for part, text in _texts(message.get("content")):
            values = baseline.match(text)
            if values is not None:
                return Place(index, part, values)
    return None if own or baseline.needs_values else Place(None, None, {})


def substitute(messages: Messages, baseline: Pattern, candidate: Pattern) -> list[Any] | None:
    """The messages with the candidate in place of the baseline, every other byte of them kept, or
    None when they are not ours and pass through untouched."""
    place = locate(messages, baseline)
    return None if place is None else place.fill(messages, candidate)


def _texts(content: Any) -> list[tuple[int | None, str]]:
    if isinstance(content, str):
        return [(None, content)]
    if not isinstance(content, list):
        return []
    return [
        (index, part["text"])
        for index, part in enumerate(content)
        if isinstance(part, dict)
        and part.get("type") == "text"
        and isinstance(part.get("text"), str)
    ]


def _with_text(message: Mapping[str, Any], part: int | None, text: str) -> Mapping[str, Any]:
    """The message with its text (or that part of it) replaced, unless it says the same already."""
    content = message["content"]
    old = content if part is None else content[part]["text"]
    if old.strip() == text.strip():
        return message
    if part is None:
        return {**message, "content": text}
    parts = list(content)
    parts[part] = {**content[part], "text": text}
    return {**message, "content": parts}
