"""New text is guilty until screened: nothing the reflection model wrote serves before this.

Reflection reads other people's messages and comments; it may copy them, leak secrets, obey an
instruction hidden in a comment, or lose a placeholder. Each refusal has a reason from a fixed set,
so that it can be counted; refused text itself is never logged.
"""

import re
from collections.abc import Collection, Iterable, Sequence

_NGRAM = 8
_MIN_ALLOWED = 4000
_GROWTH = 4
_WORD = re.compile(r"\w+")
_LINK = re.compile(r"https?://[^\s)>\]]+|[\w.+-]+@[\w-]+\.[\w.]+", re.IGNORECASE)
_SECRET = re.compile(
    r"\b(?:sk|pk|rk|ghp|gho|xox[abp]|AKIA|whsec)[-_]?[A-Za-z0-9_-]{16,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+"
)
_ROLE = re.compile(
    r"<\|[a-z_]+\|>|\[/?INST\]|<</?SYS>>|</?(?:system|assistant|user)>", re.IGNORECASE
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
    reasons = {
        "empty": not text.strip(),
        "too_long": len(text) > allowed,
        "duplicate": normal(text) in {normal(other) for other in known},
        "lost_placeholder": any(
            text.count(f"{{{name}}}") < baseline.count(f"{{{name}}}") for name in placeholders
        ),
        "role_marker": _ROLE.search(text) is not None,
        "secret": _SECRET.search(text) is not None,
        "new_link": bool(set(_LINK.findall(text)) - set(_LINK.findall(f"{baseline}\n{parent}"))),
        "copied_user_text": _copies(text, parent, shown),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def normal(text: str) -> str:
    """A text up to case and white space: two candidates that differ in no more are one."""
    return " ".join(text.lower().split())


def mask_secrets(text: str) -> str:
    """`text` with anything that looks like a credential replaced, before a model reads it."""
    return _SECRET.sub("[secret]", text)


def _copies(text: str, parent: str, shown: Sequence[str]) -> bool:
    """Whether `text` has eight words in a row from a user that its parent had not."""
    fresh = _grams(text) - _grams(parent)
    return bool(fresh) and any(fresh & _grams(said) for said in shown)


def _grams(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return {tuple(words[i : i + _NGRAM]) for i in range(len(words) - _NGRAM + 1)}
