"""The Helm chart renders what kustomize builds. Held against a real Helm with `make chart`."""

import re
import shutil

import pytest
import yaml
from support.manifests import (
    CHART,
    COMPARED,
    DEPLOY,
    DEPLOYMENT,
    HAS_HELM,
    HAS_KUBECTL,
    NATIVE,
    OVERLAYS,
    charted,
    digests,
    kustomized,
    written,
)

from sidecar import __version__

rendered = pytest.mark.skipif(
    not (HAS_HELM and HAS_KUBECTL), reason="needs kubectl and Helm: see `make chart`"
)
IN_ITS_PLACE = """
      initContainers:
        {{- include "prompt-sidecar.container" (index .Subcharts "prompt-sidecar") | nindent 8 }}
      volumes:
        {{- include "prompt-sidecar.volumes" (index .Subcharts "prompt-sidecar") | nindent 8 }}
"""


@rendered
def test_the_chart_is_the_deployment():
    assert charted(CHART, {}) == kustomized(DEPLOYMENT)


@rendered
def test_with_a_service_monitor_it_is_the_monitored_one():
    values = {"serviceMonitor": {"enabled": True}}
    assert charted(CHART, values) == kustomized(OVERLAYS / "monitored")


@rendered
def test_the_chart_of_an_application_gets_the_native_sidecar(tmp_path):
    chart = tmp_path / "example-app"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: example-app\nversion: 1.0.0\n")
    app = (NATIVE / "app.yaml").read_text()
    (chart / "templates" / "app.yaml").write_text(app + IN_ITS_PLACE)
    shutil.copytree(CHART, chart / "charts" / "prompt-sidecar")
    assert charted(chart, {"prompt-sidecar": {"shape": "native-sidecar"}}) == kustomized(NATIVE)


def test_the_chart_was_held_against_these_manifests():
    """Without Helm this is all that is known, so a change of either needs `make chart`."""
    lines = COMPARED.read_text(encoding="utf-8").splitlines()
    assert {path: digest for digest, path in (line.split("  ") for line in lines)} == digests()


def test_the_chart_holds_the_same_settings_and_is_of_this_version():
    config = (DEPLOY / "kustomize" / "base" / "sidecar.toml").read_text(encoding="utf-8")
    assert written(CHART / "values.yaml")["config"] == config
    about = written(CHART / "Chart.yaml")
    assert (about["version"], about["appVersion"]) == (__version__, __version__)


def test_every_value_is_used_and_every_used_one_is_there():
    text = "".join(path.read_text() for path in sorted((CHART / "templates").iterdir()))
    used = set(re.findall(r"\.Values\.([A-Za-z.]+)", text))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    mapped = {"resources", "nativeResources"}
    there = {name for name in values if name in mapped or not isinstance(values[name], dict)}
    for name in set(values) - there:
        there |= {f"{name}.{inner}" for inner in values[name]}
    assert used == there
