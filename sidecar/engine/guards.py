"""What a session lets near its prompt: users' words, changes, and promotions without a person.

Set under `safety` beside the dials. The model that writes the next prompt reads users' words, which
makes an anonymous user a little of its author; how much is for whoever owns the prompt to say.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from sidecar.core.prompt import Wildcard
from sidecar.engine.options import Options
from sidecar.engine.screen import mask_secrets
from sidecar.errors import InvalidRequest
from sidecar.telemetry.redaction import redact_text

FEEDBACK_TEXT = ("off", "redacted", "full")
PROMOTION = ("auto", "manual")
_MAX_LOCK = 100_000
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_NUMBER = re.compile(r"\+?\d(?:[ ()./-]{0,2}\d){3,}")
"""Four digits or more, however they are grouped: phones, cards, accounts, dates."""


@dataclass(frozen=True, slots=True)
class Guards:
    """The guards of one session."""

    feedback_text: str = "redacted"
    """How comments and corrections reach the reflection model: not at all, without what looks like
    a secret, an address or a number, or as they are (but for credentials)."""
    locked_prefix: str = ""
    """What the prompt begins with, and every candidate's must."""
    locked_suffix: str = ""
    """The same for its end."""
    promotion: str = "auto"
    """`manual`: a proven candidate waits until a person approves of it."""


NAMES = frozenset(f.name for f in fields(Guards))


def read_guards(safety: Mapping[str, Any], baseline: str, where: str) -> Guards:
    """The guards under `safety`. Raises `InvalidRequest`."""
    given = {name: safety[name] for name in NAMES if safety.get(name) is not None}
    for name, allowed in (("feedback_text", FEEDBACK_TEXT), ("promotion", PROMOTION)):
        if given.get(name, allowed[0]) not in allowed:
            raise InvalidRequest(
                f"`safety.{name}` must be {' or '.join(map(repr, allowed))}",
                param=f"{where}.{name}",
            )
    for name in ("locked_prefix", "locked_suffix"):
        text = given.get(name, "")
        if not isinstance(text, str) or len(text) > _MAX_LOCK:
            raise InvalidRequest("must be text", param=f"{where}.{name}")
    guards = Guards(**given)
    if not Lock.of(guards, baseline).holds(baseline):
        raise InvalidRequest(
            "the prompt must begin with `locked_prefix` and end with `locked_suffix`, which may "
            "not overlap",
            param=f"{where}.{'locked_prefix' if guards.locked_prefix else 'locked_suffix'}",
        )
    return guards


def dials_only(safety: Mapping[str, Any]) -> dict[str, Any]:
    """What of `safety` is not a guard."""
    return {name: value for name, value in safety.items() if name not in NAMES}


def held_back(options: Options, guards: Guards, given: Collection[str]) -> Options:
    """The dials of a session: with manual promotion, what nobody has approved of serves no more
    than canaries do, however good it looks, unless the config has `given` those dials itself."""
    if guards.promotion != "manual":
        return options
    if "share_max" not in given:
        options = replace(options, share_max=options.share_new)
    if "share_challengers" not in given:
        options = replace(options, share_challengers=options.share_unsure)
    return options


def told(comments: Iterable[str], mode: str) -> tuple[str, ...]:
    """Users' words as the reflection model may read them."""
    if mode == "off":
        return ()
    return tuple(comments) if mode == "full" else tuple(map(redacted, comments))


def redacted(text: str) -> str:
    """A text without credentials, mail addresses and longer numbers."""
    plain = redact_text(mask_secrets(text))
    return _NUMBER.sub("[number]", _ADDRESS.sub("[address]", plain))


@dataclass(frozen=True, slots=True)
class Lock:
    """The parts of a prompt that nobody may change, with the white space that parts them from the
    rest."""

    head: str = ""
    tail: str = ""

    @staticmethod
    def of(guards: Guards, baseline: str) -> "Lock":
        """The lock of a session with this baseline."""
        head, tail = guards.locked_prefix, guards.locked_suffix
        body = baseline.removeprefix(head).removesuffix(tail) if head or tail else ""
        before = body[: len(body) - len(body.lstrip())] if head else ""
        after = body[len(body.rstrip()) :] if tail and body.strip() else ""
        return Lock(head + before, after + tail)

    def holds(self, text: str) -> bool:
        """Whether both parts are in their places."""
        long_enough = len(text) >= len(self.head) + len(self.tail)
        return long_enough and text.startswith(self.head) and text.endswith(self.tail)

    def opened(self, text: str) -> str:
        """What of a prompt may be changed."""
        return text[len(self.head) : len(text) - len(self.tail)] if self.holds(text) else text

    def closed(self, text: str) -> str:
        """A prompt with this as its open part; a model may have repeated the rest."""
        if not self.head and not self.tail:
            return text
        head, tail = self.head.strip(), self.tail.strip()
        body = text.strip().removeprefix(head).removesuffix(tail).strip()
        return f"{self.head}{body}{self.tail}"

    def free(self, wildcards: Iterable[Wildcard], baseline: str) -> list[str]:
        """The wildcards that the open part of the baseline has, and so must every other."""
        body = self.opened(baseline)
        return [hole.name for hole in wildcards if f"{{{hole.name}}}" in body]
