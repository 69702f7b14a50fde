"""Configurations that a create request names: files of one folder, and nothing else."""

import json
import os

import pytest
from support.api import call, refusal
from support.backends import SYSTEM, create_request
from support.whole import SESSIONS, whole, whole_settings

TOML = f"""
[prompt_learning]
algorithm = "gepa"
[prompt_learning.initial_prompt]
messages = [{{ role = "system", pattern = "{SYSTEM}" }}]
[prompt_learning.gepa]
online_proposer_min_rollouts = 10
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "configs"
    (folder / "deep").mkdir(parents=True)
    (folder / "shop.toml").write_text(TOML)
    (folder / "deep/bank.toml").write_text(TOML)
    (folder / "plain.json").write_text(json.dumps(create_request()["config_body"]))
    (tmp_path / "outside.toml").write_text(TOML)
    return folder


@pytest.fixture
async def ours(folder):
    async with whole(with_folder(str(folder))) as ours:
        yield ours


def with_folder(config_dir):
    return whole_settings("http://127.0.0.1:9/v1", engine={"config_dir": config_dir})


async def create(ours, **body):
    return await call(ours, "POST", SESSIONS, body)


@pytest.mark.parametrize("name", ["shop", "plain"])
async def test_a_name_is_a_file_of_the_folder(ours, name):
    created = await create(ours, config_name=name, session_id="named", metadata={}, overrides={})
    assert (created.status, created.json["session_id"]) == (200, "named")
    status = await call(ours, "GET", f"{SESSIONS}/named")
    assert status.json["candidates"][0]["text"] == SYSTEM


async def test_overrides_apply_to_a_named_configuration_too(ours):
    bad = {"prompt_learning.gepa.online_proposer_min_rollouts": 0}
    assert "min_rollouts" in refusal(await create(ours, config_name="shop", overrides=bad), 400)


@pytest.mark.parametrize("path", ["shop.toml", "deep/bank.toml", "./shop.toml"])
async def test_a_path_is_taken_from_the_folder(ours, path):
    assert (await create(ours, config_path=path)).status == 200


async def test_a_whole_path_into_the_folder_is_one_of_its_files(ours, folder):
    assert (await create(ours, config_path=str(folder / "deep/bank.toml"))).status == 200


async def test_a_folder_that_is_reached_by_a_link_is_as_good_as_any(folder, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder)
    async with whole(with_folder(str(link))) as ours:
        for path in (link / "shop.toml", folder / "shop.toml", "shop.toml"):
            assert (await create(ours, config_path=str(path))).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "../outside.toml",
        "deep/../shop.toml",
        "deep/../../outside.toml",
        "/etc/hostname",
        "link.toml",
        "linked/outside.toml",
        "deep",
        "",
        ".",
        "nothing.toml",
        "shop",
        "shop.toml/x",
        "pipe.toml",
        "shop.toml\0",
        "x" * 5000,
    ],
)
async def test_anything_else_is_refused_in_the_same_words(ours, folder, path):
    (folder / "link.toml").symlink_to(folder / "shop.toml")
    (folder / "linked").symlink_to(folder.parent)
    os.mkfifo(folder / "pipe.toml")
    said = refusal(await create(ours, config_path=path), 400)
    assert said == "config_path names no configuration that this sidecar has; send config_body"
    outside = refusal(await create(ours, config_path=str(folder.parent / "outside.toml")), 400)
    assert outside == said


@pytest.mark.parametrize("name", ["nothing", "../outside", "deep/bank", "", ".", "..", "x" * 129])
async def test_a_name_that_is_none_of_the_folder_is_refused(ours, name):
    assert "send config_body" in refusal(await create(ours, config_name=name), 400)


@pytest.mark.parametrize("name", [7, [], True, {}])
async def test_a_name_is_text(ours, name):
    for field in ("config_name", "config_path"):
        assert "must be text" in refusal(await create(ours, **{field: name}), 400)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("bad.toml", b"[prompt_learning", "not valid TOML"),
        ("bad.json", b"{", "not valid JSON"),
        ("bad.json", b"[" * 100_000, "not valid JSON"),
        ("bad.toml", b"\xff", "not valid TOML"),
        ("bad.json", b"[1]", "must be an object"),
        ("bad.toml", b"", "must be an object"),
        ("bad.toml", b"# " + b"x" * 1024 * 1024, "more than 1048576 bytes"),
        ("bad.toml", b"prompt_learning = 1979-05-27", "must be an object"),
    ],
)
async def test_a_file_that_is_no_configuration_is_refused(ours, folder, file, content, says):
    (folder / file).write_bytes(content)
    assert says in refusal(await create(ours, config_name="bad"), 400)


async def test_what_is_sent_goes_before_what_is_named(ours):
    body = create_request(None)["config_body"]
    assert (await create(ours, config_name="nothing", config_body=body)).status == 200


async def test_one_name_at_a_time(ours):
    answer = await create(ours, config_name="shop", config_path="shop.toml")
    assert "not both" in refusal(answer, 400)


@pytest.mark.parametrize("field", ["config_name", "config_path"])
async def test_without_a_folder_nothing_can_be_named(field, folder):
    async with whole(with_folder("")) as ours:
        answer = await create(ours, **{field: str(folder / "shop.toml")})
        assert f"{field} names something that only your machine has" in refusal(answer, 400)


async def test_a_folder_that_is_gone_has_no_configurations(folder):
    async with whole(with_folder(str(folder / "gone"))) as ours:
        assert "send config_body" in refusal(await create(ours, config_name="shop"), 400)
