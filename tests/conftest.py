"""Real Redis servers, one for all tests of a worker; and the search for leaks (`--leaks`)."""

import os
import uuid

import pytest
from support.redis_cluster import cluster
from support.redis_server import named_server, running, wipe


def pytest_addoption(parser):
    parser.addoption("--leaks", action="store_true", help="look for secrets and content in logs")


def pytest_configure(config):
    if config.getoption("leaks"):
        from support.leaks import Leaks  # noqa: PLC0415  # it changes what it imports

        config.pluginmanager.register(Leaks(), "leaks")


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory):
    """The server of `REDIS_URL`, else one of our own."""
    if named := named_server():
        yield named
        return
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_cluster_url(tmp_path_factory):
    """A cluster of our own."""
    with cluster(tmp_path_factory.mktemp("redis-cluster")) as url:
        yield url


@pytest.fixture
def redis_prefix(redis_url):
    """What the keys of one test begin with; they are gone after it."""
    prefix = new_prefix()
    yield prefix
    wipe(redis_url, prefix)


def new_prefix() -> str:
    return f"test-{os.getpid()}-{uuid.uuid4().hex[:8]}"
