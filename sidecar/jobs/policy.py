"""What a policy job is asked to do: typed, and as plain data for its record.

The published form is read by `policy_config`. Nothing here goes into the record that is secret: a
key that came with the configuration is kept apart (`policy_config.proposer_key`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sidecar.core.prompt import Pattern, Wildcard
from sidecar.engine.config import Proposer, known_fields
from sidecar.engine.tpe import TpeOptions
from sidecar.jobs.spec import RolloutSpec

GEPA, MIPRO = "gepa", "mipro"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a job may spend. None: no limit."""

    rollouts: int | None = None
    """Rollouts of all its phases, the final scoring among them."""
    cost_usd: float | None = None
    """Of its rollouts. What a batch will cost is estimated before it runs."""
    tokens: int | None = None
    seconds: float | None = None
    """Of running; not counted while the sidecar is down."""
    trials: int | None = None
    """Candidates that are tried."""
    idle_trials: int | None = None
    """Trials in a row that bring nothing better."""
    pessimistic: bool = False
    """Whether a batch is estimated by the dearest rollout so far instead of the average one."""


@dataclass(frozen=True, slots=True)
class GepaDials:
    """The evolution's dials, named as in the published config where they are the same."""

    initial_size: int = 20
    """Prompts of the first generation, the baseline among them."""
    generations: int = 10
    children: int = 5
    """New prompts of every later generation."""
    crossover_rate: float = 0.5
    """Part of the children that have two parents."""
    mutation_rate: float = 0.3
    """Part of those that are changed by reflection on top of being crossed."""
    selection_pressure: float = 1.0
    """Exponent on a parent's share of the Pareto frontier."""
    patience: int = 3
    """Generations in a row that may bring nothing better."""
    archive_size: int = 64
    """Candidates that may become parents."""
    pareto_size: int | None = None
    """Training seeds on which every accepted candidate is scored; the others are for reflection.
    None: by `feedback_fraction`, at most 64."""
    pareto_eps: float = 1e-6
    """Scores on a seed that differ by no more are equal."""
    feedback_fraction: float = 0.5
    """Part of the training seeds that is for reflection."""
    minibatch: int = 8
    """Seeds of one reflection, and of the first comparison with the parent."""


@dataclass(frozen=True, slots=True)
class MiproDials:
    """The search's dials."""

    iterations: int = 10
    evaluations: int = 5
    """Trials of one iteration."""
    batch_size: int = 10
    """Seeds of one trial."""
    threshold: float = 0.8
    """Reward from which a rollout may be a demonstration."""
    min_demos: int = 0
    """Demonstrations to look for, running the bootstrap seeds again if need be."""
    demo_size: int = 3
    """Demonstrations in a set, at most."""
    demo_sets: int = 4
    """Demonstration sets, at most, without the empty one."""
    per_batch: int = 2
    """Instructions asked for at a time."""
    generate_at: tuple[int, ...] = (0, 1, 2)
    """Iterations that begin with new instructions, counted from 0."""
    tpe: TpeOptions = field(default_factory=TpeOptions)


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """What a policy job runs on."""

    algorithm: str
    task_app_url: str
    messages: tuple[tuple[str, str], ...]
    """(role, pattern) of the prompt that is used today, in order."""
    baseline: str
    """Its system text with placeholders; empty when there is none."""
    wildcards: tuple[Wildcard, ...]
    train_seeds: tuple[int, ...]
    """What the search works on."""
    fresh_seeds: tuple[int, ...]
    """Never seen by the search: the finalists are scored on them."""
    bootstrap_seeds: tuple[int, ...] = ()
    reference_seeds: tuple[int, ...] = ()
    """Shown to the reflection model as examples of the task, never run."""
    env_name: str = ""
    env_config: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    max_concurrent: int = 20
    finalists: int = 3
    """Candidates that are scored on fresh seeds, besides the baseline."""
    limits: Limits = Limits()
    proposer: Proposer = field(default_factory=Proposer)
    guidance: str = ""
    """What the owner wants the reflection model to know."""
    prompt_chars: int = 128_000
    """Length of a new prompt, at most."""
    rng_seed: int | None = None
    gepa: GepaDials = GepaDials()
    mipro: MiproDials = field(default_factory=MiproDials)
    unused: tuple[str, ...] = ()
    """Keys of the config that have no meaning here."""

    @property
    def placeholders(self) -> list[str]:
        """The wildcards that the system text has; a new one must keep them."""
        return [w.name for w in self.wildcards if f"{{{w.name}}}" in self.baseline]

    @property
    def pattern(self) -> Pattern:
        """The baseline, ready to be matched."""
        return Pattern.parse(self.baseline, self.wildcards)

    def spec(self) -> RolloutSpec:
        """What its rollouts have in common. Only GEPA tells the task app what is being tried; MIPRO
        must not (wire contract, section 7.3)."""
        return RolloutSpec(
            url=self.task_app_url,
            env_name=self.env_name,
            env_config=self.env_config,
            policy={k: v for k, v in self.policy.items() if k not in {"policy_name", "config"}}
            | dict(self.policy.get("config") or {}),
            policy_name=str(self.policy.get("policy_name") or ""),
            concurrency=self.max_concurrent,
            baseline=self.pattern,
            template=self.messages if self.algorithm == GEPA else (),
        )

    def dump(self) -> dict[str, Any]:
        """Plain data for the record; `load` reads it back. The proposer's key is not in it."""
        data = asdict(self)
        del data["proposer"]["api_key"]
        return data

    @staticmethod
    def load(data: Mapping[str, Any]) -> "PolicyConfig":
        """From what `dump` made, as far as this version knows it."""
        mipro = known_fields(MiproDials, data["mipro"])
        own = known_fields(PolicyConfig, data) | {
            "messages": tuple((role, text) for role, text in data["messages"]),
            "wildcards": tuple(Wildcard(**w) for w in data["wildcards"]),
            "limits": Limits(**known_fields(Limits, data["limits"])),
            "proposer": Proposer(**known_fields(Proposer, data["proposer"])),
            "gepa": GepaDials(**known_fields(GepaDials, data["gepa"])),
            "mipro": MiproDials(
                **mipro
                | {
                    "generate_at": tuple(mipro["generate_at"]),
                    "tpe": TpeOptions(**known_fields(TpeOptions, mipro["tpe"])),
                }
            ),
        }
        lists = ("train_seeds", "fresh_seeds", "bootstrap_seeds", "reference_seeds", "unused")
        return PolicyConfig(**own | {name: tuple(data[name]) for name in lists})
