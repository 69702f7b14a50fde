"""What an eval job may be asked for."""

import orjson
import pytest

from sidecar.errors import InvalidRequest
from sidecar.jobs.eval_config import EvalConfig, parse
from sidecar.jobs.prices import Prices
from sidecar.jobs.seeds import MAX_SEEDS, seeds


def body(**changes):
    base = {"task_app_url": "http://localhost:8001", "seeds": [3, 1]}
    return {name: value for name, value in {**base, **changes}.items() if value is not ...}


def test_the_body_of_the_published_sdk_is_understood():
    config = parse(
        body(
            app_id="probe",
            env_name="colours",
            policy={"model": "gpt-4.1-mini", "provider": "openai"},
            env_config={"split": "test"},
            verifier_config=None,
            max_concurrent=2,
            timeout=60.0,
        )
    )
    assert config.seeds == (3, 1)
    spec = config.spec()
    assert (spec.env_name, spec.concurrency, spec.timeout) == ("colours", 2, 60.0)
    assert (spec.baseline, spec.template) == (None, ())
    assert config.unused == ()


@pytest.mark.parametrize("name", ["local_api_url", "localapi_url", "container_url"])
def test_every_name_of_the_address_is_read(name):
    given = body(task_app_url=..., **{name: "https://app.example/s/abc"})
    assert parse(given).task_app_url == "https://app.example/s/abc"


def test_a_config_survives_the_store():
    config = parse(body(policy={"model": "m"}, seeds={"start": 2, "end": 5}, other=1))
    assert EvalConfig.load(orjson.loads(orjson.dumps(config.dump()))) == config


def test_nothing_is_silently_ignored():
    config = parse(body(policy={"model": "m", "api_key": "sk-secret"}, container_id="c"))
    assert config.unused == ("container_id", "policy.api_key")
    assert "sk-secret" not in str(config.dump())


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"task_app_url": ...}, "task_app_url"),
        ({"task_app_url": "localhost:8001"}, "task_app_url"),
        ({"task_app_url": "ftp://localhost"}, "task_app_url"),
        ({"task_app_url": "http://user:pw@localhost"}, "task_app_url"),
        ({"task_app_url": "http://localhost:99999"}, "task_app_url"),
        ({"task_app_url": "http://local host"}, "task_app_url"),
        ({"task_app_url": "http://"}, "task_app_url"),
        ({"task_app_url": 5}, "task_app_url"),
        ({"seeds": ...}, "seeds"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [1, 1]}, "seeds"),
        ({"seeds": [-1]}, "seeds"),
        ({"seeds": ["1"]}, "seeds"),
        ({"seeds": [True]}, "seeds"),
        ({"policy": "gpt"}, "policy"),
        ({"env_config": []}, "env_config"),
        ({"env_name": 3}, "env_name"),
        ({"max_concurrent": 0}, "max_concurrent"),
        ({"max_concurrent": True}, "max_concurrent"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "60"}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"verifier_config": {"enabled": True}}, "verifier_config"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(changes, param):
    with pytest.raises(InvalidRequest) as failure:
        parse(body(**changes))
    assert failure.value.param == param


@pytest.mark.parametrize("verifier", [None, {}, {"enabled": False}])
def test_a_verifier_that_is_off_is_no_verifier(verifier):
    assert parse(body(verifier_config=verifier)).unused == ()


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([5, 3], (5, 3)),
        ({"start": 2, "end": 8, "step": 3}, (2, 5)),
        ({"end": 3}, (0, 1, 2)),
    ],
)
def test_seeds_are_a_list_or_a_range(given, found):
    assert seeds(given, "seeds") == found


@pytest.mark.parametrize(
    "given",
    [
        {"start": 0},
        {"start": 0, "end": 0},
        {"start": 0, "end": 5, "step": 0},
        {"start": 0, "end": 5, "step": -1},
        {"start": 0, "end": 10**30},
        {"start": 0, "end": 5, "stop": 3},
        {"start": 0, "end": MAX_SEEDS + 1},
        list(range(MAX_SEEDS + 1)),
        "0,1",
        None,
    ],
)
def test_seeds_that_are_neither_are_refused(given):
    with pytest.raises(InvalidRequest):
        seeds(given, "seeds")


def test_a_model_costs_what_was_configured_and_nothing_otherwise():
    prices = Prices({"local": (1.0, 2.0), "mini": (0.4, 0.0)})
    assert prices.cost("local", 1_000_000, 500_000) == pytest.approx(2.0)
    assert prices.cost("openai/mini", 1_000_000, 0) == pytest.approx(0.4)
    assert prices.cost("nobody-knows", 10, 10) == 0.0
    assert (prices.known("nobody-knows"), prices.known("openai/mini")) == (False, True)
