"""The model that answers customers: only as well as the system prompt it receives allows.

It reads the prompt as text (`instructions`), then writes a reply of sentences that show what it was
told, mostly, and now and then something it was not told. A reply depends on the seed and on the
messages alone, so the same call has the same answer, streamed or not, whatever else is going on.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from random import Random
from typing import Any

from sidecar.simulation.instructions import probabilities
from sidecar.simulation.topics import topic_of
from sidecar.simulation.traits import CONTRACT_AT, TERSE_AT, TRAITS

_OPENERS = ("Thank you for your message.", "Thanks for writing to Fernhill.", "Hello!")
_VAGUE = "We have read what you wrote."


class PolicyModel:
    """Messages in, reply text out."""

    def __init__(self, seed: int) -> None:
        self._seed = str(seed).encode()

    def reply(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The answer to a conversation."""
        texts = [(message.get("role"), text_of(message)) for message in messages]
        prompt = system_prompt(texts)
        rng = Random(self._entropy(texts))
        shown = [rng.random() < chance for chance in probabilities(prompt)]
        question = next((text for role, text in reversed(texts) if role == "user"), "")
        answer = _written(shown, question, rng)
        return json.dumps({"answer": answer}) if shown[CONTRACT_AT] else answer

    def _entropy(self, texts: Iterable[tuple[Any, str]]) -> int:
        digest = blake2b(key=self._seed, digest_size=8)
        for role, text in texts:
            digest.update(f"{role}\0{text}\0".encode(errors="surrogatepass"))
        return int.from_bytes(digest.digest())


def text_of(message: Mapping[str, Any]) -> str:
    """A message's text, whether it is a string or comes in parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


def system_prompt(texts: Iterable[tuple[Any, str]]) -> str:
    """All instructions of a conversation."""
    return "\n".join(text for role, text in texts if role in {"system", "developer"})


def _written(shown: Sequence[bool], question: str, rng: Random) -> str:
    if shown[TERSE_AT]:
        return rng.choice(TRAITS[TERSE_AT].fragments)
    topic = topic_of(question)
    said = [
        rng.choice(trait.fragments)
        for trait, here in zip(TRAITS, shown, strict=True)
        if here and trait.fragments
    ]
    core = topic.answer if topic else _VAGUE
    return " ".join([rng.choice(_OPENERS), core, *said])
