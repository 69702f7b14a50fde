"""Reading a policy job's configuration (wire contract, sections 6.1 to 6.5, offline fields).

Nothing is silently ignored: a key is honoured, refused by name, or accepted and listed in `unused`
because it belongs to online sessions or to the hosted service's own machinery.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sidecar.engine.config import ROOTS, read_prompt, sorted_messages
from sidecar.engine.fields import mapping
from sidecar.errors import InvalidRequest
from sidecar.jobs import policy_gepa, policy_mipro, spec
from sidecar.jobs.policy import GEPA, MIPRO, PolicyConfig
from sidecar.jobs.policy_fields import check_verifier, given, least, limits, only, text

__all__ = ["PolicyConfig", "parse", "proposer_key"]

URL_NAMES = ("task_app_url", "localapi_url", "local_api_url", "container_url")
KEY_NAMES = ("task_app_api_key", "localapi_api_key", "local_api_key", "container_api_key")
"""Read and kept by the API before anything is parsed; never part of a configuration."""
_SEEDS = {"train_seeds", "evaluation_seeds", "validation_seeds", "bootstrap_train_seeds",
          "online_pool", "test_pool", "reference_pool"}  # fmt: skip
_USED = {
    "algorithm", "initial_prompt", "policy", "env_name", "env_config", "termination_config",
    "gepa", "mipro", "verifier", *URL_NAMES, *KEY_NAMES, *_SEEDS,
}  # fmt: skip
_UNUSED = {
    "task_app_id", "container_id", "auto_discover_patterns", "use_byok", "proxy_models", "display",
    "results_folder", "safety",
}  # fmt: skip
_SERVED = ("inference_url", "api_base", "base_url", "api_key")


def parse(body: Mapping[str, Any]) -> PolicyConfig:
    """The configuration in a `config_body`. Raises `InvalidRequest` naming the wrong field."""
    section, where = _section(body)
    algorithm = section["algorithm"]
    only(section, _USED | _UNUSED, where, "a policy job")
    check_verifier(section, where)
    messages, baseline, wildcards = _prompt(section.get("initial_prompt"), where)
    config = PolicyConfig(
        algorithm=algorithm,
        task_app_url=_url(section, where),
        messages=messages,
        baseline=baseline,
        wildcards=wildcards,
        train_seeds=(),
        fresh_seeds=(),
        env_name=text(section, "env_name", where),
        env_config=mapping(section.get("env_config", {}), f"{where}.env_config"),
        policy=_policy(section, where),
        limits=limits(section, where),
        unused=tuple(sorted(_UNUSED & section.keys())),
    )
    read = policy_gepa.read if algorithm == GEPA else policy_mipro.read
    return _checked(read(config, section, where), f"{where}.{algorithm}")


def proposer_key(body: Mapping[str, Any]) -> str:
    """The reflection model's key that came with a `config_body`; empty when none did."""
    section, where = _section(body)
    own = given(section, section["algorithm"], where)
    key = own.get("proposer_api_key") or given(own, "proposer", where).get("api_key") or ""
    return key if isinstance(key, str) else ""


def _section(body: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The section that says everything, and its path for errors."""
    root = next((name for name in ROOTS if name in body), None)
    if root is None:
        raise InvalidRequest(
            "the configuration must hold `prompt_learning` (or `policy_optimization`)",
            param="config_body",
        )
    where = f"config_body.{root}"
    section = given(body, root, "config_body")
    if section.get("algorithm") not in (GEPA, MIPRO):  # not a set: it may be anything
        raise InvalidRequest(
            f"algorithm must be 'gepa' or 'mipro', not {section.get('algorithm')!r}",
            param=f"{where}.algorithm",
        )
    return section, where


def _url(section: Mapping[str, Any], where: str) -> str:
    found = {section[name] for name in URL_NAMES if isinstance(section.get(name), str)}
    if len(found) > 1:
        raise InvalidRequest(
            f"{' and '.join(n for n in URL_NAMES if n in section)} say different things",
            param=f"{where}.{URL_NAMES[0]}",
        )
    name = next((n for n in URL_NAMES if n in section), URL_NAMES[0])
    return spec.task_app_url(section.get(name), f"{where}.{name}")


def _prompt(value: Any, where: str) -> Any:
    """All messages, and of the system prompt its text and wildcards."""
    at = f"{where}.initial_prompt"
    baseline, wildcards = read_prompt(value, at)
    messages = tuple(
        (str(m["role"]), str(m.get("pattern", m.get("content"))))
        for m in sorted_messages(value["messages"], f"{at}.messages")
    )
    return messages, baseline, wildcards


def _policy(section: Mapping[str, Any], where: str) -> dict[str, Any]:
    policy = given(section, "policy", where)
    for name in _SERVED:
        if policy.get(name) or given(policy, "config", f"{where}.policy").get(name):
            raise InvalidRequest(
                f"`{name}` is not the job's to say: calls go to the provider that the sidecar is "
                "configured with",
                param=f"{where}.policy.{name}",
            )
    return policy


def _checked(config: PolicyConfig, where: str) -> PolicyConfig:
    """Refuse seeds that are for two things at once."""
    worked = {*config.train_seeds, *config.bootstrap_seeds}
    _apart(worked, config.fresh_seeds, f"{where}", "training", "validation (or test)")
    _apart(worked | {*config.fresh_seeds}, config.reference_seeds, where, "other", "reference_pool")
    least(config.max_concurrent, 1, f"{where}.max_concurrent")
    return replace(config, unused=tuple(sorted(config.unused)))


def _apart(one: set[int], other: tuple[int, ...], where: str, first: str, second: str) -> None:
    both = sorted(one & {*other})
    if both:
        shown = ", ".join(map(str, both[:5])) + (" …" if len(both) > 5 else "")  # noqa: PLR2004
        raise InvalidRequest(
            f"seeds are both {first} and {second} seeds: {shown}; a result on seeds that were "
            "worked on says nothing, so keep them apart",
            param=where,
        )
