"""Reading complaints and turning them into instructions, by grammar alone.

"You never asked for my order number" becomes "Ask for the customer's order number". Nothing here
knows what the complaints are about; the words come from the text that was read.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_SENTENCE = re.compile(r"[^.!?;\n\"“”]+")
_NOT = "(?:not|n't)"
_PLEASE_NOT = re.compile(r"\b(?:please|kindly) do(?: not|n't) (.+)|^do(?: not|n't) (.+)")
_PLEASE_STOP = re.compile(r"\b(?:please|kindly) (stop \w+ing .+)")
_SHOULD_NOT = re.compile(rf"\byou (?:should|could|need) ?{_NOT} have (.+)")
_SHOULD = re.compile(
    r"\byou (?:should|could|might|ought to) have (.+)|\bi wish (?:that )?you had (.+)"
)
_DID_NOT = re.compile(
    rf"\byou (?:did ?{_NOT}|failed to|forgot to) (.+)|\bwhy did(?: you not|n't you) (.+)"
)
_NEVER = re.compile(r"\byou never (.+)")
_PLEASE = re.compile(r"\b(?:please|kindly) (.+)")

_IRREGULAR = {
    "been": "be", "begun": "begin", "brought": "bring", "found": "find", "gave": "give",
    "given": "give", "got": "get", "had": "have", "kept": "keep", "knew": "know", "led": "lead",
    "left": "leave", "let": "let", "made": "make", "put": "put", "read": "read", "said": "say",
    "sent": "send", "shown": "show", "spelt": "spell", "spoke": "speak", "spoken": "speak",
    "taken": "take", "thought": "think", "told": "tell", "took": "take",
    "understood": "understand", "went": "go", "written": "write", "wrote": "write",
}  # fmt: skip

_PRONOUNS = (
    (r"\bi am\b", "they are"),
    (r"\bmyself\b", "themselves"),
    (r"\bmy\b", "the {reader}'s"),
    (r"\bme\b", "the {reader}"),
    (r"\bi\b", "they"),
)

_FILLERS = frozenset(
    re.findall(
        r"\w+",
        """a an the and or of to for in on at by with from so it is are be has have can would will
        do they their them your that this which what who when how many much user customer s first
        always please make sure me back say tell give send mention state name ask include explain
        offer use add call number numbered""",
    )
)
"""Say nothing about what a sentence wants."""
_NEGATIVE = frozenset({"not", "never", "stop", "avoid"})
_FORBIDS = "not"
"""Stands among the words of a sentence that forbids."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a complaint asks for."""

    instruction: str
    """In the imperative, without bullet or full stop."""
    words: frozenset[str]
    """The words that carry its meaning: two wishes with much the same words are one."""


def wishes(text: str, reader: str) -> Iterator[Wish]:
    """What the sentences of a text ask for; `reader` is what the one who wrote it is called."""
    for sentence in _SENTENCE.findall(text.lower().replace("\u2019", "'")):
        if imperative := _imperative(sentence.strip(" *_>-:,")):
            instruction = _third_person(imperative, reader)
            yield Wish(instruction[0].upper() + instruction[1:], meaning(instruction))


def meaning(sentence: str) -> frozenset[str]:
    """The words of a sentence that say what it is about, cut to their stems."""
    found = frozenset(re.findall(r"[a-z0-9]+", sentence.lower()))
    words = frozenset(_stem(word) for word in found - _FILLERS - _NEGATIVE)
    return words | {_FORBIDS} if found & _NEGATIVE else words


def alike(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two sentences ask for much the same."""
    return 2 * _shared(one, other) >= max(1, _shorter(one, other))


def same(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two sentences ask for the same: who reads one need not read the other."""
    return 3 * _shared(one, other) >= max(1, 2 * _shorter(one, other))


def _shared(one: frozenset[str], other: frozenset[str]) -> int:
    if (_FORBIDS in one) != (_FORBIDS in other):
        return 0
    return len((one & other) - {_FORBIDS})


def _shorter(one: frozenset[str], other: frozenset[str]) -> int:
    return min(len(one - {_FORBIDS}), len(other - {_FORBIDS}))


def base_form(past: str) -> str:
    """The infinitive of a verb in the past: "promised" is "promise", "summed" is "sum"."""
    if past in _IRREGULAR or not past.endswith("ed"):
        return _IRREGULAR.get(past, past)
    stem = past[:-2]
    if past.endswith("ied"):
        return past[:-3] + "y"
    if re.search(r"..([bdgmnprt])\1$", stem):
        return stem[:-1]
    silent_e = re.search(
        r"^[^aeiou]*[aeiou][^aeiouwxy]$|[^aeiou][aeiou][szvcgd]$|[vcgu]$|[^aeiou]at$|[dtb]l$", stem
    )
    return stem + "e" if silent_e else stem


def _present(phrase: str) -> str:
    verb, _, rest = phrase.partition(" ")
    return f"{base_form(verb)} {rest}".strip()


def _as_it_is(phrase: str) -> str:
    return phrase


_FORMS: tuple[tuple[re.Pattern[str], str, Callable[[str], str]], ...] = (
    (_PLEASE_NOT, "do not {}", _as_it_is),
    (_PLEASE_STOP, "{}", _as_it_is),
    (_SHOULD_NOT, "do not {}", _present),
    (_SHOULD, "{}", _present),
    (_DID_NOT, "{}", _as_it_is),
    (_NEVER, "{}", _present),
    (_PLEASE, "{}", _as_it_is),
)
"""How a complaint begins, what the instruction looks like, and what becomes of the verb."""


def _imperative(sentence: str) -> str | None:
    for pattern, shape, verb in _FORMS:
        if found := pattern.search(sentence):
            rest = next(group for group in found.groups() if group)
            return shape.format(verb(rest.strip(" '*_>-:,")))
    return None


def _third_person(phrase: str, reader: str) -> str:
    for pattern, replacement in _PRONOUNS:
        phrase = re.sub(pattern, replacement.format(reader=reader), phrase)
    return phrase


def _stem(word: str) -> str:
    return re.sub(r"(?:ing|es|ed|s|e)$", "", word) if len(word) > 3 else word
