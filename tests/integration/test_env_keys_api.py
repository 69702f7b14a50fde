"""The environment key, sent in a sealed box."""

import base64
import contextlib
import logging

import pytest
from nacl.public import PublicKey, SealedBox
from support.api import KEY, call, refusal
from support.whole import whole, whole_settings

PUBLIC = "/api/v1/crypto/public-key"
KEYS = "/api/v1/env-keys"
VERIFY = f"{KEYS}/verify"
TOKEN = "tkn-ünder-seal-3141592653"


@contextlib.asynccontextmanager
async def serving(folder, kind="sqlite"):
    settings = whole_settings(
        "http://127.0.0.1:9/v1",
        server={"port": 0, "drain_seconds": 0.1, "api_keys": (KEY,)},
        store={"kind": kind, "path": folder / "s.db"},
    )
    async with whole(settings) as ours:
        yield ours


@pytest.fixture(params=["memory", "sqlite"])
async def ours(request, tmp_path):
    async with serving(tmp_path, request.param) as ours:
        yield ours


async def sealed(ours, content):
    answer = (await call(ours, "GET", PUBLIC, X_API_Key=KEY)).json
    box = SealedBox(PublicKey(base64.b64decode(answer["public_key"])))
    content = content.encode() if isinstance(content, str) else content
    return base64.b64encode(box.encrypt(content)).decode()


async def upload(ours, content=TOKEN, name="ENVIRONMENT_API_KEY"):
    body = {"name": name, "ciphertext_b64": await sealed(ours, content)}
    return await call(ours, "POST", KEYS, body, Authorization=f"Bearer {KEY}")


async def get(ours, path):
    return await call(ours, "GET", path, X_API_Key=KEY)


async def stored(ours, name="ENVIRONMENT_API_KEY"):
    found = await ours.sidecar.store.secret(f"env-key/{name}")
    return found and found.value.decode()


async def test_the_public_key_is_one_that_libsodium_takes(ours):
    answer = (await get(ours, PUBLIC)).json
    assert answer["alg"] == "libsodium.sealedbox.v1"
    assert len(base64.b64decode(answer["public_key"], validate=True)) == 32
    assert (await get(ours, PUBLIC)).json == answer


async def test_a_sealed_key_is_opened_and_kept_under_its_name(ours):
    answer = await upload(ours)
    assert answer.status == 200
    assert set(answer.json) == {"id", "name", "updated_at"}
    assert answer.json["name"] == "ENVIRONMENT_API_KEY"
    await upload(ours, "another", "OTHER")
    assert (await stored(ours), await stored(ours, "OTHER")) == (TOKEN, "another")


async def test_a_later_key_of_the_name_takes_its_place(ours):
    first, second = (await upload(ours, "one")).json, (await upload(ours, "two")).json
    assert (first["id"], await stored(ours)) == (second["id"], "two")


async def test_a_box_closed_before_a_restart_opens_after_it(tmp_path):
    async with serving(tmp_path) as before:
        box = await sealed(before, TOKEN)
        await upload(before, "older", "OTHER")
    async with serving(tmp_path) as after:
        body = {"name": "ENVIRONMENT_API_KEY", "ciphertext_b64": box}
        assert (await call(after, "POST", KEYS, body, X_API_Key=KEY)).status == 200
        assert (await stored(after), await stored(after, "OTHER")) == (TOKEN, "older")


async def test_a_key_is_never_handed_back(ours):
    assert "not handed back" in refusal(await get(ours, KEYS), 404)
    await upload(ours)
    assert "not handed back" in refusal(await get(ours, KEYS), 404)
    answers = [await get(ours, path) for path in (KEYS, VERIFY, PUBLIC)]
    assert not any(TOKEN.encode() in answer.body for answer in answers)


async def test_whether_a_key_is_there_can_be_asked(ours):
    assert "ENVIRONMENT_API_KEY" in refusal(await get(ours, VERIFY), 404)
    uploaded = (await upload(ours)).json
    assert (await get(ours, VERIFY)).json == {
        "name": "ENVIRONMENT_API_KEY",
        "updated_at": uploaded["updated_at"],
        "present": True,
    }
    refusal(await get(ours, f"{VERIFY}?name=OTHER"), 404)
    refusal(await get(ours, f"{VERIFY}?name=a/b"), 400)


@pytest.mark.parametrize("length", [1, 8 * 1024])
async def test_a_key_may_have_8_kib(ours, length):
    assert (await upload(ours, b"x" * length)).status == 200
    assert await stored(ours) == "x" * length


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "8192"), (b"x" * (8 * 1024 + 1), "8193"), (b"\xff\xfe", "UTF-8")],
)
async def test_a_key_that_cannot_be_one_is_refused(ours, content, says):
    assert says in refusal(await upload(ours, content), 400)
    assert await stored(ours) is None


@pytest.mark.parametrize(
    "box", [None, 7, [], "", "%%%", "YQ", "ü", "YWJj", base64.b64encode(bytes(60)).decode()]
)
async def test_what_is_no_box_of_ours_is_refused(ours, box):
    body = {"name": "ENVIRONMENT_API_KEY", "ciphertext_b64": box}
    refusal(await call(ours, "POST", KEYS, body, X_API_Key=KEY), 400)


@pytest.mark.parametrize("name", [None, 7, {}, "", "a/b", "x" * 129, "a b", "ü"])
async def test_a_name_that_is_none_is_refused(ours, name):
    assert "name" in refusal(await upload(ours, name=name), 400)


@pytest.mark.parametrize(("body", "status"), [(b"[]", 400), (b"{", 400), (b" " * 65537, 413)])
async def test_a_body_that_is_none_is_refused(ours, body, status):
    refusal(await call(ours, "POST", KEYS, body, X_API_Key=KEY), status)


async def test_nothing_that_is_written_holds_the_key(ours, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    await upload(ours)
    await upload(ours, TOKEN + "x" * 9000)
    secret = await ours.sidecar.store.secret("env-key/ENVIRONMENT_API_KEY")
    said = "".join(capfd.readouterr()) + caplog.text + repr(secret)
    assert "3141592653" not in said
