"""Who knows nothing but the text of a reply can say what they think of it, and it is never guessed
whose reply it was."""

import asyncio

import pytest
from support.backends import SESSION, SYSTEM
from support.gateway import ask
from support.provider import FakeProvider
from support.whole import whole, whole_settings

from sidecar.core.fingerprint import fingerprint


class Parrot(FakeProvider):
    """Says the same whenever it is asked the same."""

    async def completions(self, request, body):
        self._count = 0
        return await super().completions(request, body)


@pytest.fixture
async def provider():
    async with Parrot() as provider:
        yield provider


@pytest.fixture(params=["memory", "sqlite"])
async def ours(request, provider, tmp_path):
    store = {"kind": request.param, "path": tmp_path / "sidecar.db"}
    async with whole(whole_settings(provider.base_url, store=store)) as ours:
        yield ours


async def posted(ours, **event):
    async with ours.http.post(f"{ours.sidecar.url}/feedback", json=event) as answer:
        return answer.status, await answer.json()


async def settled(ours, conversation):
    """The only turn of a conversation, once it is stored."""
    async with asyncio.timeout(5):
        while not (turns := await ours.sidecar.store.turns(SESSION, [conversation])):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    return turns[0]


async def test_the_text_is_enough_and_is_not_kept(ours):
    reply = (await ours.say("c1", "how do I open it?")).text
    await settled(ours, "c1")
    status, answer = await posted(ours, reply_text=f"\n{reply} ", thumbs="up", event_id="e1")
    assert (status, answer["status"]) == (202, "attributed")
    [event] = await ours.sidecar.store.events_of(SESSION, "c1")
    assert event.fingerprint == fingerprint(reply)
    assert reply not in repr(event)


async def test_a_streamed_answer_has_the_fingerprint_of_the_same_answer_in_one_piece(ours):
    url = f"{ours.sidecar.url}/v1/chat/completions"
    for name, stream in (("whole", False), ("streamed", True)):
        body = {"model": "m", "messages": ask("the same", SYSTEM), "stream": stream}
        headers = {"x-correlation-id": name}
        async with ours.http.post(url, json=body, headers=headers) as answer:
            await answer.read()
    turns = [await settled(ours, name) for name in ("whole", "streamed")]
    assert turns[0].fingerprint is not None
    assert turns[0].fingerprint == turns[1].fingerprint == fingerprint(turns[0].reply)


async def test_a_text_that_two_rollouts_gave_is_refused_unless_something_tells_them_apart(ours):
    reply = (await ours.say("c1", "same")).text
    assert (await ours.say("c2", "same")).text == reply
    for name in ("c1", "c2"):
        await settled(ours, name)
    status, problem = await posted(ours, reply_text=reply, thumbs="up")
    assert status == 422
    assert "several rollouts gave a reply with this text" in problem["detail"]
    status, problem = await posted(ours, reply_text=reply, thumbs="up", session_id=SESSION)
    assert status == 422
    status, answer = await posted(ours, reply_text=reply, thumbs="up", rollout_id="c2")
    assert (status, answer["status"]) == (202, "attributed")
    assert len(await ours.sidecar.store.events_of(SESSION, "c2")) == 1


async def test_a_text_that_nobody_gave_yet_waits(ours):
    status, answer = await posted(ours, reply_text="Not said yet.", thumbs="up", session_id=SESSION)
    assert (status, answer["status"]) == (202, "parked")


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ({"fingerprint": "abc"}, "64 hexadecimal digits"),
        ({"fingerprint": 7}, "64 hexadecimal digits"),
        ({"reply_text": 7}, "must be text"),
        ({"reply_text": " \n"}, "rollout_id is missing"),
        ({"reply_text": "a", "fingerprint": fingerprint("b")}, "give one of them"),
    ],
)
async def test_what_is_no_fingerprint_is_refused_by_its_name(ours, event, says):
    status, problem = await posted(ours, **event, thumbs="up")
    assert status == 422
    assert says in problem["detail"]


async def test_either_spelling_of_the_digits_will_do(ours):
    reply = (await ours.say("c1", "hi")).text
    await settled(ours, "c1")
    status, answer = await posted(ours, fingerprint=fingerprint(reply).upper(), thumbs="up")
    assert (status, answer["status"]) == (202, "attributed")
