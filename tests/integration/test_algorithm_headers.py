"""Which answer headers a call gets: those of its session's algorithm, wherever it came in."""

import pytest
from support.backend import StaticBackend
from support.gateway import ask, running, settings
from support.provider import FakeProvider

from sidecar.errors import Unavailable

PATHS = ["/v1", "/api/gepa/v1/s1", "/api/mipro/v1/s1", "/api/mipro/v1/s1/trace_rollout_0_a1b2c3"]
NAMES = ["system-id", "rollout-id", "candidate-id"]


@pytest.fixture
async def provider():
    async with FakeProvider() as provider:
        yield provider


def sidecar(provider, algorithm):
    return running(settings(provider.base_url), StaticBackend(algorithm=algorithm))


async def chat(ours, path, system="You are helpful."):
    return await ours.chat(ask("hi", system), path=f"{path}/chat/completions")


def family(answer, algorithm):
    return {name for name in answer.headers if name.startswith(f"x-{algorithm}-")}


@pytest.mark.parametrize("path", PATHS)
async def test_a_mipro_sessions_answer_has_both_families(provider, path):
    async with sidecar(provider, "mipro") as ours:
        answer = await chat(ours, path)
    assert answer.status == 200
    assert family(answer, "mipro") == {f"x-mipro-{name}" for name in NAMES}
    for name in NAMES:
        assert answer.headers[f"x-mipro-{name}"] == answer.headers[f"x-gepa-{name}"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_gepa_sessions_answer_has_its_own_family_also_on_the_other_algorithms_url(
    provider, path
):
    async with sidecar(provider, "gepa") as ours:
        answer = await chat(ours, path)
    assert answer.status == 200
    assert family(answer, "gepa") == {f"x-gepa-{name}" for name in NAMES}
    assert not family(answer, "mipro")


@pytest.mark.parametrize(("algorithm", "count"), [("gepa", 0), ("mipro", 1)])
async def test_a_call_that_is_nobodys_rollout_has_the_families_of_its_session_too(
    provider, algorithm, count
):
    async with sidecar(provider, algorithm) as ours:
        await chat(ours, "/v1")
        for path in PATHS:
            unmatched = await chat(ours, path, system="Something else.")
            assert len(family(unmatched, "gepa")) == 1
            assert len(family(unmatched, "mipro")) == count
        ours.backend.fail = Unavailable("away")
        served = await chat(ours, "/v1")
    assert served.headers["x-sidecar-mode"] == "failopen"
    assert len(family(served, "mipro")) == count


@pytest.mark.parametrize("path", PATHS)
async def test_an_error_of_ours_has_them_as_well(path):
    async with FakeProvider() as gone:
        pass
    async with sidecar(gone, "mipro") as ours:
        answer = await chat(ours, path)
    assert answer.status == 502
    assert len(family(answer, "mipro")) == len(family(answer, "gepa")) == 3
