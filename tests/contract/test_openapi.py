"""The sidecar answers as its OpenAPI document says, whatever it is sent.

Requests are generated from the document, valid ones and such as break it, and Schemathesis judges
the answers: only what is documented of statuses, media types, headers and bodies, no error of ours,
no route that forgets to ask for its key. What is valid is taken and what is not is refused, save
what `JUDGED` says.
"""

import contextlib
import copy
import json

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from hypothesis import strategies as st
from schemathesis import Config, GenerationMode
from support.described import populate
from support.finished_jobs import finish_jobs
from support.threaded import threaded
from support.whole import whole_settings

from sidecar.api.openapi.document import document
from sidecar.api.openapi.schemas_common import CANDIDATE, EVAL, JOB, ROLLOUT, SESSION, SOURCE, TRIAL

AUTH = {"Authorization": "Bearer the-key"}
REQUESTS = 5
"""Generated for each operation."""
THERE = {"gepa": (SESSION, ROLLOUT), "mipro": ("fewshot", "trace_fewshot")}
"""A session of each algorithm, and a conversation in it."""
KNOWN = {
    "SessionId": [SESSION, "fewshot", "nobody"],
    "CorrelationId": [ROLLOUT, "trace_fewshot", "trace_unknown"],
    "CandidateId": [CANDIDATE, "cand_unknown"],
    "JobId": [JOB, EVAL, "pl_unknown"],
    "SourceName": [SOURCE, "nobody"],
}
"""Ids by schema, of which some are there."""
SAME = ("/api/jobs", "/api/{service}/jobs", "/eval/jobs")
"""Paths that are described, and served, like others: their examples are enough."""
MIPRO_ONLY = ("/api/v1/online/sessions", "/api/prompt-learning/online/mipro/")
NOT_THERE = {
    "upload_env_key": 400,
    "verify_env_key": 404,
    "replay_dead_letter": 404,
    "rotate_feedback_tokens": 404,
    "approve_candidate": 409,
    "retire_candidate": 409,
    "release_session": 409,
}
"""What operations say whose examples name something that is not there, or is switched off."""


def _judged(which, *refusals, lenient=False):
    """Valid requests may be refused like this; `lenient` routes take invalid ones, too."""
    taken = [*("2xx", "401", "403", "404", "409"), *refusals]
    checks = {"positive_data_acceptance": {"expected-statuses": taken}}
    if lenient:
        checks["negative_data_rejection"] = {"enabled": False}
    return {**which, "checks": checks}


CREATING = [
    *("create_session", "create_online_gepa_session", "create_online_mipro_session"),
    *("init_gepa_system", "create_job"),
    *("create_gepa_job", "create_mipro_job"),
]
REWARDING = [
    *("reward_session", "reward_online_gepa_session", "reward_online_mipro_session"),
    *("report_gepa_rollout", "report_mipro_rollout"),
]
JUDGED = [
    # Another algorithm than the path's, no config at all; and what is empty counts as not given.
    _judged({"include-operation-id": CREATING}, "400", lenient=True),
    # A rollout that another candidate served; and of several names or numbers, the first is enough.
    _judged({"include-operation-id": REWARDING}, "400", lenient=True),
    # Ids that contradict each other, words that are blank.
    _judged({"include-operation-id": "send_feedback"}, "422"),
    # What the source's adapter cannot read.
    _judged({"include-operation-id": "receive_webhook"}, "400", "422", lenient=True),
    # Addresses and keys that only look like some; and of several names, the first is enough.
    _judged({"include-operation-id": "create_eval"}, "400", lenient=True),
    # What is only for online jobs, or about events that a client has seen.
    _judged({"include-operation-id": ["get_job", "stream_job_events"]}, lenient=True),
    # A cursor that no answer gave.
    _judged({"include-operation-id": "list_candidates"}, "400"),
    # A box that does not open.
    _judged({"include-operation-id": "upload_env_key"}, "400"),
    # What is passed on is the provider's to judge.
    _judged({"include-tag": "Model calls"}, "400", lenient=True),
]


def _with_known_ids():
    """The document, with ids of things that are there among those to try."""
    described = copy.deepcopy(document())
    schemas = described["components"]["schemas"]
    for name, ids in KNOWN.items():
        schemas[name] = {"anyOf": [{"enum": ids}, schemas[name]]}
    return described


SCHEMA = schemathesis.openapi.from_dict(
    _with_known_ids(), config=Config.from_dict({"operations": JUDGED})
)
OPERATIONS = {one.ok().label: one.ok() for one in SCHEMA.get_all_operations()}
DIFFERENT = [label for label, one in OPERATIONS.items() if not one.path.startswith(SAME)]


def _settings(provider):
    return whole_settings(
        provider,
        server={"port": 0, "drain_seconds": 0.1, "api_keys": ["the-key"]},
        sources=({"name": SOURCE, "signature": "none"},),
    )


@contextlib.contextmanager
def _serving():
    """A sidecar in which everything is that `KNOWN` says."""

    async def with_jobs(running):
        await finish_jobs(running, JOB, EVAL, TRIAL)

    with threaded(_settings, with_jobs) as running:
        for algorithm, (session, conversation) in THERE.items():
            populate(running.sidecar.url, AUTH, algorithm, session, conversation)
        yield running.sidecar.url


@pytest.fixture(scope="module")
def shared():
    with _serving() as url:
        yield url


@pytest.fixture
def own(label, request):
    """A sidecar for one operation: what that does to a session is not another's past. Those that
    only look share one."""
    if label.startswith("GET "):
        yield request.getfixturevalue("shared")
    else:
        with _serving() as url:
            yield url


@pytest.mark.parametrize("label", DIFFERENT)
def test_every_answer_is_as_it_is_described(label, own):
    operation = OPERATIONS[label]
    cases = st.one_of(operation.as_strategy(generation_mode=mode) for mode in GenerationMode)

    @hypothesis.given(case=cases)
    @hypothesis.settings(
        max_examples=REQUESTS,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    def answers(case):
        case.call_and_validate(base_url=own, headers=AUTH)

    answers()


@pytest.mark.parametrize("label", OPERATIONS)
def test_every_example_works(label, shared):
    operation = OPERATIONS[label]
    said = document()["paths"][operation.path][operation.method]
    session, conversation = f"of-{said['operationId']}", f"trace_{said['operationId']}"
    algorithm = "mipro" if operation.path.startswith(MIPRO_ONLY) else "gepa"
    populate(shared, AUTH, algorithm, session, conversation)
    words = json.dumps(_example(said)).replace(SESSION, session).replace(ROLLOUT, conversation)
    answer = operation.Case(**json.loads(words)).call_and_validate(base_url=shared, headers=AUTH)
    done = [int(status) for status in said["responses"] if status.startswith("2")] or [404]
    assert answer.status_code == NOT_THERE.get(said["operationId"], done[0]), answer.text


def _example(said):
    given = {"path": {}, "query": {}, "header": {}}
    for one in said.get("parameters", []):
        if "example" in one:
            given[one["in"]][one["name"]] = one["example"]
    parts = {"path_parameters": given["path"], "query": given["query"], "headers": given["header"]}
    if "requestBody" not in said:
        return parts
    [(media_type, content)] = said["requestBody"]["content"].items()
    return parts | {"body": content["example"], "media_type": media_type}


def test_the_document_is_valid_openapi():
    SCHEMA.validate()
