r"""The fingerprint of a reply: an id that whoever shows the reply can work out by themselves.

A chat front end that knows no id of ours still has the text that its user clicked on. So the text
is brought into one form, hashed, and kept with the turn. The form undoes what happens to a text on
its way to a page and back: another Unicode composition, other white space (line ends, indents,
no-break spaces), space around it. It does not undo rendering: the fingerprint is that of the
Markdown source as the model wrote it, not of what a page made of it.

In JavaScript, which most front ends speak, the same is

    text.normalize("NFC").replace(/\s+/g, " ").trim()

as the hexadecimal SHA-256 of its UTF-8.
"""

import re
import unicodedata
from hashlib import sha256

_SPACE = re.compile(
    "[\t-\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]+"  # JavaScript's \s
)
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def fingerprint(text: str) -> str | None:
    """The fingerprint of a text; None for a blank one, which tells nothing."""
    plain = _SPACE.sub(" ", unicodedata.normalize("NFC", text)).strip(" ")
    if not plain:
        return None
    # What has no UTF-8 becomes what a browser's encoder makes of it.
    return sha256(_HALF_PAIR.sub("\ufffd", plain).encode()).hexdigest()


def is_fingerprint(text: str) -> bool:
    """Whether this has the form of one."""
    return _FINGERPRINT.fullmatch(text) is not None
