"""New text is guilty until screened: nothing the reflection model wrote serves before this.

Reflection reads other people's messages and comments; it may copy them, leak secrets, obey an
instruction hidden in a comment, or lose a placeholder. Each refusal has a reason from a fixed set,
so that it can be counted; refused text itself is never logged.

What the prompt had before is no news: only what its baseline and its parent do not have is held
against a text.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence

_NGRAM = 8
"""Words in a row that are a quotation …"""
_NGRAM_UNSPACED = 16
"""… and characters, where words are not parted."""
_MARK_LENGTH = 5
"""Digits, or letters and digits mixed, that may tell people or things apart."""
_MIN_ALLOWED = 4000
_GROWTH = 4
_WORD = re.compile(r"\w+")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]+")
_NUMBER = re.compile(r"\d(?:[ ()./-]{0,2}\d){4,}")
_DIGIT, _LETTER = re.compile(r"\d"), re.compile(r"[^\W\d_]")
_LINK = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,15}://[^\s)>\]]+|[\w.+-]+@[\w-]+\.[\w.]+"
    r"|\b(?:www\.[\w-]+|[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:com|net|org|info|biz|io|ai|co|dev|app|me|xyz"
    r"|ru|cn|de|uk|fr|eu|us|top|site|online|link))\b(?:/[^\s)>\]]*)?",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"\b(?:sk|pk|rk|gh[oprsu]|glpat|hf|npm|xox[abeprs]|AKIA|ASIA|AIza|whsec)[-_]?[A-Za-z0-9_-]{16,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+"
)
_ROLE = re.compile(
    r"<\|[a-z_]+\|>|\[/?INST\]|<</?SYS>>|</?(?:system|assistant|user|human|developer)>"
    r"|^\W*(?:system|assistant|developer|human)[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)


def refusal(
    text: str,
    *,
    baseline: str,
    parent: str,
    placeholders: Collection[str],
    known: Iterable[str],
    shown: Sequence[str],
    limit: int | None = None,
) -> str:
    """Why `text` may not serve; empty if it may.

    `placeholders` are the wildcards' names, `known` the texts of all candidates so far, `shown`
    the users' own words that the reflection model was given, `limit` the greatest length in
    characters, by default one that goes by the baseline's.
    """
    allowed = limit or max(_MIN_ALLOWED, _GROWTH * len(baseline))
    before = f"{baseline}\n{parent}"
    reasons = {
        "empty": not text.strip(),
        "too_long": len(text) > allowed,
        "duplicate": normal(text) in {normal(other) for other in known},
        "lost_placeholder": any(
            text.count(f"{{{name}}}") < baseline.count(f"{{{name}}}") for name in placeholders
        ),
        "role_marker": bool(_found(_ROLE, text) - _found(_ROLE, before)),
        "hidden_text": bool(_unseen(text) - _unseen(before)),
        "secret": _SECRET.search(text) is not None,
        "new_link": bool(_found(_LINK, text) - _found(_LINK, before)),
        "copied_user_text": _copies(text, before, shown),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def normal(text: str) -> str:
    """A text up to case and white space: two candidates that differ in no more are one."""
    return " ".join(text.lower().split())


def mask_secrets(text: str) -> str:
    """`text` with anything that looks like a credential replaced, before a model reads it."""
    return _SECRET.sub("[secret]", text)


def _found(pattern: re.Pattern[str], text: str) -> set[str]:
    return {" ".join(match[0].lower().split()) for match in pattern.finditer(text)}


def _unseen(text: str) -> set[str]:
    """Characters that a reviewer would not see and a model would read."""
    return {c for c in text if not c.isprintable() and unicodedata.category(c) in {"Cf", "Co"}}


def _copies(text: str, before: str, shown: Sequence[str]) -> bool:
    """Whether `text` has a quotation from a user, or a mark of theirs, which it had not before."""
    fresh, marks = _grams(text) - _grams(before), _marks(text) - _marks(before)
    return any(fresh & _grams(said) or marks & _marks(said) for said in shown)


def _grams(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    grams = {tuple(words[i : i + _NGRAM]) for i in range(len(words) - _NGRAM + 1)}
    for run in _UNSPACED.findall(text):
        last = len(run) - _NGRAM_UNSPACED + 1
        grams |= {tuple(run[i : i + _NGRAM_UNSPACED]) for i in range(last)}
    return grams


def _marks(text: str) -> set[str]:
    """What tells one person, order or account from another: codes, and long numbers, of which a
    part will do, however their digits are grouped."""
    words = _WORD.findall(text.lower())
    marks = {word for word in words if len(word) >= _MARK_LENGTH and _is_mixed(word)}
    for match in _NUMBER.findall(text):
        digits = "".join(filter(str.isdigit, match))
        marks |= {digits[i : i + _MARK_LENGTH] for i in range(len(digits) - _MARK_LENGTH + 1)}
    return marks


def _is_mixed(word: str) -> bool:
    return _DIGIT.search(word) is not None and _LETTER.search(word) is not None
