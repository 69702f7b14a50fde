"""What an orchestrator and a scraper ask is answered cheaply, and without a key."""

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.feedback_loop import Loop
from support.feedback_server import application, with_health

from sidecar.api.ops import Health
from sidecar.settings import Server, Settings


@pytest.fixture
def health():
    return Health()


@pytest.fixture
async def client(aiohttp_client, health):
    loop = Loop()
    keyed = Settings(server=Server(api_keys=("secret-key",)))
    return await aiohttp_client(with_health(application(loop, keyed), loop, health))


async def statuses(client):
    return [(await client.get(path)).status for path in ("/livez", "/startupz", "/readyz")]


async def test_a_life_from_start_to_drain(client, health):
    assert await statuses(client) == [200, 503, 503]
    health.ready = True
    assert await statuses(client) == [200, 200, 200]
    health.draining = True
    assert await statuses(client) == [200, 200, 503]
    assert await (await client.get("/readyz")).text() == "draining"


@pytest.mark.parametrize("path", ["/livez", "/healthz", "/readyz", "/startupz"])
async def test_text_for_probes_and_json_for_who_asks(client, health, path):
    health.ready = True
    assert await (await client.get(path)).text() == "ok"
    answer = await client.get(path, headers={"Accept": "application/json"})
    assert await answer.json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/health", "/api/health"])
async def test_the_published_probe_gets_an_object(client, health, path):
    health.ready = True
    answer = await client.get(path)
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert (await answer.json())["status"] == "ok"


async def test_verbose_readiness_shows_the_parts_and_does_not_depend_on_them(client, health):
    health.ready = True
    answer = await client.get("/readyz?verbose")
    assert answer.status == 200
    assert await answer.json() == {"status": "ok", "parts": {"store": "degraded"}}


async def test_metrics_are_prometheus_text(client):
    answer = await client.get("/metrics")
    assert answer.content_type == "text/plain"
    names = {family.name for family in text_string_to_metric_families(await answer.text())}
    assert {"sidecar_feedback", "sidecar_deadletters", "sidecar_build_info"} <= names


async def test_metrics_are_openmetrics_for_who_asks(client):
    answer = await client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert answer.content_type == "application/openmetrics-text"
    assert (await answer.text()).endswith("# EOF\n")
