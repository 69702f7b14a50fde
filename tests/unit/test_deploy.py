"""What is in deploy/ fits the sidecar: settings, probes, ports, times."""

import asyncio
import os
import re
import sys
import tomllib

import pytest
import yaml
from support.manifests import (
    DEPLOY,
    DEPLOYMENT,
    HAS_KUBECTL,
    NATIVE,
    OVERLAYS,
    ROOT,
    environment,
    kustomized,
    pod,
    sidecar_of,
    written,
)
from support.whole import whole, whole_settings

from sidecar import __version__
from sidecar.api import ops
from sidecar.loading import read
from sidecar.settings import Settings
from sidecar.telemetry.metrics import Metrics

SHAPES = {"deployment": DEPLOYMENT / "deployment.yaml", "native-sidecar": NATIVE / "sidecar.yaml"}
SECRETS = {"provider-key": "sk-1", "api-keys": "key-1,key-2", "redis-url": "rediss://:pw@host:6379"}
TO_COUNT_REWARDS = 10
"""Seconds that a sidecar should have left after its drain."""

needs_kubectl = pytest.mark.skipif(not HAS_KUBECTL, reason="kubectl is not here")


def settings_of(shape, tmp_path):
    """What the sidecar makes of a shape's environment, its files being elsewhere."""
    for name, secret in SECRETS.items():
        (tmp_path / name).write_text(secret)
    places = {
        "/run/secrets/sidecar": tmp_path,
        "/etc/sidecar": DEPLOY / "kustomize" / "base",
        "/var/lib/sidecar": tmp_path,
    }
    variables = environment(sidecar_of(written(SHAPES[shape])))
    for there, here in places.items():
        variables = {n: v.replace(there, str(here)) for n, v in variables.items()}
    return read({}, variables)


@pytest.fixture(params=SHAPES)
def shape(request):
    return request.param


# -- the sidecar's container, in both shapes ------------------------------------------------------


def test_the_sidecar_starts_with_the_settings_of_the_manifests(shape, tmp_path):
    loaded = settings_of(shape, tmp_path)
    assert loaded.warnings == ()
    assert loaded.settings.log.format == "json"
    assert [session.id for session in loaded.settings.sessions] == ["support"]
    assert loaded.settings.provider.api_key.get_secret_value() == "sk-1"


def test_no_secret_stands_in_a_manifest(shape):
    container = sidecar_of(written(SHAPES[shape]))
    secret = [n for n in environment(container) if n.endswith("_FILE")]
    assert "SIDECAR_PROVIDER__API_KEY_FILE" in secret
    assert not {name.removesuffix("_FILE") for name in secret} & set(environment(container))
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert mounts["sidecar-secrets"] == "/run/secrets/sidecar"


def test_a_deployment_listens_for_all_with_keys_and_keeps_its_state_on_redis(tmp_path):
    settings = settings_of("deployment", tmp_path).settings
    assert (settings.server.host, len(settings.server.api_keys)) == ("0.0.0.0", 2)
    assert settings.store.kind == "redis"
    assert settings.jobs.interceptor_url == "http://10.1.2.3:8080"


def test_a_native_sidecar_listens_on_loopback_and_writes_to_its_volume(tmp_path):
    settings = settings_of("native-sidecar", tmp_path).settings
    assert (settings.server.host, settings.store.kind) == ("127.0.0.1", "sqlite")
    variables = environment(sidecar_of(written(SHAPES["native-sidecar"])))
    workload = written(SHAPES["native-sidecar"])
    mounts = {one["mountPath"]: one["name"] for one in sidecar_of(workload)["volumeMounts"]}
    volumes = {one["name"]: one for one in pod(workload)["volumes"]}
    folder = variables["SIDECAR_STORE__PATH"].rpartition("/")[0]
    assert "emptyDir" in volumes[mounts[folder]]


def test_a_native_sidecar_stays_and_is_asked_from_inside():
    container = pod(written(SHAPES["native-sidecar"]))["initContainers"][0]
    assert container["restartPolicy"] == "Always"
    assert container["startupProbe"]["exec"]["command"] == ["probe", "/startupz"]
    assert not [name for name in container if "Probe" in name and "httpGet" in container[name]]


def test_every_probe_asks_for_what_is_there(shape):
    container = sidecar_of(written(SHAPES[shape]))
    there = {route.path for route in ops.routes(ops.Health(), Metrics(), dict)}
    ports = {one["name"]: one["containerPort"] for one in container.get("ports", [])}
    meant = {"startupProbe": "/startupz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    probes = {name: container[name] for name in meant if name in container}
    assert {"startupProbe", "livenessProbe"} <= set(probes)
    for name, probe in probes.items():
        path = probe["httpGet"]["path"] if "httpGet" in probe else probe["exec"]["command"][1]
        assert path == meant[name]
        assert path in there
        if "httpGet" in probe:
            port = environment(container)["SIDECAR_SERVER__PORT"]
            assert ports[probe["httpGet"]["port"]] == int(port)


def test_a_sidecar_may_do_no_more_than_it_must(shape):
    container = sidecar_of(written(SHAPES[shape]))
    assert container["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert {"requests", "limits"} <= set(container["resources"])


# -- times, selectors ------------------------------------------------------------------------------


def test_there_is_time_to_drain_and_to_count_rewards(tmp_path):
    server = settings_of("deployment", tmp_path).settings.server
    grace = pod(written(SHAPES["deployment"]))["terminationGracePeriodSeconds"]
    assert grace >= server.drain_notice_seconds + server.drain_seconds + TO_COUNT_REWARDS
    native = settings_of("native-sidecar", tmp_path).settings.server
    shared = pod(written(NATIVE / "app.yaml"))["terminationGracePeriodSeconds"]
    assert shared >= 30 + native.drain_seconds + TO_COUNT_REWARDS
    assert native.drain_notice_seconds == 0


def test_endpoints_have_time_to_notice_that_a_sidecar_drains(tmp_path):
    probe = sidecar_of(written(SHAPES["deployment"]))["readinessProbe"]
    notice = settings_of("deployment", tmp_path).settings.server.drain_notice_seconds
    assert notice > probe["periodSeconds"] * probe["failureThreshold"]


def test_one_sidecar_leaves_at_a_time():
    hpa = written(DEPLOYMENT / "hpa.yaml")["spec"]
    grace = pod(written(SHAPES["deployment"]))["terminationGracePeriodSeconds"]
    (policy,) = hpa["behavior"]["scaleDown"]["policies"]
    assert (policy["type"], policy["value"]) == ("Pods", 1)
    assert policy["periodSeconds"] >= grace
    assert written(DEPLOYMENT / "pdb.yaml")["spec"]["minAvailable"] < hpa["minReplicas"]
    assert "replicas" not in written(SHAPES["deployment"])["spec"]


def test_everything_selects_the_pods_of_the_deployment():
    workload = written(SHAPES["deployment"])
    labels = workload["spec"]["template"]["metadata"]["labels"].items()
    service = written(DEPLOYMENT / "service.yaml")
    monitor = written(OVERLAYS / "monitored" / "servicemonitor.yaml")
    selectors = [
        workload["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        written(DEPLOYMENT / "pdb.yaml")["spec"]["selector"]["matchLabels"],
        written(DEPLOYMENT / "networkpolicy.yaml")["spec"]["podSelector"]["matchLabels"],
        written(DEPLOY / "kustomize/base/networkpolicy.yaml")["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels for selector in selectors)
    spread = pod(workload)["topologySpreadConstraints"]
    assert all(one["labelSelector"]["matchLabels"].items() <= labels for one in spread)
    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    )
    target = written(DEPLOYMENT / "hpa.yaml")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == (workload["kind"], workload["metadata"]["name"])


def test_prometheus_asks_for_the_metrics_where_they_are():
    monitor = written(OVERLAYS / "monitored" / "servicemonitor.yaml")
    service = written(DEPLOYMENT / "service.yaml")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {one["name"] for one in service["spec"]["ports"]}
    there = {route.path for route in ops.routes(ops.Health(), Metrics(), dict)}
    assert endpoint["path"] in there


# -- built ----------------------------------------------------------------------------------------


@needs_kubectl
def test_the_application_gets_its_sidecar_and_keeps_what_is_its_own():
    built = kustomized(NATIVE)["Deployment", "example-app"]
    app = written(NATIVE / "app.yaml")
    assert sidecar_of(built)["image"] == f"prompt-sidecar:{__version__}"
    assert pod(built)["containers"] == pod(app)["containers"]
    assert built["metadata"] == app["metadata"]


@needs_kubectl
def test_every_name_of_a_config_map_is_one_that_is_built():
    built = kustomized(OVERLAYS / "monitored")
    assert ("ServiceMonitor", "prompt-sidecar") in built
    (config,) = (o for (kind, _), o in built.items() if kind == "ConfigMap")
    volumes = {one["name"]: one for one in pod(built["Deployment", "prompt-sidecar"])["volumes"]}
    assert volumes["sidecar-config"]["configMap"]["name"] == config["metadata"]["name"]
    assert set(config["data"]) == {"sidecar.toml"}


# -- compose, image --------------------------------------------------------------------------------


def test_the_sidecar_starts_with_the_settings_of_the_compose_file():
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["sidecar"]
    config = str(DEPLOY / "kustomize" / "base" / "sidecar.toml")
    variables = {
        name: re.sub(r"\$\{\w+:\?[^}]*\}", "given", value)
        for name, value in {**service["environment"], "SIDECAR_CONFIG": config}.items()
    }
    settings = read({}, variables).settings
    assert settings.store.kind == "redis"
    assert int(service["stop_grace_period"].removesuffix("s")) >= (
        settings.server.drain_seconds + TO_COUNT_REWARDS
    )
    assert f"127.0.0.1:8080:{settings.server.port}" in service["ports"]


def test_every_image_is_the_version_that_this_is():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    tags = {compose["services"]["sidecar"]["image"].partition(":")[2]}
    for overlay in (DEPLOYMENT, NATIVE):
        (image,) = written(overlay / "kustomization.yaml")["images"]
        tags.add(image["newTag"])
    assert tags == {__version__}


@pytest.fixture
def dockerfile():
    return (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_image_has_a_python_that_the_package_supports(dockerfile):
    versions = re.findall(r"^FROM python:(\d+)\.(\d+)-slim", dockerfile, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    least = tuple(int(n) for n in project["requires-python"].removeprefix(">=").split("."))
    assert len(versions) == 2
    assert all(tuple(map(int, version)) >= least for version in versions)


def test_the_image_holds_nothing_that_only_building_needs(dockerfile):
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    wanted_by = {
        name: set(re.findall(r"^    #(?: via)?\s+(\S+(?: \(\S+\))?)", comments, re.MULTILINE))
        for name, comments in re.findall(
            r"^([a-z0-9-]+)==.*\n(?:    --.*\n)+((?:    #.*\n)+)", lock, re.MULTILINE
        )
    }
    build = {"prompt-sidecar (pyproject.toml:build)", "hatchling", "editables"}
    only = {name for name, wanting in wanted_by.items() if wanting - {"via"} <= build}
    removed = dockerfile.partition("uninstall --yes ")[2].partition("\n\n")[0]
    assert set(removed.replace("\\", "").split()) == only | {"pip"}
    assert "hatchling" in only


def test_the_image_runs_as_the_user_that_the_manifests_name(dockerfile):
    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE)[-1] == "10001:10001"
    assert "STOPSIGNAL SIGTERM" in dockerfile
    assert f"EXPOSE {Settings().server.port}" in dockerfile


# -- the health check ------------------------------------------------------------------------------


async def probed(port, path):
    """The exit code of the image's health check, in an environment with a proxy that is none."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-IS",
        str(DEPLOY / "probe.py"),
        path,
        env={**os.environ, "SIDECAR_SERVER__PORT": port, "http_proxy": "http://127.0.0.1:9"},
    )
    return await child.wait()


async def test_the_health_check_tells_a_sidecar_that_serves_from_one_that_does_not():
    async with whole(whole_settings("http://127.0.0.1:9/v1")) as running:
        port = running.sidecar.url.rpartition(":")[2]
        assert await probed(port, "/readyz") == 0
        assert await probed(port, "/nowhere") == 1
        running.sidecar.health.draining = True
        assert (await probed(port, "/readyz"), await probed(port, "/livez")) == (1, 0)
    assert await probed(port, "/livez") == 1
