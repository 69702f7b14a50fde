"""Conversations in progress, at a session whose users complain until there is a second prompt."""

from typing import Any

from support.backends import FAILURES, SYSTEM
from support.gateway import Answer, ask
from support.provider import FakeProvider
from support.whole import Whole

ONE_CANDIDATE = {"online_proposer_min_rollouts": 1, "online_proposer_max_candidates": 1}


async def with_failures(ours: Whole, first: int = 0) -> None:
    """Let users complain until a proposal is due."""
    for number in range(first, first + FAILURES):
        await ours.say(f"failure{number}")
        said = {"thumbs": "down", "comment": "No use."}
        await ours.feedback({"rollout_id": f"failure{number}", **said})


async def with_candidate(ours: Whole) -> str:
    """A second prompt, proposed in the regular way."""
    await with_failures(ours)
    status = await ours.reached(candidate_count=2)
    return next(c["candidate_id"] for c in status["candidates"] if not c["is_baseline"])


class Talks:
    """Conversations in progress: half of them named, half recognised by their content."""

    def __init__(self) -> None:
        self.messages: dict[str, list[dict[str, Any]]] = {}
        self.candidates: dict[str, str] = {}
        self.ids: dict[str, str] = {}

    async def begin(self, ours: Whole, least: int = 20, most: int = 400) -> None:
        """So many, and some of either prompt among the named and among the others."""
        drawn = set()
        for number in range(most):
            name = f"talk{number}"
            self.messages[name] = ask(f"I am number {number}", SYSTEM)
            answer = await self._turn(ours, name)
            drawn.add((number % 2, answer.candidate))
            if number >= least and len(drawn) == 4:
                return
        raise AssertionError("one of the prompts was not drawn")

    async def go_on(self, ours: Whole, provider: FakeProvider) -> None:
        """One more turn of each, of the same conversation and with the same prompt as before."""
        texts = {c["candidate_id"]: c["text"] for c in (await ours.status())["candidates"]}
        for name, candidate in list(self.candidates.items()):
            self.messages[name].append({"role": "user", "content": "go on"})
            answer = await self._turn(ours, name)
            found = (name, answer.candidate, answer.correlation)
            expected = (name, candidate, self.ids[name])
            assert found == expected, f"{found} != {expected}"
            assert provider.last.system == texts[candidate]

    async def _turn(self, ours: Whole, name: str) -> Answer:
        headers = {"x_correlation_id": name} if int(name[4:]) % 2 else {}
        answer = await ours.chat(self.messages[name], **headers)
        self.messages[name].append({"role": "assistant", "content": answer.text})
        self.candidates.setdefault(name, answer.candidate)
        self.ids.setdefault(name, answer.correlation)
        return answer
