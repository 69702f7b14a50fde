"""The job clients against the whole sidecar: submit, look, cancel, in every form."""

import pytest
from support.api import KEY
from support.backends import SYSTEM
from support.provider import FakeProvider
from support.session_client import FORMS, VARIABLES
from support.whole import whole, whole_settings

from sidecar.client import (
    ApiError,
    JobStatus,
    PolicyOptimizationJob,
)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in (*VARIABLES, "ENVIRONMENT_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def provider():
    async with FakeProvider() as provider:
        yield provider


@pytest.fixture
async def ours(provider):
    server = {"port": 0, "drain_seconds": 0.1, "api_keys": (KEY,)}
    async with whole(whole_settings(provider.base_url, server=server)) as ours:
        yield ours


@pytest.fixture
def where(ours):
    return {"backend_url": ours.sidecar.url, "api_key": KEY}


@pytest.fixture(params=FORMS)
def form(request):
    return FORMS[request.param]


def online_job(where):
    """A job in online mode, which needs no task app to run."""
    config = {
        "algorithm": "gepa",
        "initial_prompt": {"messages": [{"role": "system", "pattern": SYSTEM}]},
        "gepa": {"mode": "online"},
    }
    section = {**config, "task_app_url": "http://127.0.0.1:1"}
    return PolicyOptimizationJob.from_dict(
        {"prompt_learning": section}, skip_health_check=True, **where
    )


async def test_a_job_is_submitted_asked_and_steered(where, form):
    job = online_job(where)
    job_id = await form(job, "submit")
    assert (await form(job, "get_status"))["job_id"] == job_id
    again = PolicyOptimizationJob.from_job_id(job_id, **where)
    result = await form(again, "poll_until_complete", timeout=0.01)
    assert (result.status, result.is_terminal) == (JobStatus.RUNNING, False)
    assert (await form(again, "cancel", reason="enough"))["status"] == "succeeded"
    result = await form(again, "poll_until_complete")
    assert (result.status, result.succeeded) == (JobStatus.CANCELLED, False)


async def test_a_job_that_does_not_exist_is_an_error_in_the_sidecars_words(where, form):
    job = PolicyOptimizationJob.from_job_id("pl_0000000000000000", **where)
    for method in ("get_status", "poll_until_complete", "cancel"):
        with pytest.raises(ApiError, match="pl_0000000000000000") as raised:
            await form(job, method)
        assert raised.value.status == 404
