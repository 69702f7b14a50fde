"""The provider is an OpenAI-compatible server."""

import json

import aiohttp
import openai
import pytest

from sidecar.simulation.policy_model import PolicyModel
from sidecar.simulation.provider import SimulatedProvider
from sidecar.simulation.world import IDEAL, World

MESSAGES = [{"role": "system", "content": IDEAL}, {"role": "user", "content": "Where is it?"}]


@pytest.fixture
async def provider():
    server = SimulatedProvider(World.seeded(1), 1)
    server.url = await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(provider):
    async with openai.AsyncOpenAI(base_url=provider.url, api_key="any", max_retries=0) as client:
        yield client


async def test_an_openai_client_gets_an_answer(client, provider):
    answer = await client.chat.completions.create(model="sim-policy", messages=MESSAGES)
    assert answer.id.startswith("chatcmpl-")
    assert answer.choices[0].message.content == PolicyModel(1).reply(MESSAGES)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert provider.prompt_of(answer.id) == IDEAL
    assert provider.calls == {"policy": 1}


async def test_the_stream_says_the_same(client):
    whole = await client.chat.completions.create(model="sim-policy-large", messages=MESSAGES)
    stream = await client.chat.completions.create(
        model="sim-policy-large",
        messages=MESSAGES,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1
    assert len(chunks) > 5


async def test_reflection_is_played_by_model_name(client, provider):
    messages = [{"role": "user", "content": "Improve this:\n```\nBe kind.\n```\n"}]
    answer = await client.chat.completions.create(model="sim-reflect", messages=messages)
    assert "```\nBe kind.\n- " in answer.choices[0].message.content
    assert provider.calls == {"reflection": 1}


async def test_models_are_listed(client):
    assert [model.id async for model in client.models.list()] == ["sim-policy", "sim-reflect"]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"{", 400, None),
        (b"[]", 400, None),
        (b"{}", 400, "model"),
        (b'{"model": "sim-policy"}', 400, "messages"),
        (b'{"model": "sim-policy", "messages": ["x"]}', 400, "messages"),
        (b'{"model": "gpt-9", "messages": [{"role": "user", "content": ""}]}', 404, None),
    ],
)
async def test_a_bad_body_is_refused_in_openais_shape(provider, body, status, param):
    url = f"{provider.url}/chat/completions"
    async with aiohttp.ClientSession() as http, http.post(url, data=body) as response:
        assert response.status == status
        error = json.loads(await response.text())["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param


async def test_ids_are_unique_and_the_same_in_the_next_run(provider):
    async def ids(server):
        async with openai.AsyncOpenAI(base_url=server, api_key="any") as client:
            return [
                (await client.chat.completions.create(model="sim-policy", messages=MESSAGES)).id
                for _ in range(5)
            ]

    first = await ids(provider.url)
    again = SimulatedProvider(World.seeded(1), 1)
    try:
        assert await ids(await again.start()) == first
    finally:
        await again.stop()
    assert len(set(first)) == 5
