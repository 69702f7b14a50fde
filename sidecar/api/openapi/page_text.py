"""Words on the page: everything is escaped here, and backticks become code."""

import re
from html import escape

_CODE = re.compile(r"`([^`]+)`")


def prose(words: str) -> str:
    """A description as HTML."""
    return _CODE.sub(r"<code>\1</code>", escape(words))


def paragraphs(words: str) -> str:
    """A longer one: an empty line ends a paragraph."""
    return "".join(f"<p>{prose(part)}</p>" for part in words.split("\n\n") if part)
