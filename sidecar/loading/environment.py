"""Settings from environment variables.

`SIDECAR_SERVER__PORT` is `server.port`; some names that people have anyway are understood too and
lose against ours. Every secret may come from a file (`…_FILE`), as orchestrators mount them. A
variable set to nothing counts as not set, because that is what an unset `${NAME}` becomes.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from sidecar.loading.sources import LISTS, NAMES, SECRETS, Layer, Problem, as_list, did_you_mean

PREFIX = "SIDECAR_"
COMMON = {
    "OPENAI_API_KEY": "provider.api_key",
    "OPENAI_BASE_URL": "provider.base_url",
    "REDIS_URL": "store.url",
    "PORT": "server.port",
    "LOG_LEVEL": "log.level",
}
OURS = {PREFIX + name.upper().replace(".", "__"): name for name in NAMES}
NOT_SETTINGS = {"SIDECAR_CONFIG": "", "SIDECAR_URL": "", "SIDECAR_KEY": "", "SIDECAR_KEY_FILE": ""}
"""Read by the commands: which file, which running sidecar, and its key."""

_SERVICE_LINK = re.compile(
    r"SIDECAR_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
"""Kubernetes gives every pod such variables for a Service named `sidecar` or `sidecar-…`."""


OF_A_SOURCE = re.compile(r"SIDECAR_SOURCES__([A-Z0-9_]+?)__SECRETS(_FILE)?")
"""The secrets of one feedback source, beside a file that says the rest of it."""


def from_environment(environ: Mapping[str, str]) -> Layer:
    """All that the environment says, and every `SIDECAR_` name that says nothing to us."""
    ours, common = Layer(), Layer()
    for variable, name in OURS.items():
        _read(ours, environ, variable, name)
    for variable, name in COMMON.items():
        _read(common, environ, variable, name)
    for variable in sorted(environ):
        if variable.upper().startswith(PREFIX) and not _known(variable, environ[variable]):
            ours.problems.append(Problem(variable, _unknown(variable), "environment"))
    return ours.over(common)


def secret_from(environ: Mapping[str, str], variable: str) -> str | None:
    """The secret in a variable, or in the file that `…_FILE` names. Raises `ValueError` with
    words when both are set or the file is of no use."""
    inline, file = environ.get(variable), environ.get(f"{variable}_FILE")
    if not file:
        return inline or None
    if inline:
        raise ValueError(f"{variable} and {variable}_FILE are both set; keep one")
    try:
        secret = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise ValueError(f"{variable}_FILE names {file}, which cannot be read: {reason}") from None
    if not secret:
        raise ValueError(f"{variable}_FILE names {file}, which is empty")
    return secret


def add_source_secrets(layer: Layer, environ: Mapping[str, str]) -> None:
    """Give each source of the layer the secrets that the environment has for it: those of
    `SIDECAR_SOURCES__HELP_DESK__SECRETS`, or of the file in `…_FILE`, go to `help-desk`."""
    sources = layer.values.get("sources", [])
    if not isinstance(sources, list):
        return  # said elsewhere
    places = {
        _variable_part(one.get("name")): place
        for place, one in enumerate(sources)
        if isinstance(one, dict)
    }
    for variable in sorted(environ):
        match = OF_A_SOURCE.fullmatch(variable)
        if match is None or not environ[variable]:
            continue
        if match[1] not in places:
            words = "belongs to no source; they are named in [[sources]] of the file"
            layer.problems.append(Problem(variable, words, "environment"))
            continue
        _put_secrets(layer, places[match[1]], environ, variable)


def _variable_part(name: object) -> str:
    return str(name).upper().replace("-", "_")


def _put_secrets(layer: Layer, place: int, environ: Mapping[str, str], variable: str) -> None:
    name = f"sources.{place}.secrets"
    try:
        found = secret_from(environ, variable.removesuffix("_FILE")) or ""
        secrets = as_list(_lines(found))
    except json.JSONDecodeError as error:
        layer.problems.append(Problem(name, f"is not valid JSON: {error.msg}", variable))
    except ValueError as error:
        layer.problems.append(Problem(name, str(error), "environment"))
    else:
        sources = list(layer.values["sources"])
        sources[place] = {**sources[place], "secrets": secrets}
        layer.values["sources"] = sources
        layer.sources[name] = f"environment {variable}"


def _read(layer: Layer, environ: Mapping[str, str], variable: str, name: str) -> None:
    source = f"environment {variable}"
    try:
        if name in SECRETS:
            value = secret_from(environ, variable)
            source += "_FILE" if environ.get(f"{variable}_FILE") else ""
        else:
            value = environ.get(variable)
        if value:
            layer.put(name, as_list(_lines(value)) if name in LISTS else value, source)
    except json.JSONDecodeError as error:
        layer.problems.append(Problem(name, f"is not valid JSON: {error.msg}", source))
    except ValueError as error:
        layer.problems.append(Problem(name, str(error), "environment"))


def _lines(text: str) -> str:
    """A file of keys may hold one a line."""
    return text if text.lstrip().startswith("[") else text.replace("\n", ",")


def _known(variable: str, value: str) -> bool:
    plain = variable.removesuffix("_FILE")
    return (
        variable in OURS
        or variable in NOT_SETTINGS
        or (plain != variable and OURS.get(plain) in SECRETS)
        or OF_A_SOURCE.fullmatch(variable) is not None
        or _SERVICE_LINK.fullmatch(variable) is not None
        or (variable.endswith("PORT") and value.startswith(("tcp://", "udp://", "sctp://")))
    )


def _unknown(variable: str) -> str:
    plain = variable.removesuffix("_FILE")
    if plain in OURS:
        return f"only secrets can come from a file; set {plain} itself"
    for name in ("ROUTES", "SESSIONS", "SOURCES"):
        if variable.startswith(f"{PREFIX}{name}__"):
            return f"a list is set whole: {PREFIX}{name}='[{{…}}]' as JSON, or in the file"
    known = {**OURS, **NOT_SETTINGS, **{f"{v}_FILE": "" for v, n in OURS.items() if n in SECRETS}}
    return "there is no such setting" + did_you_mean(variable, known)
