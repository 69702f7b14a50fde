"""P21 and the four ways to say which conversation a call belongs to, and the fifth: not at all."""

import pytest
from support.gateway import StaticBackend, ask, running, settings
from support.provider import FakeProvider

CANDIDATES = {f"c{i}": f"Prompt {i}." for i in range(12)}
V1 = "/v1/chat/completions"


def backend():
    return StaticBackend(candidates=CANDIDATES)


def named(way, ident):
    """Path, headers and body fields that name a conversation in this way."""
    return {
        "path": {"path": f"/api/gepa/v1/s1/{ident}/v1/chat/completions"},
        "header": {"headers": {"x-correlation-id": ident}},
        "metadata": {"metadata": {"correlation_id": ident}},
        "conversation": {"conversation": ident},
        "conversation object": {"conversation": {"id": ident}},
    }[way]


WAYS = ["path", "header", "metadata", "conversation", "conversation object"]


@pytest.mark.parametrize("way", WAYS)
async def test_a_named_conversation_keeps_its_candidate(way):
    async with FakeProvider() as provider, running(settings(provider.base_url), backend()) as ours:
        served = {}
        for conversation in range(8):
            ident = f"conv:{conversation}"
            answers = [await ours.chat(ask(str(n)), **named(way, ident)) for n in range(4)]
            assert {answer.correlation for answer in answers} == {ident}
            assert {a.headers["x-gepa-rollout-id"] for a in answers} == {ident}
            candidates = {answer.candidate for answer in answers}
            assert len(candidates) == 1
            served[ident] = candidates.pop()
            assert provider.last.system == CANDIDATES[served[ident]]
        assert len(set(served.values())) > 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("tools", [False, True])
async def test_a_conversation_is_recognised_by_what_it_repeats(stream, tools):
    async with FakeProvider() as provider, running(settings(provider.base_url), backend()) as ours:
        extra = {"tools": [{"type": "function", "function": {"name": "f"}}]} if tools else {}
        for conversation in range(6):
            messages, ids = ask(f"question {conversation}"), set()
            for turn in range(4):
                answer = await ours.chat(messages, stream=stream, **extra)
                ids.add((answer.correlation, answer.candidate))
                reply = f"reply {conversation * 4 + turn + 1} to {messages[-1]['content']}"
                function = {"name": "f", "arguments": '{"a":1}'}
                call = {"id": "call_1", "type": "function", "function": function}
                calls = {"tool_calls": [call]} if tools else {}
                messages = [
                    *messages,
                    {"role": "assistant", "content": reply, **calls},
                    *(
                        [{"role": "tool", "tool_call_id": "call_1", "content": "7"}]
                        if tools
                        else []
                    ),
                    {"role": "user", "content": "and then?"},
                ]
            assert len(ids) == 1


async def test_two_tenants_never_share_a_conversation():
    async with FakeProvider() as provider, running(settings(provider.base_url), backend()) as ours:
        mine, yours = ({"authorization": f"Bearer {who}"} for who in ("me", "you"))
        first = await ours.chat(ask("hi"), headers=mine)
        history = [*ask("hi"), {"role": "assistant", "content": first.text}, *ask("so", None)]
        assert (await ours.chat(history, headers=mine)).correlation == first.correlation
        assert (await ours.chat(history, headers=yours)).correlation != first.correlation


async def test_explicit_ids_win_in_order():
    async with FakeProvider() as provider, running(settings(provider.base_url), backend()) as ours:
        given = {
            "path": "/api/gepa/v1/s1/from-path/chat/completions",
            "headers": {"x-correlation-id": "from-header"},
            "metadata": {"correlation_id": "from-metadata"},
            "conversation": "from-conversation",
        }
        assert (await ours.chat(ask("hi"), **given)).correlation == "from-path"
        del given["path"]
        assert (await ours.chat(ask("hi"), **given)).correlation == "from-header"
        assert provider.last.header("x-correlation-id") == "from-header"
        del given["headers"]
        assert (await ours.chat(ask("hi"), **given)).correlation == "from-metadata"
        del given["metadata"]
        assert (await ours.chat(ask("hi"), **given)).correlation == "from-conversation"


@pytest.mark.parametrize("ident", ["not an id", "x" * 129, "..", "ä", 7, ["x"]])
async def test_an_id_that_cannot_be_used(ident):
    async with FakeProvider() as provider, running(settings(provider.base_url), backend()) as ours:
        url = "/api/gepa/v1/s1/chat/completions"
        refused = await ours.chat(ask("hi"), path=url, metadata={"correlation_id": ident})
        assert refused.status == 400
        assert refused.json["error"]["param"] == "metadata.correlation_id"
        minted = await ours.chat(ask("hi"), metadata={"correlation_id": ident})
        assert minted.correlation.startswith("trace_")


async def test_the_header_can_have_another_name():
    async with FakeProvider() as provider:
        config = settings(provider.base_url, gateway={"correlation_header": "X-Thread"})
        async with running(config, backend()) as ours:
            answer = await ours.chat(ask("hi"), headers={"x-thread": "t-1"})
            assert answer.correlation == "t-1"


async def test_recognition_can_be_switched_off():
    async with FakeProvider() as provider:
        config = settings(provider.base_url, gateway={"content_identity": False})
        async with running(config, backend()) as ours:
            first = await ours.chat(ask("hi"))
            history = [*ask("hi"), {"role": "assistant", "content": first.text}]
            assert (await ours.chat(history)).correlation != first.correlation
            assert [t.chain_key for t in ours.store.turns] == [None, None]


@pytest.mark.parametrize("capture", ["full", "off"])
async def test_a_restart_does_not_forget(capture):
    """The chain keys of settled turns, loaded at start, and whatever else is captured or not."""
    async with FakeProvider() as provider:
        config = settings(provider.base_url, gateway={"capture": capture})
        async with running(config, backend()) as before:
            first = await before.chat(ask("hi"))
            (turn,) = await before.store.settled(1)
        kept = capture == "full"
        assert (turn.reply, bool(turn.request)) == (first.text if kept else "", kept)
        assert (turn.prompt_tokens, turn.completion_tokens) == (7, 3)
        async with running(config, backend()) as after:
            after.gateway.remember([(turn.chain_key, turn.rollout_id), (turn.chain_key, "older")])
            history = [*ask("hi"), {"role": "assistant", "content": first.text}, *ask("so", None)]
            assert (await after.chat(history)).correlation == first.correlation


async def test_streaming_equals_not_streaming():
    """The same turn is recorded, and the same conversation recognised, either way."""
    turns = []
    for stream in (False, True):
        async with FakeProvider() as provider, running(settings(provider.base_url)) as ours:
            tools = [{"type": "function", "function": {"name": "f"}}]
            await ours.chat(ask("hi"), stream=stream, tools=tools)
            (turn,) = await ours.store.settled(1)
            turns.append((turn.reply, turn.completion_id, turn.chain_key, turn.request))
            assert turn.outcome == "done"
    assert turns[0] == turns[1]


async def test_a_long_stream_is_recognised_though_little_of_it_is_kept():
    async with FakeProvider() as provider:
        config = settings(provider.base_url, gateway={"capture_bytes": 100})
        async with running(config, backend()) as ours:
            first = await ours.chat(ask("w" * 300_000), stream=True)
            (turn,) = await ours.store.settled(1)
            assert len(turn.reply) == 100
            assert sum(len(text) for _, text in turn.request) <= 100
            reply = "reply 1 to " + "w" * 300_000
            history = [*ask("w" * 300_000), {"role": "assistant", "content": reply}]
            assert (await ours.chat(history)).correlation == first.correlation


async def test_routing_rules():
    config = {
        "routes": (
            {"session": "s2", "header": {"x-team": "two"}},
            {"session": "s3", "model": "exact"},
            {"session": "s4", "model": "mini*"},
            {
                "session": "s5",
                # sha256 of "secret"
                "api_key_sha256": "2BB80D537B1DA3E38BD30361AA855686"
                "BDE0EACD7162FEF6A25FE97BF527A25B",
            },
        )
    }
    ours_backend = backend()
    ours_backend.sessions = {"s2", "s3", "s4", "s5"}
    async with (
        FakeProvider() as provider,
        running(settings(provider.base_url, **config), ours_backend) as ours,
    ):

        async def session(model, **headers):
            body = {"model": model, "messages": ask("hi")}
            async with ours.client.post(ours.url + V1, json=body, headers=headers) as response:
                return response.headers.get("x-gepa-system-id")

        assert await session("any", **{"x-team": "two"}) == "s2"
        assert await session("exact", **{"x-team": "one"}) == "s3"
        assert await session("mini-4") == "s4"
        assert await session("exactly") is None
        assert await session("any", authorization="Bearer secret") == "s5"
        assert await session("any", authorization="Bearer other") is None


@pytest.mark.parametrize(
    ("provider_settings", "path", "sent", "seen"),
    [
        ({}, V1, {"authorization": "Bearer client"}, {"authorization": "Bearer client"}),
        ({}, V1, {}, {}),
        ({"api_key": "ours"}, V1, {}, {"authorization": "Bearer ours"}),
        ({"api_key": "ours"}, V1, {"api-key": "azure"}, {"api-key": "azure"}),
        (
            {"api_key": "ours"},
            V1,
            {"authorization": "Bearer client"},
            {"authorization": "Bearer client"},
        ),
        (
            {"api_key": "ours", "key_mode": "replace"},
            V1,
            {"authorization": "Bearer client"},
            {"authorization": "Bearer ours"},
        ),
        (
            {"api_key": "ours"},
            V1,
            {"authorization": "Bearer admin"},
            {"authorization": "Bearer ours"},
        ),
        (
            {},
            V1,
            {"x-api-key": "admin", "authorization": "Bearer client"},
            {"authorization": "Bearer client"},
        ),
        ({}, "/v1/models", {"authorization": "Bearer admin"}, {}),
        (
            {"api_key": "ours"},
            "/api/gepa/v1/s1/chat/completions",
            {"authorization": "Bearer client", "x-api-key": "k"},
            {"authorization": "Bearer ours"},
        ),
        (
            {},
            "/api/gepa/v1/s1/chat/completions",
            {"authorization": "Bearer client", "x-api-key": "k"},
            {},
        ),
    ],
)
async def test_whose_key_the_provider_sees(provider_settings, path, sent, seen):
    async with FakeProvider() as provider:
        config = settings(
            provider.base_url, provider=provider_settings, server={"api_keys": ("admin",)}
        )
        async with running(config) as ours:
            await ours.chat(ask("hi"), path=path, headers=sent)
            names = ("authorization", "x-api-key", "api-key")
            found = {name: provider.last.header(name) for name in names}
            assert {name: value for name, value in found.items() if value} == seen
