"""What is in deploy/: read as it is written, built with kubectl, rendered with Helm."""

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "chart"
OVERLAYS = DEPLOY / "kustomize" / "overlays"
DEPLOYMENT = OVERLAYS / "deployment"
NATIVE = OVERLAYS / "native-sidecar"
COMPARED = CHART / "compared.sha256"

HAS_KUBECTL = shutil.which("kubectl") is not None
HAS_HELM = shutil.which("helm") is not None or find_spec("helm_python") is not None

_HASHED = re.compile(r"\bname: prompt-sidecar-[a-z0-9]{10}$", re.MULTILINE)

Object = dict[str, Any]


def written(path: Path) -> Object:
    """The one object of a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def objects(text: str) -> dict[tuple[str, str], Object]:
    """The objects of a YAML text, by kind and name."""
    found = [one for one in yaml.safe_load_all(text) if one]
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


def pod(workload: Object) -> Object:
    return workload["spec"]["template"]["spec"]


def sidecar_of(workload: Object) -> Object:
    """The sidecar's container."""
    spec = pod(workload)
    containers = [*spec.get("initContainers", []), *spec.get("containers", [])]
    return next(one for one in containers if one["name"] == "sidecar")


def environment(container: Object) -> dict[str, str]:
    """Its variables; one that is known only at run time is an address."""
    named = {one["name"]: one.get("value", "10.1.2.3") for one in container["env"]}
    return {name: value.replace("$(POD_IP)", "10.1.2.3") for name, value in named.items()}


def kustomized(overlay: Path) -> dict[tuple[str, str], Object]:
    """An overlay as kubectl builds it; its ConfigMap without the hash in its name."""
    command = ["kubectl", "kustomize", str(overlay)]
    built = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return objects(_HASHED.sub("name: prompt-sidecar", built))


def charted(chart: Path, values: dict[str, Any]) -> dict[tuple[str, str], Object]:
    """A chart as Helm renders it, as the release `prompt-sidecar`; without the annotation that
    stands for the hash in kustomize's name."""
    found = objects(_rendered(chart, values))
    for one in found.values():
        if one["kind"] == "Deployment":
            annotations = one["spec"]["template"]["metadata"].pop("annotations", {})
            assert set(annotations) <= {"checksum/config"}
    return found


def _rendered(chart: Path, values: dict[str, Any]) -> str:
    if shutil.which("helm"):
        command = ["helm", "template", "prompt-sidecar", str(chart), "--values", "-"]
        given = json.dumps(values)
        done = subprocess.run(command, check=True, capture_output=True, text=True, input=given)
        return done.stdout
    from helm_python.chart import Chart  # noqa: PLC0415  # not a dependency: `make chart` fetches it

    rendered = Chart.load(str(chart)).render(values, name="prompt-sidecar")
    return "\n---\n".join(text for path, text in rendered.items() if path.endswith(".yaml"))


def digests() -> dict[str, str]:
    """SHA-256 of all that the chart and the manifests are made of, by path."""
    return {
        path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in _compared_files()
    }


def _compared_files() -> Iterator[Path]:
    for folder in (CHART, DEPLOY / "kustomize"):
        yield from (path for path in folder.rglob("*") if path.is_file() and path != COMPARED)
