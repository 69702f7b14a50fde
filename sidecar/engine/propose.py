"""Asking the reflection model: the only network call the engine makes."""

import asyncio
from typing import Any

import openai

from sidecar.engine.config import Proposer


class ProposalFailed(Exception):
    """The reflection model gave no usable answer; learning goes on without this proposal."""


class EmptyAnswer(ProposalFailed):
    """It answered, but said nothing."""


class Reflection:
    """The reflection model behind an OpenAI-compatible API."""

    def __init__(self, *, model: str, base_url: str, api_key: str, timeout: float) -> None:
        """The server's own model and endpoint; a session's proposer settings win over them.

        `api_key` is only ever sent to `base_url`; a session that names another endpoint brings
        its own key.
        """
        self._model = model
        self._base_url = base_url
        self._api_key = api_key
        self._timeout = timeout
        self._clients: dict[tuple[str, str], openai.AsyncOpenAI] = {}

    async def ask(self, prompt: str, proposer: Proposer) -> str:
        """The model's answer to a prompt. Raises `ProposalFailed`."""
        options: dict[str, Any] = {}
        if proposer.temperature is not None:
            options["temperature"] = proposer.temperature
        if proposer.max_tokens is not None:
            options["max_completion_tokens"] = proposer.max_tokens
        try:
            client = await self._client(proposer)
            answer = await client.chat.completions.create(
                model=proposer.model or self._model,
                messages=[{"role": "user", "content": prompt}],
                **options,
            )
        except openai.OpenAIError as error:
            raise ProposalFailed(_why(error)) from error
        text: str | None = answer.choices[0].message.content if answer.choices else None
        if not text:
            raise EmptyAnswer("the answer was empty")
        return text

    async def _client(self, proposer: Proposer) -> openai.AsyncOpenAI:
        own = not proposer.base_url or proposer.base_url == self._base_url
        base_url = self._base_url if own else proposer.base_url
        key = proposer.api_key or (self._api_key if own else "")
        if (base_url, key) not in self._clients:
            client = await asyncio.to_thread(_made, base_url, key or "none", self._timeout)
            self._clients.setdefault((base_url, key), client)
        return self._clients[base_url, key]

    async def close(self) -> None:
        """Let go of the connections."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()


def _made(base_url: str, key: str, timeout: float) -> openai.AsyncOpenAI:
    """A client. Takes a good part of a second (certificates, and what it imports when it is first
    used), for which no call may wait: run it in a thread."""
    client = openai.AsyncOpenAI(base_url=base_url, api_key=key, timeout=timeout, max_retries=2)
    _ = client.chat.completions
    return client


def _why(error: openai.OpenAIError) -> str:
    """A reason that is safe to log: class and status, never the request or a key."""
    status = getattr(error, "status_code", None)
    return f"{type(error).__name__}{f' {status}' if status else ''}"
