"""A session's configuration: the published form in, a typed one out.

Accepts what the published API accepts for GEPA online (wire contract, sections 3.2, 6.1 to 6.4);
our own dials stand under `safety`. Nothing is silently ignored: an online key that we do not know
is refused by name, and a key that belongs to offline jobs is accepted and listed in `unused`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, ClassVar

from sidecar.core.prompt import SYSTEM_ROLES, Pattern, Wildcard
from sidecar.engine.fields import integer, mapping, number
from sidecar.engine.guards import Guards, dials_only, held_back, read_guards
from sidecar.engine.options import Options
from sidecar.engine.rules import KEYS, Rules, read_rules
from sidecar.errors import InvalidRequest

ROOTS = ("prompt_learning", "policy_optimization")
_SECTION = {"algorithm", "initial_prompt", "policy", "safety", "gepa", "mipro", *KEYS}
_NOT_ZERO = {"prior_sd", "half_life", "bucket", "refresh_every", "patience"}
"""Dials that something is divided by."""
_LIMITS = ("termination_config", "gepa.token.max_spend_usd", "mipro.max_spend_usd")
_ONLINE = {
    "online_proposer_min_rollouts",
    "online_proposer_max_candidates",
    "online_prune_threshold",
    "online_prune_min_rollouts",
    "proposer_url",
    "proposer_model",
    "proposer_api_key",
    "proposer",
    "mode",
    "safety",
    *KEYS,
}
_OFFLINE = {
    "env_name", "rng_seed", "env_config", "metaprompt", "modules", "proposer_type",
    "proposer_effort", "proposer_output_tokens", "proposed_prompt_max_tokens", "rollout",
    "evaluation", "mutation", "population", "archive", "token", "adaptive_pool", "adaptive_batch",
    "proxy_models", "verifier", "unified_optimization", "rollout_budget", "minibatch_size",
    "max_concurrent_rollouts", "evaluation_seeds", "validation_seeds", "mutation_rate",
    "initial_population_size", "num_generations", "children_per_generation", "archive_size",
    "pareto_set_size",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proposer:
    """Who writes new prompts. Empty values mean the server's own settings."""

    model: str = ""
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """What a GEPA online session runs on."""

    algorithm: ClassVar[str] = "gepa"
    baseline: str
    """The system prompt with its placeholders; empty when the application sends none."""
    wildcards: tuple[Wildcard, ...] = ()
    min_rollouts: int = 20
    """Rewards between proposals."""
    max_candidates: int = 0
    """Proposals over the session's life; 0 for no limit."""
    proposer: Proposer = Proposer()
    options: Options = field(default_factory=Options)
    guards: Guards = field(default_factory=Guards)
    rules: Rules = field(default_factory=Rules)
    unused: tuple[str, ...] = ()
    """Keys of the config that an online session has no use for."""

    @property
    def pattern(self) -> Pattern:
        """The baseline, ready to be matched."""
        return Pattern.parse(self.baseline, self.wildcards)

    def dump(self) -> dict[str, Any]:
        """Plain data for the store; `load` reads it back."""
        return asdict(self)

    @staticmethod
    def load(data: Mapping[str, Any]) -> "SessionConfig":
        """From what `dump` made. Dials that this version does not know are left out, and those it
        has gained since take their defaults, so that a session outlives an up- or downgrade."""
        return SessionConfig(
            **{
                **known_fields(SessionConfig, data),
                "wildcards": tuple(Wildcard(**w) for w in data["wildcards"]),
                "proposer": Proposer(**known_fields(Proposer, data["proposer"])),
                "options": Options(**known_fields(Options, data["options"])),
                "guards": Guards(**known_fields(Guards, data.get("guards", {}))),
                "rules": Rules.load(data.get("rules", {})),
                "unused": tuple(data["unused"]),
            }
        )


def known_fields(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """What of `data` a field of the dataclass `kind` takes."""
    names = {f.name for f in fields(kind)}
    return {name: value for name, value in data.items() if name in names}


def section_of(body: Mapping[str, Any], *algorithms: str) -> tuple[Mapping[str, Any], str]:
    """The section of a `config_body` that says everything, and its path for errors. Raises
    `InvalidRequest` when there is none or its algorithm is not one of those given."""
    root = next((name for name in ROOTS if name in body), None)
    if root is None:
        raise InvalidRequest(
            "config_body must hold `prompt_learning` (or `policy_optimization`)",
            param="config_body",
        )
    where = f"config_body.{root}"
    section = mapping(body[root], where)
    if section.get("algorithm") not in algorithms:
        raise InvalidRequest(
            f"algorithm {section.get('algorithm')!r} is not supported here; "
            f"use {' or '.join(map(repr, algorithms))}",
            param=f"{where}.algorithm",
        )
    _refuse_limits(section, where)
    return section, where


def _refuse_limits(section: Mapping[str, Any], where: str) -> None:
    """A limit that nobody keeps would be worse than none."""
    for path in _LIMITS:
        given: Any = section
        for name in path.split("."):
            given = given.get(name) if isinstance(given, Mapping) else None
        if given is not None:
            raise InvalidRequest(
                f"`{path}` is for offline jobs; an online session is limited by "
                "`online_proposer_max_candidates` and the sidecar's `engine.proposals_per_day`",
                param=f"{where}.{path}",
            )


def idle_keys(section: Mapping[str, Any]) -> list[str]:
    """Keys beside the algorithm's own section that an online session has no use for."""
    return sorted(section.keys() - _SECTION)


def parse(body: Mapping[str, Any]) -> SessionConfig:
    """The configuration in a `config_body`. Raises `InvalidRequest` naming the wrong field."""
    section, where = section_of(body, "gepa")
    gepa = mapping(section.get("gepa", {}), f"{where}.gepa")
    _check_keys(gepa, f"{where}.gepa")
    safety = {**mapping(section.get("safety", {}), f"{where}.safety"),
              **mapping(gepa.get("safety", {}), f"{where}.gepa.safety")}  # fmt: skip
    baseline, wildcards = read_prompt(section.get("initial_prompt"), f"{where}.initial_prompt")
    guards = read_guards(safety, baseline, f"{where}.gepa.safety")
    options = read_options(dials_only(safety), f"{where}.gepa.safety")
    return SessionConfig(
        baseline=baseline,
        wildcards=wildcards,
        min_rollouts=integer(gepa, "online_proposer_min_rollouts", 20, where, least=1),
        max_candidates=integer(gepa, "online_proposer_max_candidates", 0, where, least=0),
        proposer=read_proposer(gepa, section, f"{where}.gepa"),
        options=replace(
            held_back(options, guards, safety),
            prune_below=number(gepa, "online_prune_threshold", where) or 0.0,
            prune_rewards=integer(gepa, "online_prune_min_rollouts", 20, where, least=1),
        ),
        guards=guards,
        rules=read_rules(section, gepa, f"{where}.gepa"),
        unused=(*sorted(_OFFLINE & gepa.keys()), *idle_keys(section)),
    )


def override(body: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`body` with overrides applied; a dotted key reaches into nested objects."""
    out = dict(body)
    for dotted, value in overrides.items():
        *path, last = str(dotted).split(".")
        node = out
        for name in path:
            inner = node.get(name, {})
            if not isinstance(inner, dict):
                raise InvalidRequest(f"`{name}` is not an object", param=f"overrides.{dotted}")
            node[name] = node = dict(inner)
        node[last] = value
    return out


def read_prompt(value: Any, where: str) -> tuple[str, tuple[Wildcard, ...]]:
    """The system prompt and its wildcards in an `initial_prompt`."""
    prompt = mapping(value, where) if value is not None else {}
    messages = prompt.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest(
            "initial_prompt.messages must be a list with the prompt that you use today, such as "
            '[{"role": "system", "pattern": "You are …"}]',
            param=f"{where}.messages",
        )
    wildcards = _wildcards(prompt.get("wildcards", {}), f"{where}.wildcards")
    system = ""
    for i, message in enumerate(sorted_messages(messages, f"{where}.messages")):
        role, text = message.get("role"), message.get("pattern", message.get("content"))
        if not isinstance(role, str) or not isinstance(text, str):
            raise InvalidRequest(
                "each message needs a `role` and a `pattern` (or `content`), both text",
                param=f"{where}.messages[{i}]",
            )
        if role in SYSTEM_ROLES and not system:
            system = text.strip()
    return system, wildcards


def sorted_messages(messages: list[Any], where: str) -> list[Mapping[str, Any]]:
    """The messages in their declared order. Raises `InvalidRequest` when one is not an object."""
    for i, message in enumerate(messages):
        mapping(message, f"{where}[{i}]")
        if not isinstance(message.get("order", 0), int):
            raise InvalidRequest("`order` must be a whole number", param=f"{where}[{i}].order")
    return sorted(messages, key=lambda m: m.get("order", 0))


def _wildcards(value: Any, where: str) -> tuple[Wildcard, ...]:
    out = []
    for name, need in mapping(value, where).items():
        if need not in ("REQUIRED", "OPTIONAL"):
            raise InvalidRequest(
                f"wildcard {name!r} must be 'REQUIRED' or 'OPTIONAL'", param=f"{where}.{name}"
            )
        out.append(Wildcard(name, need == "REQUIRED"))
    return tuple(out)


def read_proposer(gepa: Mapping[str, Any], section: Mapping[str, Any], where: str) -> Proposer:
    """Who writes new prompts, by an algorithm's section and the whole one."""
    given = mapping(gepa.get("proposer", {}), f"{where}.proposer")
    policy = mapping(section.get("policy", {}), f"{where}.policy")
    texts = {
        "model": gepa.get("proposer_model") or given.get("model") or policy.get("model") or "",
        "base_url": gepa.get("proposer_url") or given.get("inference_url") or "",
        "api_key": gepa.get("proposer_api_key") or given.get("api_key") or "",
    }
    for name, text in texts.items():
        if not isinstance(text, str):
            raise InvalidRequest(f"the proposer's {name} must be text", param=f"{where}.proposer")
    base = texts["base_url"].removesuffix("/")
    base = base.removesuffix("/chat/completions").removesuffix("/responses")
    tokens = integer(given, "max_tokens", 0, where, least=0)
    return Proposer(
        texts["model"], base, texts["api_key"], number(given, "temperature", where), tokens or None
    )


def read_options(safety: Mapping[str, Any], where: str) -> Options:
    """The dials under `safety`."""
    known = {f.name: type(f.default) for f in fields(Options)}
    for name, value in safety.items():
        if name not in known:
            raise InvalidRequest(
                f"`safety.{name}` is unknown; known are {', '.join(sorted(known))}",
                param=f"{where}.{name}",
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:  # noqa: PLR2004
            raise InvalidRequest("must be a number, zero or more", param=f"{where}.{name}")
        if known[name] is int and not isinstance(value, int):
            raise InvalidRequest("must be a whole number", param=f"{where}.{name}")
    for name in _NOT_ZERO & safety.keys():
        if safety[name] == 0:
            raise InvalidRequest("must be more than 0", param=f"{where}.{name}")
    if not 0 < safety.get("delta", 0.02) < 1:
        raise InvalidRequest("`delta` must be between 0 and 1", param=f"{where}.delta")
    return Options(**safety)


def _check_keys(gepa: Mapping[str, Any], where: str) -> None:
    if gepa.get("mode", "online") != "online":
        raise InvalidRequest(
            f"mode {gepa['mode']!r} is not a session's; sessions are 'online'",
            param=f"{where}.mode",
        )
    for name in gepa:
        if name not in _ONLINE | _OFFLINE:
            raise InvalidRequest(
                f"`{name}` is not a key of an online GEPA session", param=f"{where}.{name}"
            )
